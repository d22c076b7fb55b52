"""The way to Redis that the bus and the coordination share.

Strategy: two connections, one that speaks and one that listens. They live and end together: as soon as
anything is wrong with one of them the link is *away*, and both are made anew, for ever. What is said meanwhile
is dropped, for the database has it. Whoever comes back looks there for what it has missed, and whoever has
dropped something asks the others to look.

Each process numbers what it says and says it on one connection, so that a receiver knows what it has had
already by another channel.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tornado_chat import config
from tornado_chat.cluster import messages
from tornado_chat.cluster.codec import EVENTS, Codec
from tornado_chat.cluster.connection import CONNECTION_ERRORS, RedisConnector, pack_command
from tornado_chat.cluster.listener import Listener
from tornado_chat.cluster.sender import Sender

log = logging.getLogger(__name__)

MessageHandler = Callable[[str, Any], None]
"""Is given the process that speaks, and what it says."""

ALL_PROCESSES_CHANNEL = "processes"
"""The channel that each process listens to."""


@dataclass(frozen=True)
class LinkTimings:
    """Seconds.

    :ivar ping_seconds: between signs of life on a connection; three without any are too many.
    :ivar timeout_seconds: for connecting, and for a reply.
    :ivar retry_seconds: after the first attempt that failed; it doubles up to ``max_retry_seconds``.
    :ivar on_resync: in which several requests to look again are one.
    """

    ping_seconds: float = 0.8
    timeout_seconds: float = 2.0
    retry_seconds: float = 0.1
    max_retry_seconds: float = 1.0
    resync_seconds: float = 1.0


class NotConnectedError(OSError):
    """There is no connection now."""


class Link:
    """:arg process: what this process is called, unlike any other, earlier ones included."""

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
        self._last_received: dict[str, int] = {}
        self._has_dropped_events = False
        self._resync_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._first_attempt_done = asyncio.Event()
        self.add_handler(messages.ResyncRequest, self._on_resync_request)
        self._add_subscription(ALL_PROCESSES_CHANNEL)

    # --- who is told what ---

    def add_handler(self, kind: type[Any], handler: MessageHandler) -> None:
        """Give what others say to ``handler`` if it is of this kind."""
        self._handlers[kind] = handler

    def add_callbacks(
        self,
        *,
        on_disconnect: Callable[[], None] | None = None,
        on_reconnect: Callable[[], None] | None = None,
        on_resync: Callable[[], None] | None = None,
    ) -> None:
        """Call ``on_disconnect`` when the link is lost, or not there to begin with, ``on_reconnect`` when it is there again (not for the first time), and
        ``on_resync`` when somebody's events may have been missed."""
        for callbacks, callback in (
            (self._disconnect_callbacks, on_disconnect),
            (self._reconnect_callbacks, on_reconnect),
            (self._resync_callbacks, on_resync),
        ):
            if callback is not None:
                callbacks.append(callback)

    # --- speaking ---

    @property
    def is_connected(self) -> bool:
        return not self.problem

    def key(self, name: str) -> str:
        """``name``, as it is called in Redis."""
        return self._prefix + name

    def publish(self, value: Any, *channels: str) -> None:
        """Publish ``value``. It is dropped while the link is away."""
        self._sequence += 1
        try:
            payload = self._codec.encode(self.process, self._sequence, value)
        except Exception:
            log.exception("%s cannot be said to other processes", type(value).__name__)
            return
        is_event = type(value) in self._events
        if self._sender is None:
            self._has_dropped_events |= is_event
            return
        for channel in channels:
            self._sender.send(pack_command("PUBLISH", self._prefix + channel, payload), report_loss=is_event)

    def request_resync(self) -> None:
        """Events may be lost that another process had to tell: everybody looks, this process too."""
        self.publish(messages.ResyncRequest(), ALL_PROCESSES_CHANNEL)
        self._schedule_resync()

    async def execute(self, *command: str | bytes | int) -> Any:
        """Redis's reply. :raises: one of ``connection.CONNECTION_ERRORS``: the link is away, or Redis refuses."""
        if self._sender is None:
            raise NotConnectedError(self.problem)
        return await self._sender.execute(*command)

    async def flush(self) -> None:
        """Returns when all that was said has arrived, or the link is away."""
        with contextlib.suppress(*CONNECTION_ERRORS):
            await self.execute("ECHO", "")

    # --- listening ---

    async def subscribe(self, channel: str) -> None:
        """Hear what is said on ``channel``; it is heard when this returns, or the link is away."""
        self._add_subscription(channel)
        if self._listener is not None:
            await self._listener.wait_confirmed()

    def unsubscribe(self, channel: str) -> None:
        name = self.key(channel).encode()
        if self._subscriptions.pop(name, name) is None and self._listener is not None:
            self._listener.on_subscription_changed(name)

    async def has_remote_subscriber(self, channel: str) -> bool:
        """Whether another process hears ``channel``."""
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
        process, number, _, _ = envelope
        if number <= self._last_received.get(process, 0):
            return
        self._last_received[process] = number
        value = self._codec.decode_value(envelope)
        handler = self._handlers.get(type(value))
        if handler is not None:
            try:
                handler(process, value)
            except Exception:
                log.exception("%s of another process could not be dealt with", type(value).__name__)

    # --- being connected ---

    async def start(self) -> None:
        """Returns when it is connected, or the first attempt has failed: then it goes on trying."""
        self._task = asyncio.create_task(self._run())
        await self._first_attempt_done.wait()

    async def stop(self) -> None:
        """Ends after what was said has arrived, if Redis is there."""
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
                log.exception("the link to Redis failed")
                error = raised
            was_connected, self.problem = self.is_connected, self._connector.describe_error(error)
            is_transition = was_connected or first
            if is_transition:
                lost = time.monotonic()
                log.warning("%s; until it is back, the processes do not hear of each other", self.problem)
            first = False
            self._first_attempt_done.set()
            if is_transition:
                retry_seconds = self._timings.retry_seconds
                self._run_callbacks(self._disconnect_callbacks)
            await asyncio.sleep(retry_seconds * random.uniform(0.5, 1))  # noqa: S311 - no secret
            retry_seconds = min(2 * retry_seconds, self._timings.max_retry_seconds)

    async def _run_connection(self, lost: float, *, first: bool) -> None:
        """Connect, and stay so. :raises: what ended it."""
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
                settling = asyncio.create_task(listener.wait_confirmed())
                tasks.append(settling)
                await asyncio.wait((settling, ended), return_when=asyncio.FIRST_COMPLETED)
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
                # Each gets an error of its own: a raised one grows a traceback.
                if sender.close(NotConnectedError(str(error or "it is stopping"))):
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
        # All who had lost Redis come back at once, and each of them asks.
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
                log.exception("what follows from losing or finding Redis failed")
