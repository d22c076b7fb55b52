"""WebSocket frames as the server and as a client build them."""

import asyncio


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a complete, unmasked frame of ``wire.websocket.frame``."""
    size = frame[1]
    return frame[2:] if size < 126 else frame[4 if size == 126 else 10 :]


def client_frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame as a client sends it, with a mask of zeros, which leaves the payload readable."""
    size = len(payload)
    head = bytes((opcode | (0x80 if fin else 0),))
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 65536:
        head += bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """Read an unfragmented frame of the server: its opcode and payload. None: the connection has ended."""
    try:
        first, size = await reader.readexactly(2)
        if size >= 126:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        return first & 15, await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
