"""``tornado-chat serve`` for benchmarks: prints its address at every log level.

The environment variables of ``tornado_chat.bench`` change the garbage collection and write a log of it.
"""

import gc
import os
import sys
import time
from typing import Any

from tornado_chat.bench import GC_DEFAULTS_VARIABLE, GC_LOG_VARIABLE
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
    if GC_DEFAULTS_VARIABLE in os.environ:
        ignore_call: Any = lambda *arguments: None  # noqa: E731
        gc.freeze = gc.set_threshold = ignore_call

    def on_listening(url: str) -> None:
        sys.stderr.write(f"url={url}\n")
        sys.stderr.flush()
        if GC_LOG_VARIABLE in os.environ:
            gc.callbacks.append(GarbageCollectionLog(os.environ[GC_LOG_VARIABLE]))

    return run(load(None, options, {"HOME": "/"}), on_listening)


raise SystemExit(main())
