"""HTTP over bare sockets: clients that do not read, send slowly, or send nothing at all."""

import asyncio
import contextlib
import socket
from urllib.parse import urlsplit


class RawConnection:
    """One TCP connection to a server. Its small receive buffer keeps the kernel from reading for it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @classmethod
    async def open(cls, url: str, source: str = "127.0.0.1") -> "RawConnection":
        """Connect to the server at ``url`` from the local address ``source``."""
        parts = urlsplit(url)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        sock.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
        return cls(sock)

    async def send(self, data: str) -> None:
        await asyncio.get_running_loop().sock_sendall(self._sock, data.encode())

    async def request(self, path: str, *headers: str, method: str = "GET") -> None:
        await self.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]))

    async def receive(self, size: int = 65536) -> bytes:
        """Return what has arrived; empty at the end of the connection, also if it was reset."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.get_running_loop().sock_recv(self._sock, size)
        return b""

    async def receive_until(self, wanted: bytes) -> bytes:
        """Return what has arrived as soon as it contains ``wanted``, or at the end of the connection."""
        received = b""
        while wanted not in received and (more := await self.receive()):
            received += more
        return received

    async def receive_head(self) -> str:
        """Return the head of an answer; what has arrived of the body is dropped."""
        received = await self.receive_until(b"\r\n\r\n")
        return received.partition(b"\r\n\r\n")[0].decode()

    def read_fast(self) -> None:
        """Enlarge the receive buffer, to read the rest in less time."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    async def receive_all(self) -> bytes:
        """Return everything until the end of the connection."""
        received = b""
        while more := await self.receive(1 << 20):
            received += more
        return received

    async def wait_closed(self) -> None:
        while await self.receive(1 << 20):
            pass

    @property
    def is_closed(self) -> bool:
        """Whether the server has closed the connection and left no unread bytes."""
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def close(self) -> None:
        self._sock.close()
