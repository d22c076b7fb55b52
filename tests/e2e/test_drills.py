"""``scripts/drill``: the operator's rehearsal passes, and notices what it has to notice."""

import asyncio
import os
import re
import sqlite3
import sys
from pathlib import Path

import pytest

from scripts.drills import kinds, report
from scripts.drills.drill import FAILED, NOT_RUN, PASSED, Drill, DrillFailed, NotRun, Outcome
from scripts.drills.kinds import DRILLS
from scripts.drills.traffic import Talk, Traffic

ROOT = Path(__file__).parents[2]

LAST_LINE = re.compile(r"(\d+) drills, (\d+) failed")


async def drill(*arguments: str) -> tuple[int, str]:
    """Run ``scripts/drill``. Returns the exit code and the output."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.drills", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await running.communicate()
    return running.returncode or 0, output.decode()


@pytest.mark.slow
@pytest.mark.gen_test(timeout=900)
async def test_all_drills_pass(tmp_path: Path) -> None:
    code, text = await drill("--directory", str(tmp_path))
    last = LAST_LINE.fullmatch(text.splitlines()[-1])
    assert last, text
    assert code == 0, text
    not_run = text.count(f" {NOT_RUN} ")  # without the right to mount
    assert (int(last[1]), int(last[2])) == (len(DRILLS) - not_run, 0), text
    assert not_run <= 1
    assert os.listdir(tmp_path) == [], "the throw-away folder is left"


@pytest.mark.slow
@pytest.mark.gen_test(timeout=300)
async def test_a_backup_that_is_none_is_no_rehearsal(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("no backup")
    code, text = await drill("--backup", str(tmp_path / "b"), "--only", "backup")
    assert (code, "cannot be restored" in text) == (1, True), text


def test_the_last_line_counts_what_ran(capsys: pytest.CaptureFixture[str]) -> None:
    async def run(rehearsal: object) -> str:
        return ""

    one, two, three = (Drill(name, f"the {name}", run) for name in ("one", "two", "three"))
    outcomes = [
        Outcome(one, PASSED, 1.25, "fine"),
        Outcome(two, FAILED, 0.0, "a\x1b[31m line\nmore"),
        Outcome(three, NOT_RUN, 0.0, "only root"),
    ]
    assert list(report.last_lines(outcomes)) == ["not run: three", "2 drills, 1 failed"]
    assert list(report.last_lines(outcomes[:1])) == ["1 drills, 0 failed"]
    assert report.line(outcomes[1]).endswith("  a [31m line more")
    assert " 1.2" in report.line(outcomes[0])


def _database(path: Path, texts: list[tuple[int, str]]) -> Path:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE message (kind, thread_id, seq, text)")
        database.executemany("INSERT INTO message VALUES (1, 7, ?, ?)", texts)
    database.close()
    return path


def test_a_lost_a_repeated_and_a_missing_message_are_noticed(tmp_path: Path) -> None:
    talk = Talk(7)
    talk.acknowledged = {1, 2, 3}
    traffic = Traffic([talk])
    texts = [(number, f"message {number} of 7") for number in (1, 2, 3)]
    assert traffic.faults(_database(tmp_path / "whole", texts)) == []
    assert traffic.faults(_database(tmp_path / "short", texts[:2])) == ["session 7: 1 messages are lost"]
    assert traffic.faults(_database(tmp_path / "short2", texts[:2]), {7: {1, 2}}) == []
    twice = [*texts, (4, "message 3 of 7")]
    assert traffic.faults(_database(tmp_path / "twice", twice)) == ["session 7: 1 messages are stored twice"]
    with pytest.raises(ValueError, match="have gaps"):
        traffic.faults(_database(tmp_path / "gap", [texts[0], texts[2]]))


def test_words_are_found_in_all_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    kinds._require_no_words([tmp_path])
    (tmp_path / "sub" / "chat.sqlite3-wal").write_bytes(b"\0\1" + kinds.WORDS[1].encode() + b"\0")
    with pytest.raises(DrillFailed, match=r"sub/chat\.sqlite3-wal"):
        kinds._require_no_words([tmp_path])


@pytest.mark.gen_test
async def test_without_root_the_full_disk_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotRun, match="only root"):
        async with kinds._small_disk(tmp_path / "disk"):
            pass
