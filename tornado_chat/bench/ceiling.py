"""What the load generator itself could do: a server that answers by frames which it made beforehand.

Each chunk that arrives is worth as many messages as its length says; the other socket of the pair gets as
many, in one write. Nothing is parsed, so whatever is slower than this is not slow because of the load.
"""

import asyncio
import base64
import hashlib
import sys

TEXT = b'{"msg":"' + b"x" * 88 + b'"}'
FRAME = bytes([0x81, len(TEXT)]) + TEXT
ARRIVES = len(FRAME) + 4  # with the client's mask
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Ceiling(asyncio.Protocol):
    def __init__(self, rooms: dict[bytes, list["Ceiling"]]) -> None:
        self.rooms = rooms
        self.room: list[Ceiling] | None = None
        self.left = 0

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
        whole, self.left = divmod(len(data) + self.left, ARRIVES)
        for other in self.room:
            if other is not self:
                other.transport.write(FRAME * whole)  # type: ignore[attr-defined]


async def main() -> None:
    rooms: dict[bytes, list[Ceiling]] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Ceiling(rooms), "127.0.0.1", 0)
    sys.stderr.write(f"url=http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stderr.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
