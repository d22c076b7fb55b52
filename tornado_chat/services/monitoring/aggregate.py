"""The processes of one machine as one: what ``/metrics`` and ``/api/v1/status`` show, whichever of them is asked.

Strategy: each of them answers on a unix socket in the state directory, ``process-1.sock`` and so on. Who is asked by
an operator asks the others there. A connection asks one thing, in a line: ``status`` or ``metrics``; the answer is JSON
and ends with the connection. A child that takes another's place takes its socket's, too.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from tornado_chat.core.errors import ChatError
from tornado_chat.core.status import Status
from tornado_chat.observability.metrics import Metrics
from tornado_chat.observability.metrics.multiprocess import MetricFamilySnapshot, render, take_snapshot
from tornado_chat.services.monitoring.aggregate_status import merge_status
from tornado_chat.services.monitoring.overview import StatusReporter

log = logging.getLogger(__name__)

T = TypeVar("T")

PROCESS_TIMEOUT_SECONDS = 3.0  # seconds that another process gets to answer


class StatusAggregator:
    """Alone, it answers for this process.

    :arg process: which one of ``processes`` this is; 0: it is the only one.
    """

    def __init__(self, overview: StatusReporter, metrics: Metrics, process: int, directory: Path) -> None:
        self._overview = overview
        self._metrics = metrics
        self._process_number = process
        self._directory = directory
        self._server: asyncio.Server | None = None
        self._inode = 0

    # --- what is shown ---

    async def metrics(self) -> bytes:
        """Prometheus' text format. One of many gives each number the label ``process``."""
        await self._overview.probe_database()
        if not self._process_number:
            return self._metrics.text()
        others = await self._ask_processes("metrics", list[MetricFamilySnapshot])
        own = {self._process_number: take_snapshot(self._metrics.registry)}
        return render({**own, **{process: found for process, found in others.items() if found is not None}})

    async def status(self) -> Status:
        own = await self._overview.status()
        if not self._process_number:
            return own
        return merge_status(own, await self._ask_processes("status", Status))

    # --- asking ---

    async def _ask_processes(self, request: str, kind: type[T]) -> Mapping[int, T | None]:
        """What the others say, by process; None of one that does not answer."""
        answers: dict[int, T | None] = {}

        async def ask(process: int) -> None:
            with contextlib.suppress(FileNotFoundError, ConnectionError):  # that one has ended
                answers[process] = await self._ask_process(process, request, kind)

        numbers = (int(path.stem.removeprefix("process-")) for path in self._directory.glob("process-*.sock"))
        await asyncio.gather(
            *(ask(process) for process in sorted(numbers) if process != self._process_number)
        )
        return {process: answers[process] for process in sorted(answers)}

    async def _ask_process(self, process: int, request: str, kind: type[T]) -> T | None:
        try:
            async with asyncio.timeout(PROCESS_TIMEOUT_SECONDS):
                with _short_path(self._directory) as directory:
                    reader, writer = await asyncio.open_unix_connection(f"{directory}/process-{process}.sock")
                try:
                    writer.write(f"{request}\n".encode())
                    return msgspec.json.decode(await reader.read(), type=kind)
                finally:
                    writer.close()
        except (TimeoutError, msgspec.DecodeError) as error:  # stuck, or of another version
            log.warning("process %d does not say how it is: %s", process, type(error).__name__)
            return None

    # --- answering ---

    async def start(self) -> None:
        """Answer the others from now on. A directory that does not allow it is no reason not to serve."""
        if not self._process_number:
            return
        listening = socket.socket(socket.AF_UNIX)
        path = self._directory / f"process-{self._process_number}.sock"
        temporary = path.with_suffix(f".{os.getpid()}")
        try:
            with _short_path(self._directory) as directory:
                listening.bind(f"{directory}/{temporary.name}")
            listening.listen()
            self._inode = temporary.stat().st_ino
            temporary.rename(path)
        except OSError as error:
            listening.close()
            log.warning("the other processes cannot ask this one how it is: %s", error.strerror)
            return
        self._server = await asyncio.start_unix_server(self._serve_request, sock=listening)

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        path = self._directory / f"process-{self._process_number}.sock"
        with contextlib.suppress(OSError):
            if path.stat().st_ino == self._inode:
                path.unlink()

    async def _serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PROCESS_TIMEOUT_SECONDS):
                request = (await reader.readline()).strip()
                if request == b"metrics":
                    await self._overview.probe_database()
                    writer.write(msgspec.json.encode(take_snapshot(self._metrics.registry)))
                elif request == b"status":
                    writer.write(msgspec.json.encode(await self._overview.status()))
                await writer.drain()
        except (OSError, TimeoutError, ChatError) as error:
            log.debug("another process has not got its answer: %s", type(error).__name__)
        finally:
            writer.close()


@contextlib.contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    """Another name of it: a socket's path has 107 bytes at most, and a state directory may have more."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
