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
from tornado_chat.aio.deferred import Pending
from tornado_chat.core.close_codes import WORDS
from tornado_chat.core.errors import ChatError, Malformed, TooBig, TooFast, Unauthenticated
from tornado_chat.core.texts import error_text
from tornado_chat.core.types import Identity, Stored
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import DROPS
from tornado_chat.services.container import Services
from tornado_chat.services.messaging.connections import Encoder, Outbox, TokenBucket
from tornado_chat.web.http.origins import Origins
from tornado_chat.web.transport.handler import FastWebSocket

log = logging.getLogger(__name__)

MOST_UNDER_WAY = 64  # messages of one socket that wait for their commit
FAULT_WINDOW = 60.0  # seconds
LONGEST_REASON = 123  # bytes, RFC 6455 section 5.5

OF_THE_REQUEST = (
    *("request", "path_args", "path_kwargs", "open_args", "open_kwargs", "ui"),
    *("_headers", "_write_buffer", "_transforms"),
)
"""What Tornado keeps in a handler for the answer to a request."""

CODES = frozenset(
    {*range(1000, 1004), *range(1005, 1015), 4000, 4001, 4400, 4401, 4403, 4404, 4408, 4409, 4429}
)
"""Close codes that are counted by themselves; a client may send any other, too."""


class Socket(FastWebSocket):
    """One WebSocket; also the ``Transport`` of its outbox.

    :cvar endpoint: what this kind of socket is called in the log and the metrics.
    :cvar most_faults: the malformed frame within a minute that closes the socket; None: none does.
    """

    endpoint: ClassVar[str]
    most_faults: int | None = None
    outbox: Outbox | None = None
    refused = False
    admitted = False
    _counted = False
    _under_way = 0
    _room: asyncio.Future[None] | None = None
    _faults: deque[float] | None = None  # when they were, of those within the window
    _parting: tuple[int, str] | None = None  # by us: the close code and a word for it

    def initialize(self, services: Services, origins: Origins) -> None:
        self.services = services
        self.opened = now_microseconds()
        self.tally = services.metrics.tallies[self.endpoint]
        self.connection_id = os.urandom(5).hex()
        self.tracing = log.isEnabledFor(logging.DEBUG)
        self._origins = origins
        self._loop = asyncio.get_running_loop()
        self._allowance = TokenBucket(services.limits.burst, self._loop.time())

    # --- what a subclass says ---

    async def admit(self) -> None:
        """Let the socket in, or raise the ``ChatError`` that closes it."""
        raise NotImplementedError

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        """Do what a frame asks for. A ``ChatError`` is answered by ``answer``."""
        raise NotImplementedError

    def answer(self, error: ChatError, data: str | bytes) -> None:
        """Tell the client that the frame ``data`` was refused."""
        raise NotImplementedError

    def gone(self, close_code: int | None) -> None:
        """The socket is closed. Called once, also for one that was never admitted."""

    def about(self) -> Mapping[str, Any]:
        """Which conversation the socket is in, for the log."""
        return {}

    # --- Tornado's side ---

    def check_origin(self, origin: str) -> bool:
        allowed = self._origins.allowed(origin)
        if not allowed:
            self.services.metrics.refused.add(self.endpoint, "origin")
            log.info("refused", extra=self._facts(reason="origin", origin=origin[:200]))
        return allowed

    async def open(self, *args: str, **kwargs: str) -> None:
        self._counted = True
        self.tally.opened += 1
        self.tally.open += 1
        log.info("opened", extra=self._facts())
        self.set_nodelay(True)
        try:
            await self.admit()
        except ChatError as error:
            self.refuse(error)
        self._forget_request()

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        if self.refused:  # what it had sent before it knew
            return None
        now = self._loop.time()
        self.tally.frames += 1
        if self.outbox is not None:
            self.outbox.heard_at = now
        try:
            self._check_limits(message, now)
            waiting = self.receive(message)
        except ChatError as error:
            self._fault(error, message)
            return None
        if waiting is not None:
            return self._finish(waiting, message)
        if self._under_way >= MOST_UNDER_WAY:
            self._room = self._loop.create_future()
            return self._room
        return None

    def on_pong(self, data: bytes) -> None:
        if self.outbox is not None:
            self.outbox.pong(data, self._loop.time())

    def on_close(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if self._counted:
            self._count_out()
        if self.outbox is not None:
            self.services.connections.close(self.outbox)
        self.gone(self.close_code)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, HTTPError):
            return  # a request that is none; the answer says so
        # Tornado's text would quote the whole request, with the token in its address.
        log.error("internal error", exc_info=(typ, value, tb), extra=self._facts())

    # --- for subclasses ---

    def open_outbox(self, identity: Identity, encoder: Encoder) -> Outbox:
        """The outgoing side of this socket, now that it is known whose it is.

        :raises TooFast: the person has too many sockets open.
        :raises Restarting: the server is about to stop.
        """
        self.outbox = self.services.connections.open(identity, self, encoder, self.tally, self.connection_id)
        log.info("authenticated", extra=self._facts())
        return self.outbox

    def trace(self, command: object, data: str | bytes) -> None:
        """Log at level debug that a frame came, not what it says. For a socket that is ``tracing``."""
        log.debug("frame", extra=self._facts(frame=type(command).__name__, size=len(data)))

    def refuse(self, error: ChatError) -> None:
        """Close the socket with the error's close code; nothing that it still sends is looked at."""
        if not self.refused:
            self.refused = True
            self._part(error.close_code, error.code)
        self.close(error.close_code, error_text("en", error))

    def when_stored(
        self,
        stored: Pending[Stored],
        data: str | bytes,
        acknowledgement: Callable[[Stored], bytes | None] | None,
    ) -> None:
        """Acknowledge or refuse the message ``data`` as soon as its commit has come or failed.

        :arg acknowledgement: makes the frame that says so; None for a client that does not ask, from either.
        """
        self._under_way += 1
        self.tally.messages += 1
        stored.then(partial(self._stored, data, acknowledgement))

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
            self._part(code, WORDS.get((code, reason), "closed"))
        if reason is not None:
            reason = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
        super().close(code, reason)

    # --- inside ---

    def _forget_request(self) -> None:
        """Let go of what nobody asks for once the socket is open: half of what it would cost while idle."""
        mine = self.__dict__
        for name in OF_THE_REQUEST:
            mine.pop(name, None)
        self.__dict__ = {**mine}  # as small as what is left

    async def _finish(self, waiting: Awaitable[None], data: str | bytes) -> None:
        try:
            await waiting
        except ChatError as error:
            self._fault(error, data)

    def _facts(self, **more: Any) -> dict[str, Any]:
        """What each line of the log has about this socket."""
        person: Mapping[str, Any] = {}
        if self.outbox is not None:
            person = {"role": self.outbox.person.role.value, "id": self.outbox.person.id}
        return fields(conn=self.connection_id, endpoint=self.endpoint, **person, **self.about(), **more)

    def _part(self, code: int, word: str) -> None:
        """We close the socket; the first reason is the one that counts."""
        if self._parting is not None:
            return
        self._parting = (code, word)
        metrics = self.services.metrics
        if not self.admitted:
            metrics.refused.add(self.endpoint, word)
            log.info("refused", extra=self._facts(code=code, reason=word))
        elif word in DROPS:
            metrics.dropped.add(self.endpoint, word)
            log.info("dropped", extra=self._facts(code=code, reason=word))

    def _count_out(self) -> None:
        self.tally.open -= 1
        code, word = self._parting or (self.verdict, None)
        self.services.metrics.closed.add(self.endpoint, str(code) if code in CODES else "other")
        seconds = round((now_microseconds() - self.opened) / 1e6, 1)
        why = {} if word is None else {"reason": word}
        log.info("left", extra=self._facts(code=code, **why, seconds=seconds))

    def _check_limits(self, data: str | bytes, now: float) -> None:
        limits = self.services.limits
        size = len(data)
        if size * 4 > limits.frame_bytes and isinstance(data, str):
            size = len(data.encode())
        if size > limits.frame_bytes:
            raise TooBig("too_big", limit=limits.frame_bytes)
        if not self._allowance.take(now, limits.messages_per_second, limits.burst):
            raise TooFast("too_fast")

    def _fault(self, error: ChatError, data: str | bytes) -> None:
        """Answer an error; close the socket for those that it cannot go on after."""
        if isinstance(error, TooBig | TooFast | Unauthenticated):
            self.refuse(error)
            return
        self.services.metrics.frames_refused.add(self.endpoint, error.code)
        if self.tracing:  # not what is wrong with it: that may quote the frame
            log.debug("frame refused", extra=self._facts(reason=error.code, size=len(data)))
        self.answer(error, data)
        if isinstance(error, Malformed) and self.most_faults is not None:
            now = self._loop.time()
            if self._faults is None:
                self._faults = deque(maxlen=self.most_faults)
            self._faults.append(now)
            if len(self._faults) == self.most_faults and now - self._faults[0] < FAULT_WINDOW:
                self.refuse(Malformed("too_many_errors"))

    def _stored(
        self,
        data: str | bytes,
        acknowledgement: Callable[[Stored], bytes | None] | None,
        stored: Pending[Stored],
    ) -> None:
        self._under_way -= 1
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        error = stored.error
        if error is None:
            if acknowledgement is not None:
                text = acknowledgement(stored.result)
                if text is not None:
                    self.send(text)
        elif isinstance(error, ChatError):
            self._fault(error, data)
        else:
            self.log_exception(type(error), error, error.__traceback__)
