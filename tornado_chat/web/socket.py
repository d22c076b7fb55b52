"""The base of every WebSocket: admission, limits, parsing, answers, pongs.

A subclass says what to do when the socket opens, with a frame, and when it is gone; this class
sees to it that whatever goes wrong reaches the client as the contract has it: a close code with
a reason while the socket opens, an error frame of the dialect later.

Strategy: a message is handed to the writer without waiting for its commit, so that many frames
of one sender share a batch; Tornado reads on as soon as ``on_message`` returns, and the order of
submission is the order of storage. Only when too many are under way does reading pause.
"""

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError

from tornado_chat.errors import ChatError, Malformed, TooBig, TooFast, Unauthenticated
from tornado_chat.logs import fields
from tornado_chat.services.connections import Encoder, Outbox
from tornado_chat.services.container import Services
from tornado_chat.texts import error_text
from tornado_chat.types import Identity, Stored
from tornado_chat.web.origins import Origins
from tornado_chat.web.transport import FastWebSocket

log = logging.getLogger(__name__)

MOST_UNDER_WAY = 64  # messages of one socket that wait for their commit
FAULT_WINDOW = 60.0  # seconds
LONGEST_REASON = 123  # bytes, RFC 6455 section 5.5


class Socket(FastWebSocket):
    """One WebSocket; also the ``Transport`` of its outbox.

    :cvar most_faults: the malformed frame within a minute that closes the socket; None: none does.
    """

    most_faults: int | None = None
    outbox: Outbox | None = None
    refused = False

    def initialize(self, services: Services, origins: Origins) -> None:
        self.services = services
        self.opened = now()
        self.connection_id = uuid.uuid4().hex[:12]
        self._origins = origins
        self._loop = asyncio.get_running_loop()
        self._under_way = 0
        self._room: asyncio.Future[None] | None = None
        self._allowance = float(services.limits.burst)
        self._allowance_at = self._loop.time()
        self._faults: deque[float] = deque(maxlen=self.most_faults)

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

    # --- Tornado's side ---

    def check_origin(self, origin: str) -> bool:
        return self._origins.allowed(origin)

    async def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        try:
            await self.admit()
        except ChatError as error:
            self.refuse(error)

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        if self.refused:  # what it had sent before it knew
            return None
        if self.outbox is not None:
            self.outbox.heard_at = self._loop.time()
        try:
            self._check_limits(message)
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
        log.debug("socket closed", extra=fields(connection=self.connection_id, code=self.close_code))
        if self.outbox is not None:
            self.services.connections.close(self.outbox)
        self.gone(self.close_code)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        # Tornado's text would quote the whole request, with the token in its address.
        log.error("internal error", exc_info=(typ, value, tb), extra=fields(connection=self.connection_id))

    # --- for subclasses ---

    def open_outbox(self, identity: Identity, encoder: Encoder) -> Outbox:
        """The outgoing side of this socket, now that it is known whose it is.

        :raises TooFast: the person has too many sockets open.
        :raises Restarting: the server is about to stop.
        """
        self.outbox = self.services.connections.open(identity, self, encoder)
        return self.outbox

    def argument(self, name: str) -> str | None:
        """A query parameter, or None.

        :raises Malformed: it is not UTF-8.
        """
        try:
            return self.get_query_argument(name, None)
        except HTTPError:
            raise Malformed("bad_parameter", name=name, reason="UTF-8 is expected") from None

    def number(self, name: str) -> int:
        """A query parameter that is a positive whole number.

        :raises Malformed: it is missing, or something else.
        """
        text = self.argument(name)
        if text is None or not text.isascii() or not text.isdigit() or len(text) > 18:
            raise Malformed("bad_parameter", name=name, reason="a whole number is expected")
        return int(text)

    def refuse(self, error: ChatError) -> None:
        """Close the socket with the error's close code; nothing that it still sends is looked at."""
        self.refused = True
        self.close(error.close_code, error_text("en", error))

    def when_stored(
        self,
        stored: asyncio.Future[Stored],
        data: str | bytes,
        acknowledgement: Callable[[Stored], bytes | None],
    ) -> None:
        """Acknowledge or refuse the message ``data`` as soon as its commit has come or failed.

        :arg acknowledgement: the frame that says so, or None for a client that does not ask.
        """
        self._under_way += 1
        stored.add_done_callback(partial(self._stored, data, acknowledgement))

    # --- Transport ---

    def send(self, frame: bytes) -> None:
        self.send_text(frame)

    def ping(self, data: str | bytes = b"") -> None:
        try:
            super().ping(data)
        except (WebSocketClosedError, StreamClosedError):
            return

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        if reason is not None:
            reason = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
        super().close(code, reason)

    # --- inside ---

    async def _finish(self, waiting: Awaitable[None], data: str | bytes) -> None:
        try:
            await waiting
        except ChatError as error:
            self._fault(error, data)

    def _check_limits(self, data: str | bytes) -> None:
        limits = self.services.limits
        size = len(data) if isinstance(data, bytes) else _size(data, limits.frame_bytes)
        if size > limits.frame_bytes:
            raise TooBig("too_big", limit=limits.frame_bytes)
        now = self._loop.time()
        grown = self._allowance + (now - self._allowance_at) * limits.messages_per_second
        self._allowance = min(float(limits.burst), grown) - 1
        self._allowance_at = now
        if self._allowance < 0:
            raise TooFast("too_fast")

    def _fault(self, error: ChatError, data: str | bytes) -> None:
        """Answer an error; close the socket for those that it cannot go on after."""
        if isinstance(error, TooBig | TooFast | Unauthenticated):
            self.refuse(error)
            return
        self.answer(error, data)
        if isinstance(error, Malformed) and self.most_faults is not None:
            now = self._loop.time()
            self._faults.append(now)
            if len(self._faults) == self.most_faults and now - self._faults[0] < FAULT_WINDOW:
                self.refuse(Malformed("too_many_errors"))

    def _stored(
        self,
        data: str | bytes,
        acknowledgement: Callable[[Stored], bytes | None],
        stored: asyncio.Future[Stored],
    ) -> None:
        self._under_way -= 1
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if stored.cancelled():
            return
        error = stored.exception()
        if error is None:
            frame = acknowledgement(stored.result())
            if frame is not None:
                self.send(frame)
        elif isinstance(error, ChatError):
            self._fault(error, data)
        else:
            self.log_exception(type(error), error, error.__traceback__)


def now() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def _size(text: str, limit: int) -> int:
    """The size in UTF-8, counted only where it could matter."""
    return len(text.encode()) if len(text) * 4 > limit else len(text)
