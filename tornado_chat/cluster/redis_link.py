"""The link to Redis, which the bus and the leader election share.

Strategy: the link has two connections, one for sending and one for receiving. They begin and end together: at
the first error of one of them the link is *disconnected*, and both connections are made anew; attempts are
repeated for ever. Messages that are published in the meantime are dropped, because the events are stored in
the database. After a reconnect, each process reads missed messages from the database, and a process that has
dropped events asks the other processes to do the same.

Each process numbers its messages and sends them on one connection. A message on two channels arrives twice
with the same bytes, so the last messages of each process suffice to recognise it. The number alone does not:
a broken process may use the name and the next number of another one, and the true message must not be dropped
because of that.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tornado_chat import config
from tornado_chat.cluster import messages
from tornado_chat.cluster.codec import EVENTS, Codec
from tornado_chat.cluster.listener import Listener
from tornado_chat.cluster.redis_connector import (
    CONNECTION_ERRORS,
    RedisConnector,
    needs_operator,
    pack_command,
)
from tornado_chat.cluster.sender import Sender

log = logging.getLogger(__name__)

MessageHandler = Callable[[str, Any], None]
"""Called with the name of the sending process and the message."""

MAX_SENDERS = 256
"""The number of processes whose last messages are remembered, to recognise repetitions."""

REMEMBERED_MESSAGES = 8
"""The number of last messages of a process among which a repetition is recognised."""

REASON_INTERVAL_SECONDS = 60.0
"""The time after which the same reason of an absence of Redis may be logged again."""

MAX_REASONS = 20
"""The number of different reasons of one absence that are logged."""

ALL_PROCESSES_CHANNEL = "processes"
"""The channel that every process subscribes to."""


@dataclass(frozen=True)
class LinkTimings:
    """Times of the link, in seconds.

    :ivar ping_seconds: the time without data on a connection after which a probe is sent; the connection has
        failed after three such intervals without data.
    :ivar timeout_seconds: for connecting, and for a reply.
    :ivar retry_seconds: the pause after the first failed attempt; doubled up to ``max_retry_seconds``.
    :ivar resync_seconds: the time within which several requests to resync are handled as one.
    """

    ping_seconds: float = 0.8
    timeout_seconds: float = 2.0
    retry_seconds: float = 0.1
    max_retry_seconds: float = 1.0
    resync_seconds: float = 1.0


class NotConnectedError(OSError):
    """There is no connection at present."""


class Link:
    """The link of this process to Redis.

    :arg process: the name of this process, which no other process has or had.
    :ivar problem: a description of the problem with Redis; empty while connected.
    """

    def __init__(
        self, settings: config.Cluster, process: str, link_timings: LinkTimings | None = None
    ) -> None:
        self.process = process
        self.problem = "Redis has not been reached yet"
        self._timings = link_timings or LinkTimings()
        self._prefix = f"{settings.prefix}:"
        self._connector = RedisConnector(settings, f"tornado_chat-{process}", self._timings.timeout_seconds)
        self._codec = Codec((*EVENTS, *messages.ALL_MESSAGES))
        self._events = frozenset(EVENTS)
        self._handlers: dict[type[Any], MessageHandler] = {}
        self._disconnect_callbacks: list[Callable[[], None]] = []
        self._reconnect_callbacks: list[Callable[[], None]] = []
        self._resync_callbacks: list[Callable[[], None]] = []
        self._subscriptions: dict[bytes, None] = {}
        self._sender: Sender | None = None
        self._listener: Listener | None = None
        self._sequence = 0
        # Hashes of the last messages, by sending process; the process that has sent last is at the end.
        self._last_received: OrderedDict[str, deque[int]] = OrderedDict()
        self._logged_reasons: dict[str, float] = {}  # of the present absence, with the time of the log line
        self._has_dropped_events = False
        self._resync_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._first_attempt_done = asyncio.Event()
        self.add_handler(messages.ResyncRequest, self._on_resync_request)
        self._add_subscription(ALL_PROCESSES_CHANNEL)

    # --- handlers and callbacks ---

    def add_handler(self, kind: type[Any], handler: MessageHandler) -> None:
        """Call ``handler`` for messages of this kind from other processes."""
        self._handlers[kind] = handler

    def add_callbacks(
        self,
        *,
        on_disconnect: Callable[[], None] | None = None,
        on_reconnect: Callable[[], None] | None = None,
        on_resync: Callable[[], None] | None = None,
    ) -> None:
        """Add callbacks for changes of the link.

        :arg on_disconnect: called when the link is lost, and when the first attempt to connect fails.
        :arg on_reconnect: called when the link is connected again, not for the first connection.
        :arg on_resync: called when events of another process may have been missed.
        """
        for callbacks, callback in (
            (self._disconnect_callbacks, on_disconnect),
            (self._reconnect_callbacks, on_reconnect),
            (self._resync_callbacks, on_resync),
        ):
            if callback is not None:
                callbacks.append(callback)

    # --- sending ---

    @property
    def is_connected(self) -> bool:
        return not self.problem

    def key(self, name: str) -> str:
        """Return ``name`` with the prefix of the names in Redis."""
        return self._prefix + name

    def publish(self, value: Any, *channels: str) -> None:
        """Publish ``value`` on ``channels``. It is dropped while the link is disconnected."""
        self._sequence += 1
        try:
            payload = self._codec.encode(self.process, self._sequence, value)
        except Exception:
            log.exception("%s cannot be encoded for other processes", type(value).__name__)
            return
        is_event = type(value) in self._events
        if self._sender is None:
            self._has_dropped_events |= is_event
            return
        for channel in channels:
            self._sender.send(pack_command("PUBLISH", self._prefix + channel, payload), report_loss=is_event)

    def request_resync(self) -> None:
        """Make all processes, including this one, read missed messages from the database.

        To be called when a process may not have published all its events.
        """
        self.publish(messages.ResyncRequest(), ALL_PROCESSES_CHANNEL)
        self._schedule_resync()

    async def execute(self, *command: str | bytes | int) -> Any:
        """Execute a command and return the reply of Redis.

        :raises: one of ``connection.CONNECTION_ERRORS``: the link is disconnected, or Redis refuses the
            command.
        """
        if self._sender is None:
            raise NotConnectedError(self.problem)
        return await self._sender.execute(*command)

    async def flush(self) -> None:
        """Return when Redis has received all published messages, or when the link is disconnected."""
        with contextlib.suppress(*CONNECTION_ERRORS):
            await self.execute("ECHO", "")

    # --- receiving ---

    async def subscribe(self, channel: str) -> None:
        """Subscribe to ``channel``; returns when this is effective, or when the link is disconnected."""
        self._add_subscription(channel)
        if self._listener is not None:
            await self._listener.wait_confirmed()

    async def synchronize(self) -> bool:
        """Receive all messages that the other processes have published until now.

        After this process or Redis was suspended, messages are there that were not received yet. Returns
        False if the link is disconnected.
        """
        if self._listener is None:
            return False
        await self._listener.synchronize()
        return self.is_connected

    def unsubscribe(self, channel: str) -> None:
        name = self.key(channel).encode()
        if self._subscriptions.pop(name, name) is None and self._listener is not None:
            self._listener.on_subscription_changed(name)

    async def has_remote_subscriber(self, channel: str) -> bool:
        """Return True if another process has subscribed to ``channel``; False while disconnected."""
        name = self.key(channel).encode()
        try:
            _, count = await self.execute("PUBSUB", "NUMSUB", name)
        except CONNECTION_ERRORS:
            return False
        return int(count) > (name in self._subscriptions)

    def _add_subscription(self, channel: str) -> None:
        name = self.key(channel).encode()
        if name not in self._subscriptions:
            self._subscriptions[name] = None
            if self._listener is not None:
                self._listener.on_subscription_changed(name)

    def _receive(self, payload: bytes) -> None:
        envelope = self._codec.decode_envelope(payload)
        if envelope is None or envelope.process == self.process:
            return
        process = envelope.process
        if self._is_repetition(process, hash(payload)):
            return
        value = self._codec.decode_value(envelope)
        handler = self._handlers.get(type(value))
        if handler is not None:
            try:
                handler(process, value)
            except Exception:
                log.exception("the handler of %s of another process failed", type(value).__name__)

    def _is_repetition(self, process: str, message_hash: int) -> bool:
        """Return True if the process has sent the same message just before; else record it."""
        last = self._last_received.get(process)
        if last is None:
            last = self._last_received[process] = deque(maxlen=REMEMBERED_MESSAGES)
            if len(self._last_received) > MAX_SENDERS:
                self._last_received.popitem(last=False)
        elif message_hash in last:
            return True
        last.append(message_hash)
        self._last_received.move_to_end(process)
        return False

    # --- connecting ---

    async def start(self) -> None:
        """Connect; returns when connected, or when the first attempt has failed and is being repeated."""
        self._task = asyncio.create_task(self._run())
        await self._first_attempt_done.wait()

    async def stop(self) -> None:
        """Disconnect after Redis has received all published messages, if Redis can be reached."""
        await self.flush()
        if self._resync_timer is not None:
            self._resync_timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.problem = "this server is stopping"

    async def _run(self) -> None:
        retry_seconds, lost = self._timings.retry_seconds, 0.0
        first = True
        while True:
            error: BaseException
            try:
                await self._run_connection(lost, first=first)
            except CONNECTION_ERRORS as raised:
                error = raised
            except Exception as raised:
                log.exception("the link to Redis failed with an unexpected error")
                error = raised
            was_connected, last_problem = self.is_connected, self.problem
            self.problem = self._connector.describe_error(error)
            is_transition = was_connected or first
            if is_transition:
                lost = time.monotonic()
                self._logged_reasons = {self.problem: lost}
                log.warning(
                    "%s; until it is back, the processes receive no events of each other", self.problem
                )
            elif self.problem != last_problem:
                self._log_reason(logging.WARNING if needs_operator(error) else logging.INFO)
            first = False
            self._first_attempt_done.set()
            if is_transition:
                retry_seconds = self._timings.retry_seconds
                self._run_callbacks(self._disconnect_callbacks)
            await asyncio.sleep(retry_seconds * random.uniform(0.5, 1))  # noqa: S311 - no secret
            retry_seconds = min(2 * retry_seconds, self._timings.max_retry_seconds)

    def _log_reason(self, level: int) -> None:
        """Log a further reason of an absence, as the first one may hide the one that an operator can mend."""
        now, logged = time.monotonic(), self._logged_reasons.get(self.problem)
        if logged is None and len(self._logged_reasons) >= MAX_REASONS:
            return
        if logged is None or now >= logged + REASON_INTERVAL_SECONDS:
            self._logged_reasons[self.problem] = now
            log.log(level, "still without Redis: %s", self.problem)

    async def _run_connection(self, lost: float, *, first: bool) -> None:
        """Connect and exchange messages until the connection fails.

        :raises: the error of the connection.
        """
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(self._timings.timeout_seconds):
                send_connection = await self._connector.connect()
                stack.push_async_callback(send_connection.disconnect, nowait=True)
                receive_connection = await self._connector.connect()
                stack.push_async_callback(receive_connection.disconnect, nowait=True)
            sender = Sender(
                send_connection,
                ping_seconds=self._timings.ping_seconds,
                timeout_seconds=self._timings.timeout_seconds,
            )
            listener = Listener(
                receive_connection,
                self._subscriptions,
                self._receive,
                ping_seconds=self._timings.ping_seconds,
            )
            self._listener = listener
            tasks = [asyncio.create_task(work) for work in (sender.run(), listener.write(), listener.read())]
            ended: asyncio.Future[Any] = asyncio.gather(*tasks)
            try:
                confirmed = asyncio.create_task(listener.wait_confirmed())
                tasks.append(confirmed)
                await asyncio.wait((confirmed, ended), return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    self._sender = sender
                    self._on_connected(lost, first=first)
                await ended
            finally:
                error = ended.exception() if ended.done() and not ended.cancelled() else None
                self._sender = self._listener = None
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, ended, return_exceptions=True)
                listener.close()
                # A new error object, because a traceback is attached to the raised one.
                if sender.close(NotConnectedError(str(error or "this server is stopping"))):
                    self._has_dropped_events = True

    def _on_connected(self, lost: float, *, first: bool) -> None:
        self.problem = ""
        self._first_attempt_done.set()
        server = self._connector.url.server
        if first:
            log.info("connected with Redis at %s", server)
            return
        log.info("Redis at %s is back after %.1f s", server, time.monotonic() - lost)
        if self._has_dropped_events:
            self._has_dropped_events = False
            self.publish(messages.ResyncRequest(), ALL_PROCESSES_CHANNEL)
        self._run_callbacks(self._reconnect_callbacks)

    def _on_resync_request(self, process: str, request: messages.ResyncRequest) -> None:
        self._schedule_resync()

    def _schedule_resync(self) -> None:
        # Processes that had lost Redis reconnect at the same time, and each of them sends a request.
        if self._resync_timer is None:
            self._resync_timer = asyncio.get_running_loop().call_later(
                self._timings.resync_seconds, self._run_resync_callbacks
            )

    def _run_resync_callbacks(self) -> None:
        self._resync_timer = None
        self._run_callbacks(self._resync_callbacks)

    def _run_callbacks(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception:
                log.exception("a callback of the link to Redis failed")
