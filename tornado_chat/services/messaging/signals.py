"""The signals of participants that are no messages: how far a person has read, and that a person is typing.

Strategy: a client may send a signal with each frame, by each of its sockets, and every other socket of the
conversation gets it. So both are slowed down for each person in a conversation, whatever the number of its
sockets: of read marks the highest is enough, and of typing the last.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tornado_chat.core.errors import Unavailable
from tornado_chat.core.events import Event, TypingChanged
from tornado_chat.core.types import Person, Thread
from tornado_chat.domain.throttle import RateLimit, RateLimiter
from tornado_chat.services.messaging.store import Store, retrieve_exception
from tornado_chat.storage import read_marks

TYPING_RATE = RateLimit(rate=5.0, burst=10.0)
"""Signals of one person in a conversation, per second and at once: pages send one every few seconds."""

MAX_TYPING = 10_000  # people whose signals are counted

Reader = tuple[Thread, Person]


class ReadMarks:
    """Stores read marks: one write at a time for each reader, then the highest of the marks since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # The readers with a write under way, and the next mark to store; 0: none.
        self._next: dict[Reader, int] = {}

    def set(self, thread: Thread, person: Person, seq: int) -> None:
        """Store and publish how far a person has read.

        The caller does not wait for the commit: clients repeat a mark that is lost.

        :raises Unavailable: the server is overloaded.
        """
        reader = (thread, person)
        if reader in self._next:
            self._next[reader] = max(self._next[reader], seq)
        else:
            self._write(reader, seq)

    def _write(self, reader: Reader, seq: int) -> None:
        thread, person = reader
        stored = self._store.write(lambda tx: read_marks.set_read_mark(tx, thread, person, seq))
        self._next[reader] = 0
        stored.add_done_callback(partial(self._on_stored, reader))

    def _on_stored(self, reader: Reader, stored: asyncio.Future[Any]) -> None:
        retrieve_exception(stored)
        seq = self._next.pop(reader)
        if seq:
            try:
                self._write(reader, seq)
            except Unavailable:
                return  # as a write that fails later


class TypingSignals:
    """Publishes that people are typing, at most at ``TYPING_RATE`` for each of them; others are dropped.

    :arg publish: publishes events that are not stored.
    :arg clock: monotonic, in seconds.
    """

    def __init__(self, publish: Callable[[Event], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._publish = publish
        self._clock = clock
        self._limiter = RateLimiter(TYPING_RATE, MAX_TYPING)

    def set(self, thread: Thread, person: Person, typing: bool) -> None:
        """Publish that a person is typing, or has stopped; this is not stored."""
        if self._limiter.take((thread, person), self._clock()):
            self._publish(TypingChanged(thread, person, typing))
