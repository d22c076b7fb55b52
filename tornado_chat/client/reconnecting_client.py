"""The base class of the clients of both dialects: a connection that reconnects by itself.

Strategy: a :class:`ReconnectingClient` uses one socket after another. It keeps the frames that are not
answered yet, by id and in order, and writes them all to each new socket. A dialect is a subclass that defines
two methods: the URL to connect to, and the handling of received frames.
"""

import asyncio
import contextlib
import math
import random
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec

from tornado_chat.client.delivery import Delivery
from tornado_chat.client.socket import ClientSocket, ConnectionClosed, ReceiveQueue
from tornado_chat.client.token_expiry import RENEW_RETRY_SECONDS, Token, renewal_delay
from tornado_chat.core.plain_text import well_formed

T = TypeVar("T")
RETRY_CODES = frozenset({1001, 1005, 1006, 1011, 1012, 1013, 1014, 4408})
"""Close codes of temporary failures of the server, the network or a proxy (1005, 1014): worth a reconnect.

With any other code the server would give the same answer again.
"""

IMMEDIATE_RETRY_CODES = frozenset({1006, 1012})
"""Close codes after which the next server process is probably ready: the first retry needs no delay."""

MAX_REASON_BYTES = 123  # the payload of a control frame without the close code


class MessageRefused(Exception):
    """The server refused this message.

    :ivar text: the server's reason, a sentence for people.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Ack(msgspec.Struct, frozen=True):
    """The acknowledgement of a stored message.

    :ivar seq: the number of the message in its conversation.
    :ivar time: the server's time, ISO 8601 with its offset.
    """

    seq: int
    time: str


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The timeouts and delays of a client.

    The delay before a reconnect is a random part (full jitter) of ``initial_delay_seconds``, doubled with
    each failure up to ``max_delay_seconds``. A connection that lasted longer than ``max_delay_seconds``
    resets the number of failures.

    :arg timeout_seconds: for the connection, and again for the dialect's handshake.
    :arg ping_interval_seconds: between the client's own pings, which detect a dead server; 0: no pings.
    :arg on_change: called with the error when a connection is lost or failed and will be retried, and with
        None when the client is connected. It must not raise.
    :arg random: returns a number from 0 to 1; replaced by tests.
    :arg sleep: waits for a number of seconds; replaced by tests.
    """

    timeout_seconds: float = 10.0
    ping_interval_seconds: float = 30.0
    initial_delay_seconds: float = 0.1
    max_delay_seconds: float = 5.0
    on_change: Callable[[ConnectionClosed | None], None] | None = None
    random: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def delay(self, code: int, failures: int) -> float:
        """Return the seconds until the next attempt, after ``failures`` failures and the close ``code``."""
        if failures == 0 and code in IMMEDIATE_RETRY_CODES:
            return 0.0
        doublings = min(max(failures - 1, 0), 32)
        return self.random() * min(self.max_delay_seconds, self.initial_delay_seconds * 2.0**doublings)


class _PendingFrame(msgspec.Struct):
    """A frame that waits: for its answer, or only until it is written.

    :ivar needs_answer: whether the frame waits for an answer of the server.
    """

    data: bytes
    needs_answer: bool
    result: "asyncio.Future[Any]"


class ReconnectingClient(ABC, Generic[T]):
    """The base class of the clients; ``T`` is the type of the received frames.

    An object is used once: ``async with client:``, or :meth:`connect` … :meth:`close`. Frames are read with
    ``async for`` or :meth:`receive`. Every wait can be cancelled; the message of a cancelled send may still
    arrive.

    :ivar on_delivery: called when the other side has received or read more (features ``receipt`` and
        ``read``): with the address of the user, for a waiter's client, else None, and with the ``Delivery``.
        It must not raise.
    """

    on_delivery: Callable[[str | None, Delivery], None] | None = None

    def __init__(self, token: Token, options: Options) -> None:
        self._token = token
        self._current_token = ""  # the token of the present connection
        self._renewal_timer: asyncio.TimerHandle | None = None
        self._options = options
        self._received: ReceiveQueue[T] = ReceiveQueue()
        self._outgoing: dict[str, _PendingFrame] = {}
        self._socket: ClientSocket | None = None
        self._handshake_done = False  # the dialect's handshake is done
        self._is_writing = False  # messages are written at once
        self._own_close: ConnectionClosed | None = None  # set by close()
        self._task: asyncio.Task[None] | None = None

    # --- public methods ---

    async def connect(self) -> Self:
        """Connect, with retries until a connection is made. Cancelling this call closes the client.

        In the counselling dialect, the refusal may follow only after this call: the server accepts a
        WebSocket before it checks the token.

        :raises ConnectionClosed: the server refuses the client.
        """
        if self._task is None and self._received.end_error is None:
            self._task = asyncio.create_task(self._run())
        try:
            while not self._handshake_done:
                await self._received.wait_for_change()
        except BaseException:
            await self.close()
            raise
        return self

    async def receive(self, timeout: float | None = None, matching: Callable[[T], bool] | None = None) -> T:
        """Return the next received frame.

        :arg timeout: seconds; None: no limit.
        :arg matching: returns True for the frames that may be returned; the others are left, in order.
        :raises ConnectionClosed: the client is closed, and all received frames were read.
        :raises TimeoutError: no frame arrived within ``timeout``.
        """
        async with asyncio.timeout(timeout):
            return await self._received.get(matching)

    async def wait_closed(self) -> ConnectionClosed:
        """Wait until the client is closed, and return the reason; unread frames can still be read."""
        while self._received.end_error is None:
            await self._received.wait_for_change()
        return self.closed or ConnectionClosed(1006)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the client. Unanswered sends raise `ConnectionClosed`; received frames can still be read.

        :raises ValueError: the reason has more than ``MAX_REASON_BYTES`` bytes of UTF-8.
        """
        if len(reason.encode()) > MAX_REASON_BYTES:
            raise ValueError(f"a close reason has at most {MAX_REASON_BYTES} bytes")
        if self._received.end_error is None:
            self._own_close = ConnectionClosed(code, reason)
            self._end(self._own_close)
            if self._task is not None:
                self._task.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    def renew_token(self, token: str) -> None:
        """Use a newer token of the same person from now on, also for the open connection.

        A client whose token is a function does this by itself, before the token expires.
        """
        if isinstance(self._token, str):
            self._token = token
        frame = self._token_frame(token)
        if self._handshake_done and frame is not None and token != self._current_token:
            self._current_token = token
            self._write(frame)

    @property
    def connected(self) -> bool:
        """True while the client is connected and the dialect's handshake is done."""
        return self._handshake_done

    @property
    def closed(self) -> ConnectionClosed | None:
        """The error or close that ended the client, or None while it is connected or reconnects."""
        ended = self._received.end_error
        return ended if isinstance(ended, ConnectionClosed) else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Return the next frame; iteration ends after a close with 1000 or by :meth:`close`.

        :raises ConnectionClosed: the client was closed for any other reason.
        """
        try:
            return await self._received.get()
        except ConnectionClosed as closed:
            if closed is self._own_close or closed.code == 1000:
                raise StopAsyncIteration from None
            raise

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- methods that dialects define ---

    @abstractmethod
    def _url(self) -> str:
        """Return the URL for the next connection."""

    @abstractmethod
    def _handle_frame(self, frame: dict[str, Any]) -> None:
        """Handle a received frame.

        :raises msgspec.ValidationError: the frame is not of this dialect.
        """

    def _token_frame(self, token: str) -> Mapping[str, Any] | None:
        """Return the frame that replaces the token of the open connection; None: there is none."""
        return None

    def _on_open(self) -> None:
        """Called when a socket is open. A dialect with a handshake overrides this."""
        self._complete_handshake()
        self._start_writing()

    # --- methods that dialects use ---

    def _complete_handshake(self) -> None:
        """Mark the dialect's handshake as done and inform waiting callers."""
        self._handshake_done = True
        self._received.notify_readers()
        if self._options.on_change is not None:
            self._options.on_change(None)

    def _start_writing(self) -> None:
        """Write the waiting messages, and from now on each message at once: the server accepts them now."""
        if self._is_writing:
            return
        self._is_writing = True
        for id, outgoing in list(self._outgoing.items()):
            self._write_outgoing(id, outgoing)

    def _write(self, frame: Mapping[str, Any]) -> None:
        """Write a frame of the handshake. Without a socket the frame is dropped."""
        if self._socket is not None:
            self._socket.write(encode_frame(frame))

    async def _submit(self, id: str, frame: Mapping[str, Any], *, needs_answer: bool) -> Any:
        """Send ``frame``, again after each reconnect, until it is answered (or written, without an answer).

        Return the result that was passed to :meth:`_resolve`.

        :raises RuntimeError: :meth:`connect` was not called.
        :raises ValueError: a frame with this id is not answered yet.
        """
        if self._received.end_error is not None:
            raise self._received.end_error
        if self._task is None:
            raise RuntimeError("the client is not connected: call connect() first")
        id = well_formed(id)  # as the frame is encoded, and so as the answer names it
        if id in self._outgoing:
            raise ValueError(f"a message with the id {id!r} is being sent already")
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        outgoing = _PendingFrame(encode_frame(frame), needs_answer, result)
        self._outgoing[id] = outgoing
        if self._is_writing:
            self._write_outgoing(id, outgoing)
        try:
            return await result
        finally:
            if self._outgoing.get(id) is outgoing:
                del self._outgoing[id]

    def _resolve(self, id: str, result: Any) -> bool:
        """Complete the frame ``id`` with its answer, or with an exception if it was refused.

        Return False if no frame with this id waits.
        """
        outgoing = self._outgoing.pop(id, None)
        if outgoing is None:
            return False
        if outgoing.result.done():
            pass  # the sender was cancelled a moment ago
        elif isinstance(result, Exception):
            outgoing.result.set_exception(result)
        else:
            outgoing.result.set_result(result)
        return True

    def _advance(
        self, delivery: Delivery, *, user: str | None = None, received: int = 0, read: int = 0
    ) -> None:
        """Take over a report of what the other side has received or read.

        :arg user: the address of the user, for a waiter's client.
        """
        if delivery.advance(received=received, read=read) and self.on_delivery is not None:
            self.on_delivery(user, delivery)

    # --- private methods ---

    async def _run(self) -> None:
        """Connect and reconnect, until the client is closed or the server refuses it."""
        clock = asyncio.get_running_loop().time
        failures = 0
        try:
            while True:
                started_at = clock()
                loss = await self._run_socket()
                if self._received.end_error is not None:
                    return
                if loss.code not in RETRY_CODES and not 500 <= loss.code < 600:
                    self._end(loss)
                    return
                if clock() - started_at > self._options.max_delay_seconds:
                    failures = 0
                if self._options.on_change is not None:
                    self._options.on_change(loss)
                await self._options.sleep(self._options.delay(loss.code, failures))
                failures += 1
        except Exception as error:
            # For example from the token function. No caller awaits this task, so the error is passed to the
            # readers and senders.
            self._end(error)
        finally:
            self._end(ConnectionClosed(1006, "cancelled"))

    async def _run_socket(self) -> ConnectionClosed:
        """Open one socket, use it until it is closed, and return the reason of the close."""
        self._current_token = self._token if isinstance(self._token, str) else self._token()
        self._socket = socket = ClientSocket(self._on_frame)
        try:
            await socket.open(self._url(), self._options.timeout_seconds)
        except ConnectionClosed as closed:
            return closed
        handshake_timer = asyncio.get_running_loop().call_later(
            self._options.timeout_seconds, self._on_handshake_timeout
        )
        self._schedule_renewal(renewal_delay(self._current_token))
        try:
            self._on_open()
            while True:
                try:
                    async with asyncio.timeout(self._options.ping_interval_seconds or None):
                        return await socket.wait_closed()
                except TimeoutError:
                    socket.ping_or_close()
        finally:
            handshake_timer.cancel()
            if self._renewal_timer is not None:
                self._renewal_timer.cancel()
            self._socket = None
            self._handshake_done = self._is_writing = False
            own_close = self._own_close or ConnectionClosed(1000)
            await socket.close(own_close.code, own_close.reason)

    def _schedule_renewal(self, seconds: float) -> None:
        if not isinstance(self._token, str) and seconds < math.inf:
            self._renewal_timer = asyncio.get_running_loop().call_later(seconds, self._renew)

    def _renew(self) -> None:
        assert not isinstance(self._token, str)
        before = self._current_token
        # An error of the token function is raised by the next connect: this connection is still good.
        with contextlib.suppress(Exception):
            self.renew_token(self._token())
        is_newer = self._current_token != before
        self._schedule_renewal(renewal_delay(self._current_token) if is_newer else RENEW_RETRY_SECONDS)

    def _on_frame(self, raw: str | bytes) -> None:
        try:
            self._handle_frame(msgspec.json.decode(raw, type=dict[str, Any]))
        except msgspec.DecodeError as error:
            # No reconnect: the server speaks another dialect, and would send the same frame again.
            self._end(ConnectionClosed(1002, f"not a frame of this dialect: {error}"))
            if self._socket is not None:
                self._socket.begin_close(1002)

    def _on_handshake_timeout(self) -> None:
        if not self._handshake_done and self._socket is not None:
            self._socket.begin_close(4408, "no handshake")

    def _write_outgoing(self, id: str, outgoing: _PendingFrame) -> None:
        assert self._socket is not None
        # A frame without an answer is done when it is completely written. Until then it cannot have arrived,
        # so writing it to the next socket does not repeat it.
        on_written = None if outgoing.needs_answer else partial(self._resolve, id, None)
        self._socket.write(outgoing.data, on_written)

    def _end(self, error: Exception) -> None:
        """End the client: waiting senders and readers get ``error``. Only the first call has an effect."""
        if self._received.end_error is not None:
            return
        for outgoing in self._outgoing.values():
            if not outgoing.result.done():
                outgoing.result.set_exception(error)
        self._outgoing.clear()
        self._received.end(error)


def encode_frame(frame: Mapping[str, Any]) -> bytes:
    """Encode a frame as JSON, with U+FFFD for each lone surrogate, which the server would refuse."""
    try:
        return msgspec.json.encode(frame)
    except UnicodeEncodeError:
        return msgspec.json.encode(_well_formed_texts(frame))


def _well_formed_texts(value: Any) -> Any:
    match value:
        case str():
            return well_formed(value)
        case Mapping():
            return {well_formed(key): _well_formed_texts(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_well_formed_texts(inner) for inner in value]
    return value


def new_id() -> str:
    """Return a unique id for a frame."""
    return uuid.uuid4().hex


def websocket_url(base_url: str, path: str) -> str:
    """Return the WebSocket URL of ``path`` below ``base_url``, which may have the scheme http or https, too.

    :raises ValueError: ``base_url`` has another scheme.
    """
    scheme, separator, rest = base_url.partition("://")
    schemes = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
    if not separator or scheme not in schemes:
        raise ValueError(f"the URL {base_url!r} does not start with ws:// or wss://")
    return f"{schemes[scheme]}://{rest.rstrip('/')}{path}"
