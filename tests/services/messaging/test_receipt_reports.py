"""Receipts for clients that want them: nothing is published for the others, and no process is left out."""

from collections import deque
from typing import Any

import pytest

from tests.delivery.conftest import Clock
from tests.services.messaging.test_receipts import Storage
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat.core.events import Event, ReceiptAdvanced, ReceiptsWanted
from tornado_chat.core.types import Person, Role, Thread
from tornado_chat.services.messaging.receipt_reports import ReceiptReports
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.storage import models, receipts

OBSERVER = Person(Role.SUPERVISOR, "3")
BOTH = (VISITOR, COUNSELLOR)


@pytest.fixture
def storage(books: Any) -> Storage:
    return Storage(books.database)


@pytest.fixture
def thread(storage: Storage) -> Thread:
    room, _ = storage.change(new_session)
    thread: Thread = room.thread
    models.ConsultationSession.update(last_seq=9).execute(storage.database)
    return thread


class Network:
    """The processes, and the events under way between them.

    :ivar is_cut: while set, events of one process do not reach the others.
    """

    def __init__(self, storage: Storage, count: int) -> None:
        self.is_cut = False
        self.published: list[Event] = []
        self.processes = [Process(self, storage, is_clustered=count > 1) for _ in range(count)]
        self._queue: deque[tuple[Process, Event]] = deque()

    def publish(self, sender: "Process", event: Event) -> None:
        """Call the handler of the own process at once, as the bus does, and send the event to the others."""
        self.published.append(event)
        sender.reports.on_event(event)
        if not self.is_cut:
            self._queue += [(process, event) for process in self.processes if process is not sender]

    def run(self) -> None:
        while self._queue:
            process, event = self._queue.popleft()
            process.reports.on_event(event)


class Process:
    """One process: the people whose sockets follow the thread, and the events that these sockets get."""

    def __init__(self, network: Network, storage: Storage, *, is_clustered: bool) -> None:
        self.followers: set[Person] = set()
        self.shown: list[tuple[Person, int]] = []
        store: Any = storage
        self.receipt_store = ReceiptStore(store, Clock())  # type: ignore[arg-type]
        self.reports = ReceiptReports(
            self.receipt_store,
            store,
            lambda event: network.publish(self, event),
            followers=lambda thread: self.followers,
            deliver=self._deliver,
            is_clustered=is_clustered,
        )

    def _deliver(self, event: Event, thread: Thread) -> None:
        assert isinstance(event, ReceiptAdvanced)
        self.shown.append((event.reader, event.seq))


@pytest.mark.gen_test
async def test_without_a_client_that_wants_them_one_process_publishes_nothing(
    storage: Storage, thread: Thread
) -> None:
    network = Network(storage, 1)
    (process,) = network.processes
    process.followers = {VISITOR, COUNSELLOR}
    for seq in range(1, 9):
        process.reports.record(thread, VISITOR, seq)
    assert network.published == []
    process.followers = set()
    process.reports.watch(thread, BOTH)  # the client has disconnected meanwhile
    process.reports.record(thread, VISITOR, 9)
    assert network.published == []


@pytest.mark.gen_test
async def test_of_several_processes_each_asks_once(storage: Storage, thread: Thread) -> None:
    network = Network(storage, 2)
    one, other = network.processes
    one.followers, other.followers = {VISITOR}, {COUNSELLOR}
    for seq in range(1, 5):
        one.reports.record(thread, VISITOR, seq)
        other.reports.record(thread, COUNSELLOR, seq)
        network.run()
    assert network.published == [ReceiptsWanted(thread, is_question=True)] * 2
    for process in network.processes:
        process.followers = set()
        process.reports.forget(thread)
        process.reports.record(thread, VISITOR, 6)  # the pong of a socket that has unfollowed
    network.run()
    assert len(network.published) == 2


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.gen_test
async def test_each_change_is_shown_once_and_never_of_an_observer(
    storage: Storage, thread: Thread, count: int
) -> None:
    network = Network(storage, count)
    here, there = network.processes[0], network.processes[-1]
    here.followers |= {VISITOR}
    there.followers |= {COUNSELLOR, OBSERVER}
    here.reports.watch(thread, BOTH)
    network.run()
    assert await here.reports.current(thread) == []
    for reader, seq in ((COUNSELLOR, 1), (OBSERVER, 1), (COUNSELLOR, 1), (COUNSELLOR, 3), (COUNSELLOR, 2)):
        there.reports.record(thread, reader, seq)
        network.run()
    assert here.shown == [(COUNSELLOR, 1), (COUNSELLOR, 3)]
    assert not [event for event in network.published if getattr(event, "reader", None) == OBSERVER]
    # A second window of the same person: what is known, also if it is not stored yet.
    assert await here.reports.current(thread) == [ReceiptAdvanced(thread, COUNSELLOR, 3)]
    here.followers = set()
    here.reports.forget(thread)
    there.reports.record(thread, COUNSELLOR, 4)
    network.run()
    assert len(here.shown) == 2


@pytest.mark.gen_test
async def test_a_process_that_follows_later_learns_that_they_are_wanted(
    storage: Storage, thread: Thread
) -> None:
    network = Network(storage, 3)
    here, _, there = network.processes
    here.followers = {VISITOR}
    here.reports.watch(thread, BOTH)
    network.run()
    there.followers = {COUNSELLOR}
    there.reports.record(thread, COUNSELLOR, 2)  # asks, and reports with the answer
    there.reports.record(thread, COUNSELLOR, 3)
    await there.receipt_store.flush()  # the answer is late
    there.followers = {Person(Role.CONSULTANT, "another")}
    network.run()
    assert here.shown == [(COUNSELLOR, 3)]


@pytest.mark.gen_test
async def test_a_process_reports_what_is_not_stored_yet_to_one_that_wants_it_later(
    storage: Storage, thread: Thread
) -> None:
    network = Network(storage, 2)
    here, there = network.processes
    here.followers, there.followers = {VISITOR}, {COUNSELLOR}
    there.reports.record(thread, COUNSELLOR, 5)
    network.run()
    receipts.advance_receipts(storage.database, [(thread, COUNSELLOR, 4), (thread, OBSERVER, 9)])
    here.reports.watch(thread, BOTH)
    assert await here.reports.current(thread) == [ReceiptAdvanced(thread, COUNSELLOR, 4)]
    network.run()
    assert here.shown == [(COUNSELLOR, 5)]


@pytest.mark.gen_test
async def test_a_receipt_whose_event_was_lost_is_read_back(storage: Storage, thread: Thread) -> None:
    network = Network(storage, 2)
    here, there = network.processes
    here.followers, there.followers = {VISITOR}, {COUNSELLOR}
    network.is_cut = True
    here.reports.watch(thread, BOTH)
    there.reports.record(thread, COUNSELLOR, 6)
    receipts.advance_receipts(storage.database, [(thread, COUNSELLOR, 6)])
    for _ in range(2):
        await here.reports.resync()
    assert here.shown == [(COUNSELLOR, 6)]
    network.is_cut = False
    await here.reports.resync()  # the other process learns now that they are wanted
    network.run()
    there.reports.record(thread, COUNSELLOR, 7)
    network.run()
    assert here.shown == [(COUNSELLOR, 6), (COUNSELLOR, 7)]
