"""Reading the WebSocket frames that the server makes."""


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a whole, unmasked frame of ``wire.websocket.encode_frame``."""
    size = frame[1]
    return frame[2:] if size < 126 else frame[4 if size == 126 else 10 :]
