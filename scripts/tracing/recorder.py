"""Records the Python calls of the package, in all threads."""

import asyncio
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import peewee as pw

import tornado_chat

ROOT = Path(tornado_chat.__file__).parent
COMMIT = pw.Database.commit.__code__
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Run:
    """The result of one run of a path.

    :ivar files: the number of calls in each file, in order of the first call; names are relative to ``ROOT``.
    :ivar commits: the number of database transactions that were committed.
    """

    files: Counter[str]
    commits: int

    @property
    def calls(self) -> int:
        return self.files.total()


class Recorder:
    """Counts calls by file, and commits, between ``start`` and ``stop``.

    ``install`` must be called before the server starts its threads: Python sets a profile function only for
    the current thread and for threads that start later.
    """

    def __init__(self) -> None:
        self._prefix = f"{ROOT}/"
        self._recording = False
        self._calls: list[str] = []
        self._commits = 0

    def install(self) -> None:
        threading.setprofile(self._on_profile_event)
        sys.setprofile(self._on_profile_event)

    def remove(self) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def start(self) -> None:
        self._calls = []
        self._commits = 0
        self._recording = True

    def stop(self) -> Run:
        self._recording = False
        return Run(Counter(name.removeprefix(self._prefix) for name in self._calls), self._commits)

    async def wait_for_timer(self, timeout: float) -> None:
        """Wait, at most for ``timeout`` seconds, until a timer of the idle server has run.

        A run that begins then is over before the next time that the timer runs.
        """
        self.start()
        begun = time.monotonic()
        while not self._calls and time.monotonic() - begun < timeout:  # noqa: ASYNC110 - no event
            await asyncio.sleep(POLL_SECONDS)
        self.stop()

    async def wait_until_quiet(self, seconds: float) -> None:
        """Wait until no call has been recorded for ``seconds``."""
        known, since = 0, time.monotonic()
        while time.monotonic() - since < seconds:
            await asyncio.sleep(POLL_SECONDS)
            if known != len(self._calls):
                known, since = len(self._calls), time.monotonic()

    def _on_profile_event(self, frame: FrameType, event: str, arg: Any) -> None:
        if not self._recording or event != "call":
            return
        if frame.f_code.co_filename.startswith(self._prefix):
            self._calls.append(frame.f_code.co_filename)
        elif frame.f_code is COMMIT:
            self._commits += 1  # by the writer's thread only
