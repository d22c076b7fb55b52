"""The metrics and the status of all processes of one machine, whichever process receives the request.

Strategy: each process answers on a unix socket in the state directory, ``process-1.sock`` and so on. The
process that receives a request for ``/metrics`` or ``/api/v1/status`` asks the others there. A connection
carries one request, a line with ``status`` or ``metrics``; the answer is JSON and ends with the connection. A
worker that replaces another one replaces its socket, too.
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
    """Merges the status of all processes of this machine; of a single process, its own.

    :arg process: the number of this worker, from 1; 0: the only process.
    :arg directory: the state directory, for the sockets.
    """

    def __init__(self, reporter: StatusReporter, metrics: Metrics, process: int, directory: Path) -> None:
        self._reporter = reporter
        self._metrics = metrics
        self._process_number = process
        self._directory = directory
        self._server: asyncio.Server | None = None
        self._inode = 0

    # --- results ---

    async def metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format, with a label ``process`` for several processes."""
        await self._reporter.probe_database()
        if not self._process_number:
            return self._metrics.text()
        others = await self._ask_processes("metrics", list[MetricFamilySnapshot])
        own = {self._process_number: take_snapshot(self._metrics.registry)}
        return render({**own, **{process: found for process, found in others.items() if found is not None}})

    async def status(self) -> Status:
        own = await self._reporter.status()
        if not self._process_number:
            return own
        return merge_status(own, await self._ask_processes("status", Status))

    # --- asking ---

    async def _ask_processes(self, request: str, kind: type[T]) -> Mapping[int, T | None]:
        """Return the answers of the other processes by number; None for a process that does not answer."""
        answers: dict[int, T | None] = {}

        async def ask(process: int) -> None:
            with contextlib.suppress(FileNotFoundError, ConnectionError):  # the process has ended
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
        except (FileNotFoundError, ConnectionError):
            raise
        except (OSError, msgspec.DecodeError) as error:
            # The process is stuck (TimeoutError) or of another version, or there are no descriptors left.
            log.warning("process %d does not report its status: %s", process, type(error).__name__)
            return None

    # --- answering ---

    async def start(self) -> None:
        """Answer the other processes from now on. If the socket cannot be opened, that is only logged."""
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
            log.warning("the other processes cannot ask this process for its status: %s", error.strerror)
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
                    await self._reporter.probe_database()
                    writer.write(msgspec.json.encode(take_snapshot(self._metrics.registry)))
                elif request == b"status":
                    writer.write(msgspec.json.encode(await self._reporter.status()))
                await writer.drain()
        except (OSError, TimeoutError, ChatError) as error:
            log.debug("another process did not receive its answer: %s", type(error).__name__)
        finally:
            writer.close()


@contextlib.contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    """Return a context with a short path of ``directory``: a unix socket's path has at most 107 bytes."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
