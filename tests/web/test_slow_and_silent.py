"""Peers that do not read or do not answer pings: they are dropped, and miss no message on return."""

import asyncio
import socket
from urllib.parse import urlsplit

import pytest

from tests.conftest import Harness, changed, token
from tornado_chat import config

VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def mute(harness: Harness, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a WebSocket that answers no pings and reads only when the test reads."""
    address = urlsplit(harness.http)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (address.hostname, address.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=4096)
    writer.write(HANDSHAKE.format(path=path).encode())
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def read_until(reader: asyncio.StreamReader, text: bytes) -> bytes:
    """Return the last bytes up to ``text``, which the server has to send before it closes the connection."""
    received = b""
    while text not in received:
        chunk = await reader.read(65_536)
        assert chunk, f"the connection was closed before {text!r}"
        received = received[-200:] + chunk
    return received


class TestSlow:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "limits", outgoing_bytes=200_000, bytes_burst=2**30)

    @pytest.mark.gen_test
    async def test_a_client_that_does_not_read_is_dropped_and_misses_nothing(self, harness: Harness) -> None:
        session = await harness.session()
        _, writer = await mute(harness, f"/chat?token={VISITOR}&sessionId={session}")
        counsellor = await harness.chat(COUNSELLOR, session, features="ack")
        texts = [f"{n}:" + 60_000 * "x" for n in range(150)]  # more than the sockets' buffers can hold
        for n, text in enumerate(texts):
            await counsellor.send_json({"msg": text, "id": str(n)})
            while "ack" not in await counsellor.recv_json():
                pass  # the slow peer delays no other peer
        writer.close()
        visitor = await harness.chat(VISITOR, session)
        got = []
        while len(got) < len(texts):
            frame = await visitor.recv_json()
            if not frame["isSystem"]:
                got.append(frame["msg"])
        assert got == texts
        assert harness.server.metrics.dropped.counts["chat", "slow"] == 1


class TestSilent:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "limits", ping_interval=0.2, ping_timeout=0.3)

    @pytest.mark.gen_test
    async def test_a_client_without_pongs_is_dropped_with_4408(self, harness: Harness) -> None:
        lively = await harness.connect(f"/notify?token={VISITOR}")
        reader, writer = await mute(harness, f"/notify?token={VISITOR}&features=seq")
        received = await reader.read(2)
        assert received[0] == 0x89  # a ping
        rest = await read_until(reader, b"to get what is missing")
        assert b"\x11\x38" in rest  # 4408 in a close frame
        assert b"no answer to pings" in rest
        assert harness.server.metrics.dropped.counts["notify", "silent"] == 1
        writer.close()
        await harness.api(
            "POST",
            "/api/v1/notifications",
            token("service", "host"),
            {"role": "user", "id": 1, "type": 0, "msg": "still there"},
        )
        assert (await lively.recv_json())["msg"] == "still there"
