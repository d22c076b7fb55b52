"""Count the files and function calls of the package that one event crosses in a running server.

Three paths are measured, in one process, over SQLite:

- message: a visitor sends a message of a counselling session, and the consultant receives it.
- support match: a user sends `connect` and receives `connect_success`, and the waiter receives
  `new_connection`. Both sockets are authenticated, and the waiter is ready, before the run.
- notification: a host posts to `/api/v1/notifications`, and the recipient's socket receives it.

Definitions:

- A call is the start or the resumption of a Python frame whose code is in `tornado_chat/`, in any
  thread: functions, lambdas, comprehensions, and every step of a coroutine or generator. Calls of
  C functions, the standard library, Tornado, Peewee and the plugins do not count.
- A file counts if at least one call is in it.
- A run begins when the client writes its frame or request. It ends when the recipients have received
  their frames (and the host its response) and the package has then made no call for 0.12 seconds.
  So the receipts, which are the pongs of the recipients, belong to the path. The storing of the
  receipts, for which the server waits half a second to collect more of them, does not.
- A commit is a call of Peewee's `Database.commit` in that time.

The clients are Tornado's and not the package's, so every call that counts is the server's. Log lines
below level warning are not formatted. The host sends a new token with each request, so the server
verifies it. Each path is warmed up, and each run begins just after the server's timer for the loop's
lag has run. The result is the run with the fewest calls, since timers and pings only add calls. The
calls of a support match vary by a few between runs, since two lookups in the database share a hop to
the reading thread in some runs and not in others.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts.tracing.paths import PATHS, TracedPath
from scripts.tracing.recorder import Recorder, Run
from scripts.tracing.server import running

WARM_UP_RUNS = 2
QUIET_SECONDS = 0.12
"""Longer than a lookup in a thread takes. Shorter than the interval of the server's timer for the loop's
lag (0.25) and the delay of the receipts (0.5)."""
TIMER_SECONDS = 0.5
"""Limit for the wait for the server's timer."""
SETTLE_SECONDS = 0.6
"""Pause before each run. The server stores the receipts of the previous run after half a second."""
TIMEOUT_SECONDS = 60.0
"""Limit for one run with its preparation."""

ROW = "{:<14} {:>5} {:>6} {:>8}"


async def measure(recorder: Recorder, runs: int) -> dict[str, Run]:
    """Return the run with the fewest calls of each path, by the path's name."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="tornado-chat-trace-") as folder:
        async with running(Path(folder)) as server:
            for kind in PATHS:
                path = await kind.create(server)
                measured = [await _run(path, recorder) for _ in range(WARM_UP_RUNS + runs)]
                found[path.name] = min(measured[WARM_UP_RUNS:], key=lambda run: run.calls)
    return found


async def _run(path: TracedPath, recorder: Recorder) -> Run:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await path.prepare()
        await asyncio.sleep(SETTLE_SECONDS)
        await recorder.wait_for_timer(TIMER_SECONDS)
        recorder.start()
        await path.run()
        await recorder.wait_until_quiet(QUIET_SECONDS)
        run = recorder.stop()
        await path.clean_up()
    return run


def table(runs: Mapping[str, Run]) -> Iterator[str]:
    """Yield the lines of the table of all paths."""
    yield ROW.format("path", "files", "calls", "commits")
    for name, run in runs.items():
        yield ROW.format(name, len(run.files), run.calls, run.commits)


def file_lists(runs: Mapping[str, Run]) -> Iterator[str]:
    """Yield the files of each path, in order of the first call, with the number of calls in each."""
    for name, run in runs.items():
        yield ""
        yield f"{name}: calls by file"
        for file, calls in run.files.items():
            yield f"{calls:>5}  {file}"


def main() -> int:
    description, _, definitions = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="scripts/trace",
        description=description,
        epilog=definitions,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--files", action="store_true", help="also list the files of each path, in order of the first call"
    )
    parser.add_argument("--runs", type=int, default=5, help="recorded runs of each path (default: 5)")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    recorder = Recorder()
    recorder.install()
    try:
        found = asyncio.run(measure(recorder, options.runs))
    finally:
        recorder.remove()
    lines = [*table(found), *(file_lists(found) if options.files else ())]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
