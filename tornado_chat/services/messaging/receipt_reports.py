"""Receipts as they come, for clients that show to a sender what has arrived at the other side.

Strategy: the pong that proves a receipt is handled by the process with the receiver's socket; the client that
wants to know may be connected to another process. Most clients do not ask, and then a receipt is not
published. So a process asks the others once, at the first receipt of a thread that it follows, whether one of
them wants the receipts of the thread, and a process with a client that wants them says so when the client
joins. Both are events on the thread's channel. If one is lost, the receipts are read from the database by
``resync``.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping

from tornado_chat.aio.chunks import chunks
from tornado_chat.core.events import Event, ReceiptAdvanced, ReceiptsWanted
from tornado_chat.core.types import AGENT_ROLES, Kind, Person, Role, Thread
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.storage import receipts

CHUNK_THREADS = 500  # threads that are announced before the loop may run other tasks

PARTICIPANT_ROLES: Mapping[Kind, frozenset[Role]] = {
    Kind.SESSION: frozenset({Role.USER, Role.CONSULTANT}),
    Kind.RECORD: frozenset({Role.CONSULTANT, Role.SUPERVISOR}),
    Kind.SUPPORT: AGENT_ROLES | {Role.USER},
    Kind.INBOX: frozenset(),
}
"""The roles of participants. People of other roles observe, and their receipts are shown to no client."""


class ReceiptReports:
    """The receipts of threads of which a client, here or in another process, wants them.

    :arg publish: publishes events that are not stored.
    :arg followers: returns the people with sockets of this process that follow a thread.
    :arg deliver: delivers an event to the sockets of this process that follow a thread.
    :arg is_clustered: whether there may be other processes.
    """

    def __init__(
        self,
        receipt_store: ReceiptStore,
        store: Store,
        publish: Callable[[Event], None],
        *,
        followers: Callable[[Thread], Collection[Person]],
        deliver: Callable[[Event, Thread], None],
        is_clustered: bool,
    ) -> None:
        self._receipt_store = receipt_store
        self._store = store
        self._publish = publish
        self._followers = followers
        self._deliver = deliver
        self._is_clustered = is_clustered
        # The wanted threads, with the last reported ``seq`` of each reader.
        self._reported: dict[Thread, dict[Person, int]] = {}
        # Those of them that a client of this process wants, with the readers that it is told of; None: all.
        self._wanted_here: dict[Thread, Collection[Person] | None] = {}
        # Threads of which the other processes were asked, with the receipts since: the answer may be late.
        self._asked: dict[Thread, dict[Person, int]] = {}

    def record(self, thread: Thread, reader: Person, seq: int) -> None:
        """Record that ``reader`` has received everything up to ``seq``, and publish it if it is wanted."""
        self._receipt_store.record(thread, reader, seq)
        if self._is_clustered or self._reported:
            self._report(thread, reader, seq)

    def watch(self, thread: Thread, readers: Collection[Person] | None = None) -> None:
        """A client of this process wants the receipts of a thread, until no socket here follows it.

        :arg readers: the people whose receipts are shown; None: those of all followers.
        """
        if not self._followers(thread):  # the client has disconnected meanwhile
            return
        self._reported.setdefault(thread, {})
        self._wanted_here[thread] = readers
        if self._is_clustered:
            self._publish(ReceiptsWanted(thread))

    def replace_readers(self, thread: Thread, readers: Collection[Person]) -> None:
        """Show the receipts of other people from now on, if a client here wants those of the thread."""
        if thread in self._wanted_here:
            self._wanted_here[thread] = readers

    def forget(self, thread: Thread) -> None:
        """No socket of this process follows the thread any more."""
        self._reported.pop(thread, None)
        self._wanted_here.pop(thread, None)
        self._asked.pop(thread, None)

    async def current(self, thread: Thread) -> list[ReceiptAdvanced]:
        """Return the receipts of a watched thread, as they are now.

        :raises Unavailable: the database is away.
        """
        stored = await self._store.look_up(receipts.of_threads, [thread])
        known = {event.reader: event.seq for event in stored}
        for reader in {*known, *self._followers(thread)}:
            seq = self._receipt_store.latest(thread, reader, known.get(reader))
            if seq is not None:
                known[reader] = seq
        for reader, seq in self._reported.get(thread, {}).items():
            known[reader] = max(seq, known.get(reader, 0))
        return [
            ReceiptAdvanced(thread, reader, seq)
            for reader, seq in known.items()
            if seq and self._is_shown(thread, reader)
        ]

    async def resync(self) -> None:
        """Read the receipts of all watched threads, as events of other processes may have been missed.

        :raises Unavailable: the database is away.
        """
        threads = list(self._wanted_here)
        async for event in read_in_chunks(self._store, receipts.of_threads, threads):
            self._on_receipt(event)
        for chunk in chunks(threads, CHUNK_THREADS):
            for thread in chunk:
                if thread in self._wanted_here:
                    self._publish(ReceiptsWanted(thread))
            await asyncio.sleep(0)

    # --- events ---

    events = (ReceiptAdvanced, ReceiptsWanted)

    def on_event(self, event: Event) -> None:
        """Deliver a receipt, or report the receipts of a thread; called for the types in ``events``."""
        if isinstance(event, ReceiptAdvanced):
            self._on_receipt(event)
        elif isinstance(event, ReceiptsWanted):
            if event.is_question:
                if event.thread in self._wanted_here:
                    self._publish(ReceiptsWanted(event.thread))
            else:
                self._on_wanted(event.thread)

    def _on_receipt(self, event: ReceiptAdvanced) -> None:
        reported = self._reported.get(event.thread)
        if reported is None or event.seq <= reported.get(event.reader, 0):
            return
        reported[event.reader] = event.seq
        if self._is_shown(event.thread, event.reader):
            self._deliver(event, event.thread)

    def _on_wanted(self, thread: Thread) -> None:
        """Report the receipts that are not stored yet; the process that wants them reads the others."""
        people = self._followers(thread)
        if not people:
            return
        self._reported.setdefault(thread, {})
        since_question = self._asked.pop(thread, {})
        for reader in {*people, *since_question}:
            seq = self._receipt_store.latest(thread, reader, since_question.get(reader))
            if seq is not None and reader.role in PARTICIPANT_ROLES[thread.kind]:
                self._publish(ReceiptAdvanced(thread, reader, seq))

    # --- inside ---

    def _report(self, thread: Thread, reader: Person, seq: int) -> None:
        if reader.role not in PARTICIPANT_ROLES[thread.kind]:
            return
        reported = self._reported.get(thread)
        if reported is not None:
            if seq > reported.get(reader, 0):
                self._publish(ReceiptAdvanced(thread, reader, seq))  # ``_on_receipt`` notes it
        elif thread in self._asked:
            self._asked[thread][reader] = seq
        elif self._is_clustered and self._followers(thread):  # else the socket of a late pong has unfollowed
            self._asked[thread] = {reader: seq}
            self._publish(ReceiptsWanted(thread, is_question=True))

    def _is_shown(self, thread: Thread, reader: Person) -> bool:
        if thread not in self._wanted_here:
            return False
        readers = self._wanted_here[thread]
        return readers is None or reader in readers
