"""``scripts/trace`` as a developer runs it. The test checks the shape of the output and no numbers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = ["message", "support match", "notification"]


@pytest.mark.slow
def test_trace_prints_a_table_and_the_files_of_each_path() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.tracing", "--runs", "1", "--files"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table, *lists = done.stdout.split("\n\n")
    header, *rows = table.splitlines()
    assert header.split() == ["path", "files", "calls", "commits"]
    assert [row.rsplit(maxsplit=3)[0] for row in rows] == PATHS
    for row, path, text in zip(rows, PATHS, lists, strict=True):
        files, calls, commits = map(int, row.rsplit(maxsplit=3)[1:])
        title, *lines = text.splitlines()
        assert title.startswith(f"{path}:")
        assert len(lines) == files
        assert sum(int(line.split()[0]) for line in lines) == calls >= files > 0
        assert all((ROOT / "tornado_chat" / line.split()[1]).is_file() for line in lines)
        assert commits >= 1
