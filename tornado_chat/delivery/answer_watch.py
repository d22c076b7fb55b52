"""Notices that a socket leaves a ping unanswered, long before the socket is closed for that."""

import asyncio
from collections.abc import Callable

from tornado_chat.delivery.socket_stream import SocketStream

UNANSWERED_SECONDS = 3.0
"""The silence after a ping that counts as no answer: longer than the way to any peer and back."""


class AnswerWatch:
    """Watches whether one socket answers its pings.

    One timer at a time is enough: it looks at the ping that is outstanding when it ends. So a socket with
    many pings costs no more than one with few.

    :arg on_change: called when ``is_answering`` has changed.
    :ivar is_answering: False from ``UNANSWERED_SECONDS`` of silence after a ping until the peer answers.
    """

    __slots__ = ("_loop", "_on_change", "_socket_stream", "_timer", "is_answering")

    def __init__(
        self, socket_stream: SocketStream, loop: asyncio.AbstractEventLoop, on_change: Callable[[], None]
    ) -> None:
        self._socket_stream = socket_stream
        self._loop = loop
        self._on_change = on_change
        self._timer: asyncio.TimerHandle | None = None
        self.is_answering = True

    def on_ping(self) -> None:
        """A ping was sent to the peer."""
        if self._timer is None:
            self._timer = self._loop.call_later(UNANSWERED_SECONDS, self._check)

    def on_answer(self) -> None:
        """The peer has answered its ping."""
        if not self.is_answering:
            self._set(is_answering=True)

    def _check(self) -> None:
        self._timer = None
        silent_since = None if self._socket_stream.closed else self._socket_stream.silent_since()
        if silent_since is None:
            return
        remaining = silent_since + UNANSWERED_SECONDS - self._loop.time()
        if self.is_answering is (remaining <= 0):
            self._set(is_answering=remaining > 0)  # another frame than the pong is a sign of life, too
        self._timer = self._loop.call_later(remaining if remaining > 0 else UNANSWERED_SECONDS, self._check)

    def _set(self, *, is_answering: bool) -> None:
        self.is_answering = is_answering
        self._on_change()
