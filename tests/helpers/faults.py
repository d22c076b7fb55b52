"""A TCP proxy with the faults of a network: resets, stalls, half-open connections, truncated frames."""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, with 0 seconds: closing the socket then sends a reset."""


class Link:
    """One connection through the proxy.

    :ivar up: bytes forwarded from the client to the server.
    :ivar down: bytes forwarded from the server to the client.
    :ivar limit_up: cut the connection after so many bytes to the server.
    :ivar limit_down: cut the connection after so many bytes to the client.
    :ivar flowing: set while data are forwarded.
    """

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.up = self.down = 0
        self.limit_up: int | None = None
        self.limit_down: int | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()

    def cut(self) -> None:
        """Reset both ends."""
        for end in (self.client, self.server):
            _reset(end)

    def leave_half_open(self) -> None:
        """Reset the client's end; the server is never told."""
        self.flowing.clear()
        _reset(self.client)


class FaultyProxy:
    """Proxy on a free port that forwards all data, until a fault is requested.

    With several ports each connection goes to the next server that accepts it, like behind a load balancer.

    :ivar drop_after_down: new connections are cut after so many bytes to the client, also within a frame.
    :ivar drop_after_up: the same for bytes to the server.
    :ivar links: the connections on which faults act.
    :ivar cuts: the number of connections that were cut.
    """

    def __init__(self, *ports: int) -> None:
        self._ports = deque(ports)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.links: list[Link] = []
        self._all_links: list[Link] = []
        self.cuts = 0
        self.drop_after_down: int | None = None
        self.drop_after_up: int | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for link in self._all_links:
            link.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- faults, for all present links ---

    def cut(self) -> None:
        for link in self._take_links():
            link.cut()

    def close(self) -> None:
        """Cut all links and refuse new connections."""
        assert self._server is not None
        self._server.close()
        self.cut()

    def leave_half_open(self) -> None:
        for link in self._take_links():
            link.leave_half_open()

    def stall(self) -> None:
        """Stop forwarding in both directions, without telling either end."""
        for link in self.links:
            link.flowing.clear()

    def resume(self) -> None:
        for link in self.links:
            link.flowing.set()

    def _take_links(self) -> list[Link]:
        links, self.links = self.links, []
        self.cuts += len(links)
        return links

    # --- forwarding ---

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server = await self._open()
        if server is None:  # all servers are down, which some tests expect
            _reset(writer)
            return
        server_reader, server_writer = server
        link = Link(writer, server_writer)
        link.limit_up, link.limit_down = self.drop_after_up, self.drop_after_down
        self.links.append(link)
        self._all_links.append(link)
        up = asyncio.create_task(self._forward(link, reader, server_writer, up=True))
        down = asyncio.create_task(self._forward(link, server_reader, writer, up=False))
        self._tasks |= {up, down}

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in range(len(self._ports)):
            self._ports.rotate()
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self._ports[0])
        return None

    async def _forward(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await link.flowing.wait()
                limit = link.limit_up if up else link.limit_down
                forwarded = link.up if up else link.down
                if limit is not None and forwarded + len(data) >= limit:
                    writer.write(data[: limit - forwarded])
                    with contextlib.suppress(OSError):
                        await writer.drain()
                    self.cuts += 1
                    # A close instead of a reset: the bytes that were forwarded must arrive.
                    link.client.close()
                    link.server.close()
                    break
                if up:
                    link.up += len(data)
                else:
                    link.down += len(data)
                writer.write(data)
                await writer.drain()
        await link.flowing.wait()
        for end in (link.client, link.server):
            end.close()
        if link in self.links:
            self.links.remove(link)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
