"""Parsing of the WebSocket frames that the server builds."""


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a complete, unmasked frame of ``wire.websocket.frame``."""
    size = frame[1]
    return frame[2:] if size < 126 else frame[4 if size == 126 else 10 :]
