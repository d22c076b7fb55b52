"""Fixtures of the end-to-end tests: ``python -m tornado_chat serve`` with a temporary state directory."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import SECRET, Harness
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config

READY = re.compile(r'url(?:=|": ")(http://[^\s"]+)')


class Process:
    """One server process at a time; a test may restart it on the same state.

    :ivar wrapper: a command line that ends by running the command line after it.
    :ivar descriptors: file descriptors that the process inherits.
    :ivar expected: patterns of the warnings and errors that the test expects.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.options = [
            "server.port=0",
            f"server.state_dir={directory / 'state'}",
            f"auth.secret_file={directory / 'secret'}",
            "server.timezone=Asia/Shanghai",
            "server.drain_seconds=0.2",
            "support.queue_interval=0.1",
        ]
        (directory / "secret").write_bytes(SECRET)
        self.files: list[Path] = []
        self.environ: dict[str, str] = {}
        self.wrapper: list[str] = []
        self.descriptors: list[int] = []
        self.log: list[str] = []
        self.expected: list[str] = []
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self, *options: str) -> "Process":
        arguments = [argument for file in self.files for argument in ("--config", str(file))]
        arguments += [argument for option in (*self.options, *options) for argument in ("--set", option)]
        outside = ("JOURNAL_STREAM", "TORNADO_CHAT_CONFIG", "NOTIFY_SOCKET")
        self._process = await asyncio.create_subprocess_exec(
            *self.wrapper,
            sys.executable,
            "-m",
            "tornado_chat",
            "serve",
            *arguments,
            stderr=asyncio.subprocess.PIPE,
            env={k: v for k, v in os.environ.items() if k not in outside} | self.environ,
            pass_fds=self.descriptors,
        )
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(ready))
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            self.url = await ready
        # The port stays the same over restarts, as it would for clients of a real server.
        self.options[0] = f"server.port={self.url.rsplit(':', 1)[1]}"
        return self

    async def _read(self, ready: "asyncio.Future[str]") -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(line.decode().rstrip())
            found = READY.search(self.log[-1])
            if found and not ready.done():
                ready.set_result(found.group(1))
        if not ready.done():
            ready.set_exception(AssertionError("\n".join(["the server did not start:", *self.log])))

    async def wait_for_log(self, pattern: str, times: int = 1, after: int = 0) -> list[str]:
        """Wait until ``times`` log lines match ``pattern``, and return them.

        :arg after: skip so many lines at the beginning of the log.
        """
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while len(found := self._lines(pattern, after)) < times:  # noqa: ASYNC110 - read by another task
                await asyncio.sleep(0.01)
        return found

    def forget(self, pattern: str) -> list[str]:
        """Remove expected lines from the log, after ``wait_for_log`` or the end of the process."""
        found = self._lines(pattern)
        self.log[:] = [line for line in self.log if line not in found]
        return found

    def _lines(self, pattern: str, after: int = 0) -> list[str]:
        return [line for line in self.log[after:] if re.search(pattern, line)]

    @property
    def runs(self) -> bool:
        """True if the process was started and not stopped since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the end. Returns the exit code."""
        if self._process is None:
            return 0
        # Not send_signal(): it would reap a process that has just ended, unnoticed by asyncio.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
        code = await self._process.wait()
        assert self._reader is not None
        await self._reader
        self._process = None
        return code

    @property
    def harness(self) -> Harness:
        """The server as clients see it, with the interface of the in-process tests."""
        return Harness(_Address(self.url), config.Config(), [])  # type: ignore[arg-type]


class _Address:
    def __init__(self, url: str) -> None:
        self.url = url


@pytest.fixture
def process(io_loop: IOLoop, tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    try:
        io_loop.run_sync(process.stop, timeout=WAIT_TIMEOUT_SECONDS)
    except TimeoutError:  # else the process would outlive the tests
        os.kill(process.pid, signal.SIGKILL)
        raise
    warnings = [line for line in process.log if re.search(r"\b(WARNING|ERROR|Traceback)\b", line)]
    unexpected = [line for line in warnings if not any(re.search(each, line) for each in process.expected)]
    assert not unexpected, "unexpected log lines of the server"
