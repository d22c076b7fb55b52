"""A TCP proxy that does to connections what networks do: cuts, stalls, silence, half a frame."""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from types import TracebackType
from typing import Self

CHUNK = 65536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: on, no seconds. Closing then sends a reset, as a machine that vanished would."""


class Link:
    """One connection through the proxy. ``up`` is from the client to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.up = self.down = 0
        self.limit_up: int | None = None
        self.limit_down: int | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()

    def cut(self) -> None:
        """Both ends see a reset."""
        for end in (self.client, self.server):
            _reset(end)

    def leave_half_open(self) -> None:
        """The client is gone; the server hears nothing of it, ever."""
        self.flowing.clear()
        _reset(self.client)


class FaultyProxy:
    """Listens on a free port and hands everything on to the server, until it is told otherwise.

    Of several servers each connection gets the next one that takes it, as from a load balancer.

    New links take over ``drop_after_down`` and ``drop_after_up``: after so many bytes in that direction
    the link is cut, wherever in a frame that is.
    """

    def __init__(self, *ports: int) -> None:
        self._ports = deque(ports)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.links: list[Link] = []
        self._ever: list[Link] = []
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
        for link in self._ever:
            link.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- faults, for all links that there are ---

    def cut(self) -> None:
        for link in self._take():
            link.cut()

    def close(self) -> None:
        """Cut all, and take nobody any more."""
        assert self._server is not None
        self._server.close()
        self.cut()

    def leave_half_open(self) -> None:
        for link in self._take():
            link.leave_half_open()

    def stall(self) -> None:
        """Nothing passes any more, in either direction; nobody is told."""
        for link in self.links:
            link.flowing.clear()

    def resume(self) -> None:
        for link in self.links:
            link.flowing.set()

    def _take(self) -> list[Link]:
        links, self.links = self.links, []
        self.cuts += len(links)
        return links

    # --- passing on ---

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server = await self._open()
        if server is None:  # all are down, as to be expected now and then
            _reset(writer)
            return
        server_reader, server_writer = server
        link = Link(writer, server_writer)
        link.limit_up, link.limit_down = self.drop_after_up, self.drop_after_down
        self.links.append(link)
        self._ever.append(link)
        up = asyncio.create_task(self._pass_on(link, reader, server_writer, up=True))
        down = asyncio.create_task(self._pass_on(link, server_reader, writer, up=False))
        self._tasks |= {up, down}

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in range(len(self._ports)):
            self._ports.rotate()
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self._ports[0])
        return None

    async def _pass_on(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await link.flowing.wait()
                limit = link.limit_up if up else link.limit_down
                passed = link.up if up else link.down
                if limit is not None and passed + len(data) >= limit:
                    writer.write(data[: limit - passed])
                    with contextlib.suppress(OSError):
                        await writer.drain()
                    self.cuts += 1
                    # Not a reset towards the reader: what was passed on must arrive.
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
