"""The limit of the load generator: a server that answers with prepared frames.

The number of messages is computed from the number of received bytes, and the other socket of the pair gets
this number of frames in one write. The server parses nothing, so its rate is the limit of the load generator,
which does not limit a slower server.
"""

import asyncio
import base64
import hashlib
import sys

TEXT = b'{"msg":"' + b"x" * 88 + b'"}'
FRAME = bytes([0x81, len(TEXT)]) + TEXT
RECEIVED_FRAME_BYTES = len(FRAME) + 4  # with the client's mask
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Ceiling(asyncio.Protocol):
    """A server connection. :ivar incomplete_bytes: the received bytes of an incomplete frame."""

    def __init__(self, rooms: dict[bytes, list["Ceiling"]]) -> None:
        self.rooms = rooms
        self.room: list[Ceiling] | None = None
        self.incomplete_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.room is None:
            lines = data.split(b"\r\n")
            key = next(line[19:] for line in lines if line.lower().startswith(b"sec-websocket-key:"))
            accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest())
            self.transport.write(  # type: ignore[attr-defined]
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.room = self.rooms.setdefault(lines[0].split()[1], [])
            self.room.append(self)
            return
        messages, self.incomplete_bytes = divmod(len(data) + self.incomplete_bytes, RECEIVED_FRAME_BYTES)
        for other in self.room:
            if other is not self:
                other.transport.write(FRAME * messages)  # type: ignore[attr-defined]


async def main() -> None:
    rooms: dict[bytes, list[Ceiling]] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Ceiling(rooms), "127.0.0.1", 0)
    sys.stderr.write(f"url=http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stderr.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
