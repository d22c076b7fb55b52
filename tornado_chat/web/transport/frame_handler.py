"""The methods of a handler that ``WebSocketConnection`` uses beyond those of Tornado's class."""

from tornado.websocket import WebSocketHandler

DEFAULT_MAX_UNSENT_BYTES = 4 * 1024 * 1024


class FrameHandler(WebSocketHandler):
    """The base class of the handlers that ``WebSocketConnection`` can serve."""

    @property
    def max_unsent_bytes(self) -> int:
        """The limit of the unsent bytes of a new connection, above which ``on_too_slow`` is called."""
        return DEFAULT_MAX_UNSENT_BYTES

    def on_too_slow(self) -> None:
        """Close the connection: the peer leaves more than ``max_unsent_bytes`` unread."""
        self.close(1008, "too slow")

    def on_fragment(self, data: bytes) -> None:
        """Called with each fragment after which its message is still incomplete."""
