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
from tornado_chat.cluster.connection import LOST, Connections, packed
from tornado_chat.cluster.listener import Listener
from tornado_chat.cluster.sender import Sender

log = logging.getLogger(__name__)

Handler = Callable[[str, Any], None]
"""Is given the process that speaks, and what it says."""

EVERYBODY = "processes"
"""The channel that each process listens to."""


@dataclass(frozen=True)
class Times:
    """Seconds.

    :ivar ping: between signs of life on a connection; three without any are too many.
    :ivar patience: for connecting, and for a reply.
    :ivar pause: after the first attempt that failed; it doubles up to ``longest_pause``.
    :ivar look: in which several requests to look again are one.
    """

    ping: float = 0.8
    patience: float = 2.0
    pause: float = 0.1
    longest_pause: float = 1.0
    look: float = 1.0


class Away(OSError):
    """There is no connection now."""


class Link:
    """:arg process: what this process is called, unlike any other, earlier ones included."""

    def __init__(self, settings: config.Cluster, process: str, times: Times | None = None) -> None:
        self.process = process
        self.problem = "Redis has not been reached yet"
        self._times = times or Times()
        self._prefix = f"{settings.prefix}:"
        self._connections = Connections(settings, f"tornado_chat-{process}", self._times.patience)
        self._codec = Codec((*EVENTS, *messages.ALL))
        self._events = frozenset(EVENTS)
        self._handlers: dict[type[Any], Handler] = {}
        self._on_away: list[Callable[[], None]] = []
        self._on_back: list[Callable[[], None]] = []
        self._on_look: list[Callable[[], None]] = []
        self._wanted: dict[bytes, None] = {}
        self._sender: Sender | None = None
        self._listener: Listener | None = None
        self._number = 0
        self._heard: dict[str, int] = {}
        self._has_dropped = False
        self._look: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self.handle(messages.LookAgain, self._asked_to_look)
        self._want(EVERYBODY)

    # --- who is told what ---

    def handle(self, kind: type[Any], handler: Handler) -> None:
        """Give what others say to ``handler`` if it is of this kind."""
        self._handlers[kind] = handler

    def watch(
        self,
        *,
        away: Callable[[], None] | None = None,
        back: Callable[[], None] | None = None,
        look: Callable[[], None] | None = None,
    ) -> None:
        """Call ``away`` when the link is lost, or not there to begin with, ``back`` when it is there again (not for the first time), and
        ``look`` when somebody's events may have been missed."""
        for callbacks, callback in ((self._on_away, away), (self._on_back, back), (self._on_look, look)):
            if callback is not None:
                callbacks.append(callback)

    # --- speaking ---

    @property
    def connected(self) -> bool:
        return not self.problem

    def key(self, name: str) -> str:
        """``name``, as it is called in Redis."""
        return self._prefix + name

    def say(self, value: Any, *channels: str) -> None:
        """Publish ``value``. It is dropped while the link is away."""
        self._number += 1
        try:
            payload = self._codec.pack(self.process, self._number, value)
        except Exception:
            log.exception("%s cannot be said to other processes", type(value).__name__)
            return
        is_event = type(value) in self._events
        if self._sender is None:
            self._has_dropped |= is_event
            return
        for channel in channels:
            self._sender.tell(packed("PUBLISH", self._prefix + channel, payload), matters=is_event)

    def let_all_look(self) -> None:
        """Events may be lost that another process had to tell: everybody looks, this process too."""
        self.say(messages.LookAgain(), EVERYBODY)
        self._look_soon()

    async def ask(self, *command: str | bytes | int) -> Any:
        """Redis's reply. :raises: one of ``connection.LOST``: the link is away, or Redis refuses."""
        if self._sender is None:
            raise Away(self.problem)
        return await self._sender.ask(*command)

    async def flushed(self) -> None:
        """Returns when all that was said has arrived, or the link is away."""
        with contextlib.suppress(*LOST):
            await self.ask("ECHO", "")

    # --- listening ---

    async def tune_in(self, channel: str) -> None:
        """Hear what is said on ``channel``; it is heard when this returns, or the link is away."""
        self._want(channel)
        if self._listener is not None:
            await self._listener.settled()

    def tune_out(self, channel: str) -> None:
        name = self.key(channel).encode()
        if self._wanted.pop(name, name) is None and self._listener is not None:
            self._listener.changed(name)

    async def elsewhere(self, channel: str) -> bool:
        """Whether another process hears ``channel``."""
        name = self.key(channel).encode()
        try:
            _, count = await self.ask("PUBSUB", "NUMSUB", name)
        except LOST:
            return False
        return int(count) > (name in self._wanted)

    def _want(self, channel: str) -> None:
        name = self.key(channel).encode()
        if name not in self._wanted:
            self._wanted[name] = None
            if self._listener is not None:
                self._listener.changed(name)

    def _receive(self, payload: bytes) -> None:
        envelope = self._codec.open(payload)
        if envelope is None or envelope.process == self.process:
            return
        process, number, _, _ = envelope
        if number <= self._heard.get(process, 0):
            return
        self._heard[process] = number
        value = self._codec.read(envelope)
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
        await self._tried.wait()

    async def stop(self) -> None:
        """Ends after what was said has arrived, if Redis is there."""
        await self.flushed()
        if self._look is not None:
            self._look.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.problem = "this server is stopping"

    async def _run(self) -> None:
        pause, lost = self._times.pause, 0.0
        first = True
        while True:
            error: BaseException
            try:
                await self._session(lost, first=first)
            except LOST as raised:
                error = raised
            except Exception as raised:
                log.exception("the link to Redis failed")
                error = raised
            was_connected, self.problem = self.connected, self._connections.sentence(error)
            news = was_connected or first
            if news:
                lost = time.monotonic()
                log.warning("%s; until it is back, the processes do not hear of each other", self.problem)
            first = False
            self._tried.set()
            if news:
                pause = self._times.pause
                self._call(self._on_away)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause = min(2 * pause, self._times.longest_pause)

    async def _session(self, lost: float, *, first: bool) -> None:
        """Connect, and stay so. :raises: what ended it."""
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(self._times.patience):
                speaking = await self._connections.open()
                stack.push_async_callback(speaking.disconnect, nowait=True)
                listening = await self._connections.open()
                stack.push_async_callback(listening.disconnect, nowait=True)
            sender = Sender(speaking, ping=self._times.ping, patience=self._times.patience)
            listener = Listener(listening, self._wanted, self._receive, ping=self._times.ping)
            self._listener = listener
            tasks = [asyncio.create_task(work) for work in (sender.run(), listener.write(), listener.read())]
            ended: asyncio.Future[Any] = asyncio.gather(*tasks)
            try:
                settling = asyncio.create_task(listener.settled())
                tasks.append(settling)
                await asyncio.wait((settling, ended), return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    self._sender = sender
                    self._connected(lost, first=first)
                await ended
            finally:
                error = ended.exception() if ended.done() and not ended.cancelled() else None
                self._sender = self._listener = None
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, ended, return_exceptions=True)
                listener.close()
                # Each gets an error of its own: a raised one grows a traceback.
                if sender.close(Away(str(error or "it is stopping"))):
                    self._has_dropped = True

    def _connected(self, lost: float, *, first: bool) -> None:
        self.problem = ""
        self._tried.set()
        server = self._connections.url.server
        if first:
            log.info("connected with Redis at %s", server)
            return
        log.info("Redis at %s is back after %.1f s", server, time.monotonic() - lost)
        if self._has_dropped:
            self._has_dropped = False
            self.say(messages.LookAgain(), EVERYBODY)
        self._call(self._on_back)

    def _asked_to_look(self, process: str, request: messages.LookAgain) -> None:
        self._look_soon()

    def _look_soon(self) -> None:
        # All who had lost Redis come back at once, and each of them asks.
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(self._times.look, self._look_again)

    def _look_again(self) -> None:
        self._look = None
        self._call(self._on_look)

    def _call(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception:
                log.exception("what follows from losing or finding Redis failed")
