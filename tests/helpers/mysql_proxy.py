"""A proxy in front of a MySQL server that fails at a chosen point of a transaction."""

import asyncio
import contextlib
from enum import Enum
from types import TracebackType
from typing import Self

COMMIT = b"\x03COMMIT"
"""The bytes that a client sends: the code of a query and its text."""


class AtCommit(Enum):
    """The fault at the next COMMIT."""

    BEFORE = "the server does not receive the COMMIT, and both ends see the connection end"
    AFTER = "the server commits, and its answer does not reach the client"
    LATE = "the client sees the connection end; the server receives the COMMIT a little later"
    STUCK = "the client sees the connection end; the server receives nothing, and keeps its locks"


class MysqlProxy:
    """Proxy on ``port`` for the server on ``server_port``.

    :ivar faults: the faults to come; each COMMIT takes one.
    :ivar refuse_after_fault: refuse new connections after a fault, until ``admit``.
    :ivar connections: the number of connections that were accepted.
    :ivar turned_away: released once for each connection that was refused.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []
        self._closed = False
        self.faults: list[AtCommit] = []
        self.refuse_after_fault = False
        self.connections = 0
        self.turned_away = asyncio.Semaphore(0)
        self.port = 0

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    def refuse(self) -> None:
        """Cut all connections and refuse new ones, until ``admit``."""
        self._closed = True
        self.cut()

    def admit(self) -> None:
        self._closed = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.transport.abort()
            self.turned_away.release()
            return
        self.connections += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._ends += [writer, server_writer]
        fault: asyncio.Future[AtCommit] = asyncio.get_running_loop().create_future()
        for forwarding in (
            self._forward_to_server(reader, writer, server_writer, fault),
            self._forward_to_client(server_reader, server_writer, writer, fault),
        ):
            self._tasks.add(asyncio.create_task(forwarding))

    async def _forward_to_server(
        self,
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        server: asyncio.StreamWriter,
        fault: "asyncio.Future[AtCommit]",
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if COMMIT in data and self.faults:
                    fault.set_result(self.faults.pop(0))
                    self._closed = self.refuse_after_fault
                    if fault.result() is AtCommit.BEFORE:
                        server.close()
                        client.transport.abort()
                        return
                    if fault.result() is not AtCommit.AFTER:
                        client.transport.abort()
                        if fault.result() is AtCommit.STUCK:
                            return
                        await asyncio.sleep(0.3)
                server.write(data)
                await server.drain()
        if not fault.done():
            server.close()

    async def _forward_to_client(
        self,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        fault: "asyncio.Future[AtCommit]",
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if fault.done():
                    break
                client.write(data)
                await client.drain()
        if fault.done():
            server.close()
        client.transport.abort() if fault.done() else client.close()
