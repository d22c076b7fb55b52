"""``tornado-chat serve`` for benchmarks: prints its address at every log level.

With the environment variable ``PAUSES`` it writes the duration of each garbage collection to that file. With
``UNTUNED`` the collector keeps Python's defaults.
"""

import gc
import os
import sys
import time
from typing import Any

from tornado_chat.config.loader import load
from tornado_chat.server.main import run


class GarbageCollectionLog:
    """Writes a line for each collection: its generation and its duration in seconds."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "w", buffering=1)  # noqa: SIM115 - open until the process ends
        self._started = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.perf_counter()
        else:
            self._file.write(f"{info['generation']} {time.perf_counter() - self._started}\n")


def main() -> int:
    options = sys.argv[2::2]
    if "UNTUNED" in os.environ:
        untouched: Any = lambda *arguments: None  # noqa: E731
        gc.freeze = gc.set_threshold = untouched

    def on_listening(url: str) -> None:
        sys.stderr.write(f"url={url}\n")
        sys.stderr.flush()
        if "PAUSES" in os.environ:
            gc.callbacks.append(GarbageCollectionLog(os.environ["PAUSES"]))

    return run(load(None, options, {"HOME": "/"}), on_listening)


raise SystemExit(main())
