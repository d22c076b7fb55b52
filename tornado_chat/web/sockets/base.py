"""The base class of all WebSocket handlers: admission, limits, errors, acknowledgements, pongs, log lines.

A subclass defines the actions for a new socket, a frame and a closed socket. This class reports every error
to the client as the protocol requires: by a close code with a reason while the socket opens, by an error
frame of the dialect later.

Strategy: a message is passed to the writer without waiting for its commit, so that many frames of one sender
share a batch. The transport reads on as soon as ``on_message`` returns, and messages are stored in the order
of submission. Reading pauses only while ``MAX_PENDING_MESSAGES`` wait for their commit. A frame that is
answered from the database is awaited: the next frame waits until the answer is sent, and, if the client does
not read, until it has read (``transport.outgoing``). So a client has one such answer under way.

Every frame of a client takes a token of its bucket, before and after authentication: messages, fragments,
pings, and pongs that answer no ping of the server. The other pongs are free, because the server decides how
many there are: one for each of its pings.

The log contains the events of a socket under its ``conn``: opened, authenticated, left, refused. It never
contains texts of messages, at any level.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from tornado.iostream import IOStream, StreamClosedError
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.aio.deferred import Deferred
from tornado_chat.core.close_codes import (
    CLOSE_REASON_NAMES,
    LEAVE_CODES,
    RECONNECT_CODES,
    RESTARTING,
    SLOW,
)
from tornado_chat.core.errors import (
    ChatError,
    Conflict,
    Forbidden,
    Malformed,
    TooBig,
    TooFast,
    Unauthenticated,
    Unavailable,
)
from tornado_chat.core.handed_over import GrantState, SocketState, SupportDetails, ThreadDetails
from tornado_chat.core.requests import Request
from tornado_chat.core.texts import Language, error_text
from tornado_chat.core.types import AppendResult, Grant, HeldMessage, Identity
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import DROP_REASONS
from tornado_chat.services.auth.client_limits import Activity
from tornado_chat.services.auth.connection_limits import AnonymousConnection
from tornado_chat.services.container import Services
from tornado_chat.services.messaging.connections import Encoder, SocketGrant, SocketStream
from tornado_chat.services.supervision.approvals import refusal_of, result_of
from tornado_chat.web.http.client_request import client_request
from tornado_chat.web.http.open_connections import connection_of
from tornado_chat.web.http.origins import AllowedOrigins, refusal_fields
from tornado_chat.web.sockets.frame_limits import FrameLimits
from tornado_chat.web.transport.handler import FastWebSocketHandler, WebSocketConnection
from tornado_chat.wire.parsing import bare_token

log = logging.getLogger(__name__)

MAX_PENDING_MESSAGES = 64  # messages of one socket that wait for their commit
TOKEN_INTERVAL_SECONDS = 1.0  # seconds between two newer tokens of a socket, as a check costs time
MAX_CLOSE_REASON_BYTES = 123  # RFC 6455 section 5.5
PAGE_SHARE = 8  # the largest page of history is this part of ``[limits] outgoing_bytes``: an eighth

REQUEST_ATTRIBUTES = (
    *("request", "path_args", "path_kwargs", "open_args", "open_kwargs", "ui"),
    *("_headers", "_write_buffer", "_transforms"),
)
"""Attributes that Tornado keeps in a handler for the answer to an HTTP request."""

COUNTED_CLOSE_CODES = frozenset(
    {*range(1000, 1004), *range(1005, 1015), 4000, 4001, 4400, 4401, 4403, 4404, 4408, 4409, 4429}
)
"""Close codes with a metric of their own; clients may send other codes, which are counted as ``other``."""


class SocketHandler(FastWebSocketHandler):
    """One WebSocket; also the ``Transport`` of its ``SocketStream``.

    :cvar endpoint: the name of this kind of socket in the log and the metrics.
    :cvar token_in_query: whether the client proves its identity by the request, not by a frame.
    :cvar max_malformed_frames: the number of malformed frames that closes the socket, if they come within
        ``frame_limits.MALFORMED_WINDOW_SECONDS``; None: no limit.
    :ivar language: the language that the client has asked for; None: none.
    """

    endpoint: ClassVar[str]
    token_in_query: ClassVar[bool] = False
    max_malformed_frames: int | None = None
    socket_stream: SocketStream | None = None
    refused = False
    admitted = False
    language: Language | None = None
    _anonymous: AnonymousConnection | None = None
    _client_request: Request | None = None  # for plugins, if one asks for it
    _is_foreign_page = False  # its cookies do not count
    _used_request: Request | None = None  # that has proved the identity, without a token
    _counted = False
    _is_quiet = False  # many sockets of the client's network do not sign in
    _pending_messages = 0
    _held_messages = 0  # that wait for an approval, and then for their acknowledgement
    _renewable_at = 0.0  # by the loop's clock
    _slot_free: asyncio.Future[None] | None = None
    _local_close: tuple[int, str] | None = None  # if the server closes: the close code and the reason's name

    def initialize(self, services: Services, origins: AllowedOrigins) -> None:
        self.services = services
        self.opened_at = now_microseconds()
        self.meters = services.metrics.endpoint_meters[self.endpoint]
        self.connection_id = os.urandom(5).hex()
        self.tracing = log.isEnabledFor(logging.DEBUG)
        self._origins = origins
        self._loop = asyncio.get_running_loop()
        self.client_address = self.request.remote_ip or ""
        self._frame_limits = FrameLimits(services, self.client_address, self._loop.time())

    # --- methods that subclasses define ---

    @property
    def is_plain(self) -> bool:
        """True if the client has asked for no feature: it knows its published protocol only."""
        raise NotImplementedError

    async def admit(self) -> None:
        """Admit the socket.

        :raises ChatError: the socket is refused; it is closed with the close code of the error.
        """
        raise NotImplementedError

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        """Execute the command of a frame.

        :raises ChatError: the frame is refused; ``reply_error`` sends the answer.
        """
        raise NotImplementedError

    def reply_error(self, error: ChatError, data: str | bytes) -> None:
        """Inform the client that the frame ``data`` was refused."""
        raise NotImplementedError

    def on_disconnected(self, close_code: int | None) -> None:
        """Called once after the socket is closed, also if the socket was never admitted."""

    def conversation_fields(self) -> Mapping[str, Any]:
        """Return the log fields that identify the conversation of the socket."""
        return {}

    @property
    def asked_features(self) -> frozenset[str]:
        """The features that the client has asked for and that exist."""
        raise NotImplementedError

    def describe(self, grant: SocketGrant) -> tuple[Identity, ThreadDetails | SupportDetails] | None:
        """Return the person and what the socket is for; None: it cannot be handed over now."""
        raise NotImplementedError

    def make_encoder(self, state: SocketState) -> Encoder:
        """Return the encoder of a socket that is taken over."""
        raise NotImplementedError

    async def continue_from(self, state: SocketState, socket_stream: SocketStream) -> None:
        """Continue a socket that is taken over; it has its encoder already.

        :raises ChatError: the socket cannot go on; it is closed with the close code of the error.
        """
        raise NotImplementedError

    # --- the hand-over to another process ---

    def suspend(self) -> None:
        """Handle no more frames."""
        if self.ws_connection is not None:
            self.ws_connection.suspend()

    @property
    def can_be_handed_over(self) -> bool:
        """True if nothing is under way: no frame, no commit, no approval, no missed message."""
        return (
            self.admitted
            and not self.is_closing
            and self.socket_stream is not None
            and not self.socket_stream.closed
            and self.socket_stream.is_settled
            and self._used_request is None
            and not self._pending_messages
            and not self._held_messages
            and self.ws_connection is not None
            and self.ws_connection.can_be_handed_over
        )

    def hand_over(self) -> tuple[SocketState, int] | None:
        """Return the state and a duplicate of the descriptor; None: the socket cannot be handed over.

        Afterwards nothing is written to the socket or read from it.
        """
        if not self.can_be_handed_over or self.socket_stream is None or self.ws_connection is None:
            return None
        grant = self.services.connections.grants[self.socket_stream]
        described = self.describe(grant)
        if described is None:
            return None
        identity, details = described
        try:
            wire, descriptor = self.ws_connection.hand_over()
        except OSError:
            return None
        state = SocketState(
            self.endpoint,
            self.connection_id,
            self.opened_at,
            self.client_address,
            self.language,
            sorted(self.asked_features),
            GrantState(identity, grant.expires, grant.issued, grant.key, grant.opened),
            self.socket_stream.hand_over(),
            wire,
            details,
        )
        return state, descriptor

    async def take_over(self, state: SocketState, connected: socket.socket) -> None:
        """Continue the socket of another process.

        :raises OSError: the peer has disconnected.
        """
        self.opened_at, self.connection_id = state.opened_at, state.conn
        self.client_address, self.language = state.client_address, state.language
        self._frame_limits = FrameLimits(self.services, self.client_address, self._loop.time())
        connection = self.ws_connection = WebSocketConnection(self)
        await connection.take_over(connected, state.wire)
        self._counted = True
        self.meters.open += 1
        grant = Grant(state.grant.identity, state.grant.expires, state.grant.issued, state.grant.key)
        try:
            self._frame_limits.identify(grant.identity)
            self.socket_stream = self.services.connections.open(
                grant, self, self.make_encoder(state), self.meters, self.connection_id
            )
            self.services.connections.grants[self.socket_stream].opened = state.grant.opened
            self.socket_stream.take_over(state.stream)
            self.admitted = True
            await self.continue_from(state, self.socket_stream)
        except ChatError as error:
            self.refuse(error)
        self._release_request()
        log.info("taken over", extra=self._log_fields())
        connection.resume()

    # --- Tornado's side ---

    def check_origin(self, origin: str) -> bool:
        allowed = self._origins.is_allowed(origin)
        if not allowed:
            self.services.metrics.refused.add(self.endpoint, "origin")
            compared = refusal_fields(self.request.headers)
            listed = ", ".join(self._origins.listed) or "none"
            log.info("refused", extra=self._log_fields(reason="origin", **compared, origins=listed))
        return allowed

    async def open(self, *args: str, **kwargs: str) -> None:
        self._counted = True
        self.meters.opened += 1
        self.meters.open += 1
        self._is_quiet = not self.services.client_limits.may_open_unknown(self.client_address)
        self._log_event("opened")
        self.set_nodelay(True)
        if self.services.access_control.asks_for_requests:
            self._client_request = client_request(self.request, self._origins)
            self._is_foreign_page = self._client_request is None and "Cookie" in self.request.headers
        try:
            self._require_room()
            await self.admit()
        except ChatError as error:
            self.refuse(error)
        self._release_request()

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        now = self._loop.time()
        self.meters.frames += 1
        if not self._frame_limits.take(now):
            self._on_too_fast()
            return None
        if self.refused:  # the client sent this frame before it received the close frame
            return None
        if self.socket_stream is not None:
            self.socket_stream.last_received_at = now
        try:
            pause_seconds = self._frame_limits.count_message(message, now)
            awaitable = self.receive(message)
        except ChatError as error:
            self._on_error(error, message)
            return None
        if pause_seconds:
            return self._finish_and_pause(awaitable, message, pause_seconds)
        if awaitable is not None:
            return self._finish(awaitable, message)
        if self._pending_messages >= MAX_PENDING_MESSAGES:
            self._slot_free = self._loop.create_future()
            return self._slot_free
        return None

    def on_pong(self, data: bytes) -> None:
        if self.socket_stream is None or not self.socket_stream.pong(data, self._loop.time()):
            self._count_frame()

    def on_ping(self, data: bytes) -> None:
        self._count_frame()

    def on_fragment(self, data: bytes) -> None:
        self._count_frame()

    @property
    def max_unsent_bytes(self) -> int:
        return self.services.limits.outgoing_bytes

    def on_too_slow(self) -> None:
        if self.socket_stream is not None:
            self.socket_stream.close(*SLOW)  # the stream writes nothing afterwards
        else:
            self.close(*SLOW)

    def on_close(self) -> None:
        self._release_anonymous()
        if self._slot_free is not None and not self._slot_free.done():
            self._slot_free.set_result(None)
        if self._counted:
            self._count_close()
            if self.socket_stream is None and not self._is_quiet:  # else the network would stay in debt
                self.services.client_limits.count_unknown(self.client_address)
        if self.socket_stream is not None:
            self.services.connections.close(self.socket_stream)
        self.on_disconnected(self.close_code)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, HTTPError | asyncio.CancelledError):
            return  # an invalid request, whose answer states the error; or the server stops
        # Tornado's log line would quote the whole request, with the token in its URL.
        log.error("internal error", exc_info=(typ, value, tb), extra=self._log_fields())

    # --- for subclasses ---

    async def authenticate_token(self, token: str) -> Grant:
        """Return what the token of a client proves, with or without ``Bearer`` before it.

        Raises the errors of ``AccessControl.authenticate``.

        :arg token: empty: plugins may know the client by the handshake.
        :raises Forbidden: there is no token, and cookies of a page of an origin that is not listed.
        """
        bare = bare_token(token) or None
        if bare is None and self._is_foreign_page:
            raise Forbidden("origin_not_listed")
        grant = await self.services.access_control.authenticate(bare, self._client_request)
        self._used_request = self._client_request if bare is None else None
        return grant

    @property
    def is_engaged(self) -> bool:
        """True if the client takes part in an unfinished conversation, or waits in the queue.

        Such a socket outlives its token, see ``[auth] longest_socket``.
        """
        return False

    async def renew_token(self, token: str) -> Identity:
        """Let the socket use a newer token, and return its identity.

        :raises Forbidden: ``other_person``, the token is of another person or role; or ``token_refused``,
            it is not accepted. The socket stays open.
        :raises Conflict: ``token_too_often``.
        """
        assert self.socket_stream is not None, "frames are read only after the socket is admitted"
        now = self._loop.time()
        if now < self._renewable_at:
            raise Conflict("token_too_often")
        self._renewable_at = now + TOKEN_INTERVAL_SECONDS
        try:
            grant = await self.authenticate_token(token)
        except Unauthenticated as error:
            reason = error_text(self.language or self.services.language, error)
            raise Forbidden("token_refused", reason=reason) from error
        self.services.connections.renew(self.socket_stream, grant, self._used_request)
        return grant.identity

    def open_stream(self, grant: Grant, encoder: Encoder) -> SocketStream:
        """Open the outgoing side of this socket, after its person is authenticated.

        :raises TooFast: the person has too many open sockets, or opens them too fast.
        :raises Restarting: the server is about to stop.
        """
        self.services.client_limits.require(Activity.SOCKET, grant.identity, self.client_address)
        self._frame_limits.identify(grant.identity)
        self.socket_stream = self.services.connections.open(
            grant, self, encoder, self.meters, self.connection_id, self._used_request
        )
        self._release_anonymous()
        log.info("authenticated", extra=self._log_fields())
        return self.socket_stream

    @property
    def has_left(self) -> bool:
        """True if the client has left: it asked for no feature, and closed the socket itself.

        A client with features says in a frame, or by a close code, that it leaves.
        """
        return self.is_plain and self._local_close is None and self.final_close_code in LEAVE_CODES

    @property
    def is_closing(self) -> bool:
        """True if the socket is refused, closed or lost, perhaps while a coroutine of it waited."""
        return self.refused or self.ws_connection is None or self.ws_connection.is_abandoned

    @property
    def max_page_bytes(self) -> int:
        """The size of the texts in a page of history.

        Clients that read slowly get a page, and what is said meanwhile, without exceeding the limit of unsent
        bytes.
        """
        return self.max_unsent_bytes // PAGE_SHARE

    def trace(self, command: object, data: str | bytes) -> None:
        """Log the type and size of a frame at level debug, never its text. Only if ``tracing`` is set."""
        log.debug("frame", extra=self._log_fields(frame=type(command).__name__, size=len(data)))

    def ignore(self, data: str | bytes) -> None:
        """Count a frame that has no effect and no answer, such as a heartbeat of a deployed front end."""
        self.services.metrics.frames_ignored.add(self.endpoint)
        if self.tracing:
            log.debug("frame ignored", extra=self._log_fields(size=len(data)))

    def refuse(self, error: ChatError) -> None:
        """Close the socket with the error's close code; later frames of the client are ignored."""
        if not self.refused:
            self.refused = True
            self._record_close(error.close_code, error.code)
        closable = self if self.socket_stream is None else self.socket_stream
        closable.close(error.close_code, error_text(self.language or "en", error))

    def acknowledge_when_stored(
        self,
        stored: Deferred[AppendResult],
        data: str | bytes,
        acknowledgement: Callable[[AppendResult], bytes | None] | None,
    ) -> None:
        """Acknowledge the message ``data`` when it is committed, or answer the error if the commit failed.

        :arg acknowledgement: makes the frame of the acknowledgement, or None if there is none to send. None:
            the client has not requested acknowledgements.
        """
        self._pending_messages += 1
        self.meters.messages += 1
        stored.set_callback(partial(self._on_stored, data, acknowledgement))

    def send(self, text: bytes) -> None:
        """Send a frame of the dialect at once, not through the ``SocketStream``."""
        self.send_text(text)

    # --- the other methods of Transport; send_frame, is_clogged and has_read are inherited ---

    def ping(self, data: str | bytes = b"") -> None:
        try:
            super().ping(data)
        except (WebSocketClosedError, StreamClosedError):
            return

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        if code is not None and reason is not None:
            self._record_close(code, CLOSE_REASON_NAMES.get((code, reason), "closed"))
        if code in RECONNECT_CODES and self.is_plain and (self.admitted or code == RESTARTING[0]):
            self.cut()
            return
        if reason is not None:
            reason = reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore")
        super().close(code, reason)

    # --- private methods ---

    def _detach_stream(self) -> IOStream:
        # The HTTP server forgets the connection now; this handler counts it until its client has an identity.
        connection = connection_of(self.request)
        anonymous = None if connection is None else connection.hand_over()
        if anonymous is not None:
            self._anonymous = anonymous
        return super()._detach_stream()

    def _require_room(self) -> None:
        """Check that a socket without a token may wait for its identity.

        :raises Unavailable: too many sockets wait for theirs.
        :raises TooFast: too many sockets of the network have ended without one.
        """
        if self.token_in_query and self.request.query_arguments.get("token"):
            return
        if self._anonymous is not None and self._anonymous.is_excess:
            raise Unavailable("too_many_anonymous")
        if self._is_quiet:
            raise TooFast("too_fast")

    def _release_anonymous(self) -> None:
        anonymous: AnonymousConnection | None = self.__dict__.pop("_anonymous", None)
        if anonymous is not None:
            anonymous.release()

    def _release_request(self) -> None:
        """Drop the attributes of the HTTP request, which are half of the memory of an idle socket."""
        attributes = self.__dict__
        for name in REQUEST_ATTRIBUTES:
            attributes.pop(name, None)
        self.__dict__ = {**attributes}  # a new dict is smaller than one with deleted keys

    async def _finish(self, awaitable: Awaitable[None], data: str | bytes) -> None:
        try:
            await awaitable
        except ChatError as error:
            self._on_error(error, data)

    async def _finish_and_pause(
        self, awaitable: Awaitable[None] | None, data: str | bytes, seconds: float
    ) -> None:
        """Finish a command, then read no further frame for ``seconds``."""
        if awaitable is not None:
            await self._finish(awaitable, data)
        await asyncio.sleep(seconds)

    def _log_fields(self, **more: Any) -> dict[str, Any]:
        """Return the log fields of this socket, with the fields ``more``."""
        person: Mapping[str, Any] = {}
        if self.socket_stream is not None:
            person = {"role": self.socket_stream.person.role.value, "id": self.socket_stream.person.id}
        return fields(
            conn=self.connection_id, endpoint=self.endpoint, **person, **self.conversation_fields(), **more
        )

    def _record_close(self, code: int, reason: str) -> None:
        """Record that the server closes the socket; only the first reason is recorded."""
        if self._local_close is not None:
            return
        self._local_close = (code, reason)
        metrics = self.services.metrics
        if not self.admitted:
            metrics.refused.add(self.endpoint, reason)
            self._log_event("refused", code=code, reason=reason)
        elif reason in DROP_REASONS:
            metrics.dropped.add(self.endpoint, reason)
            log.info("dropped", extra=self._log_fields(code=code, reason=reason))

    def _count_close(self) -> None:
        self.meters.open -= 1
        code, reason = self._local_close or (self.final_close_code, None)
        self.services.metrics.closed.add(self.endpoint, str(code) if code in COUNTED_CLOSE_CODES else "other")
        seconds = round((now_microseconds() - self.opened_at) / 1e6, 1)
        reason_field = {} if reason is None else {"reason": reason}
        self._log_event("left", code=code, **reason_field, seconds=seconds)

    def _log_event(self, event: str, **more: Any) -> None:
        """Log an event of this socket; at level debug if it is one of many that do not sign in."""
        level = logging.DEBUG if self._is_quiet and self.socket_stream is None else logging.INFO
        log.log(level, event, extra=self._log_fields(**more))

    def _count_frame(self) -> None:
        """Count a frame that is not a message."""
        if not self._frame_limits.take(self._loop.time()):
            self._on_too_fast()

    def _on_too_fast(self) -> None:
        """Close the socket of a client that sends too fast, and parse no more of its frames."""
        error = TooFast("too_fast")
        if not self.refused:
            self.refused = True
            self._record_close(error.close_code, error.code)
        self.fail(error.close_code, error_text(self.language or "en", error))

    def _on_error(self, error: ChatError, data: str | bytes) -> None:
        """Answer an error, or close the socket if the error does not allow to continue."""
        if isinstance(error, TooBig | TooFast | Unauthenticated):
            self.refuse(error)
            return
        self.services.metrics.frames_refused.add(self.endpoint, error.code)
        if self.tracing:  # without the details of the error, which may quote the frame
            log.debug("frame refused", extra=self._log_fields(reason=error.code, size=len(data)))
        self.reply_error(error, data)
        if (
            isinstance(error, Malformed)
            and self.max_malformed_frames is not None
            and self._frame_limits.count_malformed(self._loop.time(), self.max_malformed_frames)
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
            if stored.result.held is not None:
                self._await_decision(stored.result.held, data, acknowledgement)
            elif acknowledgement is not None:
                text = acknowledgement(stored.result)
                if text is not None:
                    self.send(text)
        elif isinstance(error, ChatError):
            self._on_error(error, data)
        else:
            self.log_exception(type(error), error, error.__traceback__)

    def _await_decision(
        self,
        held_id: int,
        data: str | bytes,
        acknowledgement: Callable[[AppendResult], bytes | None] | None,
    ) -> None:
        """Acknowledge a held message when it is approved, or answer the error if it is not."""

        def answer(held: HeldMessage) -> None:
            decided: Deferred[AppendResult] = Deferred()
            if held.is_sent:
                decided.settle(result_of(held))
            else:
                decided.settle(error=refusal_of(held))
            self._held_messages -= 1
            self._pending_messages += 1
            self._on_stored(data, acknowledgement, decided)

        if self.socket_stream is not None:
            self._held_messages += 1
            self.services.approvals.when_decided(held_id, self.socket_stream, answer)
