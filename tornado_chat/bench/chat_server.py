"""``tornado-chat serve``, which tells its address whatever it logs.

With ``PAUSES`` in the environment it writes down how long each garbage collection took, and with
``UNTUNED`` it leaves the collector as Python has it.
"""

import gc
import os
import sys
import time
from typing import Any

from tornado_chat.config.loader import load
from tornado_chat.server.main import run


class GarbageCollectionLog:
    """A line for each collection: its generation and its seconds."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "w", buffering=1)  # noqa: SIM115 - open as long as the process lives
        self._begun = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self._file.write(f"{info['generation']} {time.perf_counter() - self._begun}\n")


def main() -> int:
    options = sys.argv[2::2]
    if "UNTUNED" in os.environ:
        untouched: Any = lambda *arguments: None  # noqa: E731
        gc.freeze = gc.set_threshold = untouched

    def welcome(url: str) -> None:
        sys.stderr.write(f"url={url}\n")
        sys.stderr.flush()
        if "PAUSES" in os.environ:
            gc.callbacks.append(GarbageCollectionLog(os.environ["PAUSES"]))

    return run(load(None, options, {"HOME": "/"}), welcome)


raise SystemExit(main())
