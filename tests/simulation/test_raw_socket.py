"""The raw sockets of ``scripts/attacks``."""

import asyncio
import contextlib

import pytest

from scripts.attacks.raw_socket import RawSocket
from tornado_chat.wire.websocket import BINARY, CLOSE, encode_frame

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
MORE_THAN_THE_KERNEL_BUFFERS = 16 * 2**20


async def _connection_lost(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.mark.gen_test
async def test_a_socket_that_closed_with_unsent_bytes_can_be_aborted() -> None:
    """The server closes first and reads later; asyncio's own ``abort`` fails after that."""
    read_now, all_read = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(UPGRADE + encode_frame(CLOSE, b"\x11\x4d"))  # 4429
        await read_now.wait()
        while await reader.read(2**20):
            pass
        all_read.set()
        writer.close()
        await _connection_lost(writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        socket = await RawSocket.open(server.sockets[0].getsockname()[1], "/chat", source="127.0.0.1")
        socket.write(bytes([0x80 | BINARY]) + bytes(MORE_THAN_THE_KERNEL_BUFFERS))
        assert await socket.wait_closed(60.0) == 4429
        assert socket.unsent_bytes > 0
        read_now.set()
        await all_read.wait()
        socket.abort()
