"""Key and secret files: created once, whole, and private."""

import os
import threading
from pathlib import Path

import pytest

from tornado_chat.core.private_file import create_private_file


def test_a_file_is_created_once(tmp_path: Path) -> None:
    path = tmp_path / "state" / "key"
    assert create_private_file(path, "first\n")
    assert not create_private_file(path, "second\n")
    assert path.read_text() == "first\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["key"]


def test_of_several_threads_one_creates_the_file(tmp_path: Path) -> None:
    path, created = tmp_path / "key", list[str]()

    def create(text: str) -> None:
        if create_private_file(path, text):
            created.append(text)

    threads = [threading.Thread(target=create, args=(f"key {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert created == [path.read_text()]


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_failure_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*args: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="no space"):
        create_private_file(tmp_path / "key", "text")
    assert list(tmp_path.iterdir()) == []
