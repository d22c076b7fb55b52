"""The base of every WebSocket: admission, limits, parsing, answers, pongs.

A subclass says what to do when the socket opens, with a frame, and when it is gone; this class
sees to it that whatever goes wrong reaches the client as the contract has it: a close code with
a reason while the socket opens, an error frame of the dialect later.

Strategy: a message is handed to the writer without waiting for its commit, so that many frames
of one sender share a batch; Tornado reads on as soon as ``on_message`` returns, and the order of
submission is the order of storage. Only when too many are under way does reading pause.

The life of a socket is in the log under its ``conn``: opened, authenticated, left, or refused. What it
says is not, at any level.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.aio.deferred import Deferred
from tornado_chat.core.close_codes import CLOSE_REASON_NAMES
from tornado_chat.core.errors import ChatError, Malformed, TooBig, TooFast, Unauthenticated
from tornado_chat.core.texts import error_text
from tornado_chat.core.types import AppendResult, Identity
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import DROP_REASONS
from tornado_chat.services.container import Services
from tornado_chat.services.messaging.connections import Encoder, SocketStream, TokenBucket
from tornado_chat.web.http.origins import AllowedOrigins
from tornado_chat.web.transport.handler import FastWebSocketHandler

log = logging.getLogger(__name__)

MAX_PENDING_MESSAGES = 64  # messages of one socket that wait for their commit
FAULT_WINDOW_SECONDS = 60.0  # seconds
MAX_CLOSE_REASON_BYTES = 123  # bytes, RFC 6455 section 5.5

REQUEST_ATTRIBUTES = (
    *("request", "path_args", "path_kwargs", "open_args", "open_kwargs", "ui"),
    *("_headers", "_write_buffer", "_transforms"),
)
"""What Tornado keeps in a handler for the answer to a request."""

COUNTED_CLOSE_CODES = frozenset(
    {*range(1000, 1004), *range(1005, 1015), 4000, 4001, 4400, 4401, 4403, 4404, 4408, 4409, 4429}
)
"""Close codes that are counted by themselves; a client may send any other, too."""


class SocketHandler(FastWebSocketHandler):
    """One WebSocket; also the ``Transport`` of its outbox.

    :cvar endpoint: what this kind of socket is called in the log and the metrics.
    :cvar max_malformed_frames: the malformed frame within a minute that closes the socket; None: none does.
    """

    endpoint: ClassVar[str]
    max_malformed_frames: int | None = None
    socket_stream: SocketStream | None = None
    refused = False
    admitted = False
    _counted = False
    _pending_messages = 0
    _slot_free: asyncio.Future[None] | None = None
    _malformed_at: deque[float] | None = None  # when they were, of those within the window
    _local_close: tuple[int, str] | None = None  # by us: the close code and a word for it

    def initialize(self, services: Services, origins: AllowedOrigins) -> None:
        self.services = services
        self.opened = now_microseconds()
        self.tally = services.metrics.endpoint_meters[self.endpoint]
        self.connection_id = os.urandom(5).hex()
        self.tracing = log.isEnabledFor(logging.DEBUG)
        self._origins = origins
        self._loop = asyncio.get_running_loop()
        self._bucket_tokens = TokenBucket(services.limits.burst, self._loop.time())

    # --- what a subclass says ---

    async def admit(self) -> None:
        """Let the socket in, or raise the ``ChatError`` that closes it."""
        raise NotImplementedError

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        """Do what a frame asks for. A ``ChatError`` is answered by ``reply_error``."""
        raise NotImplementedError

    def reply_error(self, error: ChatError, data: str | bytes) -> None:
        """Tell the client that the frame ``data`` was refused."""
        raise NotImplementedError

    def on_disconnected(self, close_code: int | None) -> None:
        """The socket is closed. Called once, also for one that was never admitted."""

    def conversation_fields(self) -> Mapping[str, Any]:
        """Which conversation the socket is in, for the log."""
        return {}

    # --- Tornado's side ---

    def check_origin(self, origin: str) -> bool:
        allowed = self._origins.is_allowed(origin)
        if not allowed:
            self.services.metrics.refused.add(self.endpoint, "origin")
            log.info("refused", extra=self._log_fields(reason="origin", origin=origin[:200]))
        return allowed

    async def open(self, *args: str, **kwargs: str) -> None:
        self._counted = True
        self.tally.opened += 1
        self.tally.open += 1
        log.info("opened", extra=self._log_fields())
        self.set_nodelay(True)
        try:
            await self.admit()
        except ChatError as error:
            self.refuse(error)
        self._release_request()

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        if self.refused:  # what it had sent before it knew
            return None
        now = self._loop.time()
        self.tally.frames += 1
        if self.socket_stream is not None:
            self.socket_stream.last_received_at = now
        try:
            self._check_limits(message, now)
            waiting = self.receive(message)
        except ChatError as error:
            self._on_error(error, message)
            return None
        if waiting is not None:
            return self._finish(waiting, message)
        if self._pending_messages >= MAX_PENDING_MESSAGES:
            self._slot_free = self._loop.create_future()
            return self._slot_free
        return None

    def on_pong(self, data: bytes) -> None:
        if self.socket_stream is not None:
            self.socket_stream.pong(data, self._loop.time())

    def on_close(self) -> None:
        if self._slot_free is not None and not self._slot_free.done():
            self._slot_free.set_result(None)
        if self._counted:
            self._count_close()
        if self.socket_stream is not None:
            self.services.connections.close(self.socket_stream)
        self.on_disconnected(self.close_code)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, HTTPError):
            return  # a request that is none; the answer says so
        # Tornado's text would quote the whole request, with the token in its address.
        log.error("internal error", exc_info=(typ, value, tb), extra=self._log_fields())

    # --- for subclasses ---

    def open_stream(self, identity: Identity, encoder: Encoder) -> SocketStream:
        """The outgoing side of this socket, now that it is known whose it is.

        :raises TooFast: the person has too many sockets open.
        :raises Restarting: the server is about to stop.
        """
        self.socket_stream = self.services.connections.open(
            identity, self, encoder, self.tally, self.connection_id
        )
        log.info("authenticated", extra=self._log_fields())
        return self.socket_stream

    def trace(self, command: object, data: str | bytes) -> None:
        """Log at level debug that a frame came, not what it says. For a socket that is ``tracing``."""
        log.debug("frame", extra=self._log_fields(frame=type(command).__name__, size=len(data)))

    def refuse(self, error: ChatError) -> None:
        """Close the socket with the error's close code; nothing that it still sends is looked at."""
        if not self.refused:
            self.refused = True
            self._record_close(error.close_code, error.code)
        self.close(error.close_code, error_text("en", error))

    def acknowledge_when_stored(
        self,
        stored: Deferred[AppendResult],
        data: str | bytes,
        acknowledgement: Callable[[AppendResult], bytes | None] | None,
    ) -> None:
        """Acknowledge or refuse the message ``data`` as soon as its commit has come or failed.

        :arg acknowledgement: makes the frame that says so; None for a client that does not ask, from either.
        """
        self._pending_messages += 1
        self.tally.messages += 1
        stored.set_callback(partial(self._on_stored, data, acknowledgement))

    def send(self, text: bytes) -> None:
        """A message of the dialect, that nobody has to receipt."""
        self.send_text(text)

    # --- Transport; send_frame and unsent are there already ---

    def ping(self, data: str | bytes = b"") -> None:
        try:
            super().ping(data)
        except (WebSocketClosedError, StreamClosedError):
            return

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        if code is not None and reason is not None:
            self._record_close(code, CLOSE_REASON_NAMES.get((code, reason), "closed"))
        if reason is not None:
            reason = reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore")
        super().close(code, reason)

    # --- inside ---

    def _release_request(self) -> None:
        """Let go of what nobody asks for once the socket is open: half of what it would cost while idle."""
        mine = self.__dict__
        for name in REQUEST_ATTRIBUTES:
            mine.pop(name, None)
        self.__dict__ = {**mine}  # as small as what is left

    async def _finish(self, waiting: Awaitable[None], data: str | bytes) -> None:
        try:
            await waiting
        except ChatError as error:
            self._on_error(error, data)

    def _log_fields(self, **more: Any) -> dict[str, Any]:
        """What each line of the log has about this socket."""
        person: Mapping[str, Any] = {}
        if self.socket_stream is not None:
            person = {"role": self.socket_stream.person.role.value, "id": self.socket_stream.person.id}
        return fields(
            conn=self.connection_id, endpoint=self.endpoint, **person, **self.conversation_fields(), **more
        )

    def _record_close(self, code: int, word: str) -> None:
        """We close the socket; the first reason is the one that counts."""
        if self._local_close is not None:
            return
        self._local_close = (code, word)
        metrics = self.services.metrics
        if not self.admitted:
            metrics.refused.add(self.endpoint, word)
            log.info("refused", extra=self._log_fields(code=code, reason=word))
        elif word in DROP_REASONS:
            metrics.dropped.add(self.endpoint, word)
            log.info("dropped", extra=self._log_fields(code=code, reason=word))

    def _count_close(self) -> None:
        self.tally.open -= 1
        code, word = self._local_close or (self.final_close_code, None)
        self.services.metrics.closed.add(self.endpoint, str(code) if code in COUNTED_CLOSE_CODES else "other")
        seconds = round((now_microseconds() - self.opened) / 1e6, 1)
        why = {} if word is None else {"reason": word}
        log.info("left", extra=self._log_fields(code=code, **why, seconds=seconds))

    def _check_limits(self, data: str | bytes, now: float) -> None:
        limits = self.services.limits
        size = len(data)
        if size * 4 > limits.frame_bytes and isinstance(data, str):
            size = len(data.encode())
        if size > limits.frame_bytes:
            raise TooBig("too_big", limit=limits.frame_bytes)
        if not self._bucket_tokens.take(now, limits.messages_per_second, limits.burst):
            raise TooFast("too_fast")

    def _on_error(self, error: ChatError, data: str | bytes) -> None:
        """Answer an error; close the socket for those that it cannot go on after."""
        if isinstance(error, TooBig | TooFast | Unauthenticated):
            self.refuse(error)
            return
        self.services.metrics.frames_refused.add(self.endpoint, error.code)
        if self.tracing:  # not what is wrong with it: that may quote the frame
            log.debug("frame refused", extra=self._log_fields(reason=error.code, size=len(data)))
        self.reply_error(error, data)
        if isinstance(error, Malformed) and self.max_malformed_frames is not None:
            now = self._loop.time()
            if self._malformed_at is None:
                self._malformed_at = deque(maxlen=self.max_malformed_frames)
            self._malformed_at.append(now)
            if (
                len(self._malformed_at) == self.max_malformed_frames
                and now - self._malformed_at[0] < FAULT_WINDOW_SECONDS
            ):
                self.refuse(Malformed("too_many_errors"))

    def _on_stored(
        self,
        data: str | bytes,
        acknowledgement: Callable[[AppendResult], bytes | None] | None,
        stored: Deferred[AppendResult],
    ) -> None:
        self._pending_messages -= 1
        if self._slot_free is not None and not self._slot_free.done():
            self._slot_free.set_result(None)
        error = stored.error
        if error is None:
            if acknowledgement is not None:
                text = acknowledgement(stored.result)
                if text is not None:
                    self.send(text)
        elif isinstance(error, ChatError):
            self._on_error(error, data)
        else:
            self.log_exception(type(error), error, error.__traceback__)
