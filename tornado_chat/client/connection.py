"""A connection that heals itself: what the clients of both dialects share.

Strategy: a :class:`Connection` has one socket after another. Beside them it keeps the frames
that are not answered yet, by id and in their order, and writes them all to each new socket. A
dialect is a subclass with two methods: where to connect, and what a received frame means.
"""

import asyncio
import random
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec

from tornado_chat.client.socket import ClientSocket, Closed, ReceiveQueue

T = TypeVar("T")
Token = str | Callable[[], str]

# The server, or something on the way to it, has a bad moment: it is worth coming back. Every
# other code would be the answer next time too. 1005 and 1014 are there for proxies.
RETRY_CODES = frozenset({1001, 1005, 1006, 1011, 1012, 1013, 1014, 4408})
# The old server is gone and the next one probably there: the first retry needs no wait.
IMMEDIATE_RETRY_CODES = frozenset({1006, 1012})
MAX_REASON_BYTES = 123  # what is left in a control frame beside the code


class MessageRefused(Exception):
    """The server did not take this message, and says why in a sentence for people."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Ack(msgspec.Struct, frozen=True):
    """The message is stored: as number ``seq`` of its conversation, at ``time`` (the server's local time)."""

    seq: int
    time: str


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a client connects, and how patiently it connects again.

    The wait before the next attempt is a random part (full jitter) of ``initial_delay_seconds``, doubled
    with each failure up to ``max_delay_seconds``. A connection that lasted longer than
    ``max_delay_seconds`` clears the count.

    :arg timeout: seconds for the connection, and as many again for the dialect's handshake.
    :arg ping_interval: seconds between our own pings, which notice a dead server; 0 for none.
    :arg on_change: called with the loss when a connection is lost, or not made, and will be tried
        again; with None when there is one. It must not raise.
    """

    timeout: float = 10.0
    ping_interval: float = 30.0
    initial_delay_seconds: float = 0.1
    max_delay_seconds: float = 5.0
    on_change: Callable[[Closed | None], None] | None = None
    random: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def delay(self, code: int, failures: int) -> float:
        """Seconds until the next attempt, after ``failures`` earlier ones and a loss with ``code``."""
        if failures == 0 and code in IMMEDIATE_RETRY_CODES:
            return 0.0
        doublings = min(max(failures - 1, 0), 32)
        return self.random() * min(self.max_delay_seconds, self.initial_delay_seconds * 2.0**doublings)


class _PendingFrame(msgspec.Struct):
    """A frame that is not done: until it is written, or until it is ``answered``."""

    data: bytes
    answered: bool
    result: "asyncio.Future[Any]"


class ReconnectingClient(ABC, Generic[T]):
    """The base of the clients: ``T`` is what they receive.

    It is used once: ``async with client:`` or :meth:`connect` … :meth:`close`. Read it with
    ``async for`` or :meth:`receive`. Every wait can be cancelled; a cancelled send may have
    arrived all the same.
    """

    def __init__(self, token: Token, options: Options) -> None:
        self._token = token
        self._current_token = ""  # the token of this connect
        self._options = options
        self._received: ReceiveQueue[T] = ReceiveQueue()
        self._outgoing: dict[str, _PendingFrame] = {}
        self._socket: ClientSocket | None = None
        self._handshake_done = False  # the dialect's handshake is done
        self._is_writing = False  # messages are written as they come
        self._own_close: Closed | None = None  # our own close
        self._task: asyncio.Task[None] | None = None

    # What users call

    async def connect(self) -> Self:
        """Connect, trying again as often as it takes; giving up this wait gives up the client.

        Raises `Closed` if the server refuses. In the counselling dialect the refusal may come
        only after this, as a WebSocket is accepted before the token is looked at.
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

    async def receive(self, timeout: float | None = None) -> T:
        """The next thing received. Raises `Closed` after the last one, TimeoutError after ``timeout``."""
        async with asyncio.timeout(timeout):
            return await self._received.get()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close for good. Sends that are not answered raise `Closed`; what was received can still be read."""
        if len(reason.encode()) > MAX_REASON_BYTES:
            raise ValueError(f"a close reason has at most {MAX_REASON_BYTES} bytes")
        if self._received.end_error is None:
            self._own_close = Closed(code, reason)
            self._end(self._own_close)
            if self._task is not None:
                self._task.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    @property
    def connected(self) -> bool:
        """Whether there is a connection right now, the dialect's handshake included."""
        return self._handshake_done

    @property
    def closed(self) -> Closed | None:
        """How it ended, or None while it lives or tries again."""
        ended = self._received.end_error
        return ended if isinstance(ended, Closed) else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Iteration ends with a normal close (1000) or our own; any other close raises `Closed`."""
        try:
            return await self._received.get()
        except Closed as closed:
            if closed is self._own_close or closed.code == 1000:
                raise StopAsyncIteration from None
            raise

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # What dialects define

    @abstractmethod
    def _url(self) -> str:
        """Where to connect, this time."""

    @abstractmethod
    def _handle_frame(self, frame: dict[str, Any]) -> None:
        """A frame was received. A `msgspec.ValidationError` says that it is not of this dialect."""

    def _opened(self) -> None:
        """A socket is open. A dialect with a handshake does this in its own time."""
        self._complete_handshake()
        self._start_writing()

    # What dialects use

    def _complete_handshake(self) -> None:
        """The handshake is done."""
        self._handshake_done = True
        self._received.notify_readers()
        if self._options.on_change is not None:
            self._options.on_change(None)

    def _start_writing(self) -> None:
        """The other side takes messages now: write those that wait, then each as it comes."""
        if self._is_writing:
            return
        self._is_writing = True
        for id, outgoing in list(self._outgoing.items()):
            self._write_outgoing(id, outgoing)

    def _write(self, frame: Mapping[str, Any]) -> None:
        """Write a frame of the handshake: now or never."""
        if self._socket is not None:
            self._socket.write(msgspec.json.encode(frame))

    async def _submit(self, id: str, frame: Mapping[str, Any], *, answered: bool) -> Any:
        """Send ``frame`` until it is answered (see :meth:`_settle`), or just until it is written."""
        if self._received.end_error is not None:
            raise self._received.end_error
        if self._task is None:
            raise RuntimeError("connect first")
        if id in self._outgoing:
            raise ValueError(f"a message with the id {id!r} is on its way already")
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        outgoing = _PendingFrame(msgspec.json.encode(frame), answered, result)
        self._outgoing[id] = outgoing
        if self._is_writing:
            self._write_outgoing(id, outgoing)
        try:
            return await result
        finally:
            if self._outgoing.get(id) is outgoing:
                del self._outgoing[id]

    def _resolve(self, id: str, result: Any) -> bool:
        """The frame ``id`` has its answer, an exception if it was refused. False if nobody waits for it."""
        outgoing = self._outgoing.pop(id, None)
        if outgoing is None:
            return False
        if outgoing.result.done():
            pass  # its sender was cancelled a moment ago
        elif isinstance(result, Exception):
            outgoing.result.set_exception(result)
        else:
            outgoing.result.set_result(result)
        return True

    # The life of the connection

    async def _run(self) -> None:
        """Connect again and again, until one side has closed for good."""
        clock = asyncio.get_running_loop().time
        failures = 0
        try:
            while True:
                since = clock()
                lost = await self._run_socket()
                if self._received.end_error is not None:
                    return
                if lost.code not in RETRY_CODES and not 500 <= lost.code < 600:
                    self._end(lost)
                    return
                if clock() - since > self._options.max_delay_seconds:
                    failures = 0
                if self._options.on_change is not None:
                    self._options.on_change(lost)
                await self._options.sleep(self._options.delay(lost.code, failures))
                failures += 1
        except Exception as error:
            # Only this task knows (a token function failed, say), and it has nobody else to tell.
            self._end(error)
        finally:
            self._end(Closed(1006, "cancelled"))

    async def _run_socket(self) -> Closed:
        """One socket, from the attempt to connect to how it ended."""
        self._current_token = self._token if isinstance(self._token, str) else self._token()
        self._socket = socket = ClientSocket(self._on_frame)
        try:
            await socket.open(self._url(), self._options.timeout)
        except Closed as closed:
            return closed
        handshake_timer = asyncio.get_running_loop().call_later(
            self._options.timeout, self._on_handshake_timeout
        )
        try:
            self._opened()
            while True:
                try:
                    async with asyncio.timeout(self._options.ping_interval or None):
                        return await socket.wait_closed()
                except TimeoutError:
                    socket.ping_or_close()
        finally:
            handshake_timer.cancel()
            self._socket = None
            self._handshake_done = self._is_writing = False
            goodbye = self._own_close or Closed(1000)
            await socket.close(goodbye.code, goodbye.reason)

    def _on_frame(self, raw: str | bytes) -> None:
        try:
            self._handle_frame(msgspec.json.decode(raw, type=dict[str, Any]))
        except msgspec.DecodeError as error:
            # The server would send the same again: this is not the dialect that we speak.
            self._end(Closed(1002, f"not a frame of this dialect: {error}"))
            if self._socket is not None:
                self._socket.begin_close(1002)

    def _on_handshake_timeout(self) -> None:
        if not self._handshake_done and self._socket is not None:
            self._socket.begin_close(4408, "no handshake")

    def _write_outgoing(self, id: str, outgoing: _PendingFrame) -> None:
        assert self._socket is not None
        # What is not completely written cannot have arrived, so writing it to the next socket
        # does not repeat it, and what is written needs no second try if no answer is expected.
        self._socket.write(outgoing.data, None if outgoing.answered else partial(self._resolve, id, None))

    def _end(self, error: Exception) -> None:
        """Nothing more comes in or goes out; everyone who waits gets ``error``. The first one counts."""
        if self._received.end_error is not None:
            return
        for outgoing in self._outgoing.values():
            if not outgoing.result.done():
                outgoing.result.set_exception(error)
        self._outgoing.clear()
        self._received.end(error)


def new_id() -> str:
    """An id for a frame, unlike any other."""
    return uuid.uuid4().hex


def endpoint(base_url: str, path: str) -> str:
    """The address of a WebSocket below ``base_url``, which may as well be the web site's."""
    scheme, separator, rest = base_url.partition("://")
    schemes = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
    if not separator or scheme not in schemes:
        raise ValueError(f"{base_url!r} does not start with ws:// or wss://")
    return f"{schemes[scheme]}://{rest.rstrip('/')}{path}"
