"""Commands of a user who may not use the files of the server: a sentence that says so, and nothing else."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.people import build_sample
from tornado_chat import config
from tornado_chat.storage import schema
from tornado_chat.storage.database import open_database

RIGHTS = "-dac_override,-dac_read_search"
WITHOUT_RIGHTS = ["setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}"]
"""Runs a command as root without root's right to read the files of other users."""

OTHER_USER = 65534


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The state directory of another user."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    database = open_database(config.Storage(url=f"sqlite:///{state}/tornado-chat.sqlite3"))
    schema.upgrade(database)
    build_sample(database)
    database.close()
    (state / "secret").write_text("a secret of more than sixteen bytes")
    if os.geteuid() == 0:
        for path in (state, *state.iterdir()):
            os.chown(path, OTHER_USER, OTHER_USER)
    else:
        state.chmod(0)
    yield state
    state.chmod(0o700)


@pytest.mark.parametrize(
    "words",
    [
        ["check-config"],
        ["db", "status"],
        ["db", "compact"],
        ["audit", "verify"],
        ["staff", "list"],
        ["backup", "copy"],
        ["restore", "copy", "--yes"],
        ["export", "--user", "1", "--output", "lin"],
        ["erase", "--user", "1", "--yes"],
    ],
    ids=" ".join,
)
def test_a_command_without_access_says_so(state: Path, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "copy").write_text("x")
    options = ["--set", f"server.state_dir={state}", "--set", "plugins.enabled=audit"]
    found = subprocess.run(
        [
            *(WITHOUT_RIGHTS if os.geteuid() == 0 else []),
            sys.executable,
            "-m",
            "tornado_chat",
            *words,
            *options,
        ],
        cwd=tmp_path,
        env={**os.environ, "TORNADO_CHAT_CONFIG": os.devnull},
        capture_output=True,
        text=True,
    )
    assert found.returncode in (1, 2)
    assert found.stderr.count("\n") == 1, found.stderr
    assert "ermission denied; " in found.stderr
    assert "as root or as the user of the server" in found.stderr
    assert "does not exist" not in found.stdout + found.stderr
