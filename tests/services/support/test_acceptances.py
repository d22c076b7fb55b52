"""Assignments that an agent does not confirm, and scores, in the dispatcher on the real SQL."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.services.books import Books
from tests.services.support.test_dispatcher import LI, WU, coordinator, join, on_duty, until
from tornado_chat import config
from tornado_chat.core.events import ConversationAssigned, Event, QueuePositionChanged, WaiterPaused
from tornado_chat.core.types import (
    DEFAULT_GROUP,
    Conversation,
    ConversationState,
    ExpectedWait,
    Person,
    Role,
)
from tornado_chat.domain.expected_wait import Pace
from tornado_chat.domain.queue import FifoLeastLoaded
from tornado_chat.services.leadership import grace_timers
from tornado_chat.services.support.dispatch_state import Case
from tornado_chat.storage import conversations, models

AS_FIRST: Any = {"waiter": WU, "waiter_name": None, "waiter_uuid": "waiter-7", "reason": "first"}
SOON_SECONDS = 0.05
LATE_SECONDS = 3600.0


class Desk:
    """A dispatcher and its agents.

    :ivar told: what the dispatcher has published.
    :ivar given: the assignments, in order.
    :ivar confirming: agents that confirm each assignment at once.
    :ivar is_heard: whether the dispatcher gets the events of confirmations.
    """

    def __init__(self, books: Books, timeout: float) -> None:
        self.books = books
        self.told: list[Any] = []
        self.given: list[tuple[int, Person]] = []
        self.confirming: set[Person] = set()
        self.is_heard = True
        self.dispatcher = coordinator(books, self.told.append)
        settings = config.Support(capacity=1, rejoin_grace=60, queue_interval=0.01, accept_timeout=timeout)
        self.dispatcher.reconfigure(settings, FifoLeastLoaded())
        books.publish = self._on_event

    def _on_event(self, event: Event) -> None:
        self.dispatcher.on_event(event)
        if isinstance(event, ConversationAssigned):
            row = event.conversation
            assert row.waiter is not None
            waiter = row.waiter
            self.given.append((row.id, waiter))
            if waiter in self.confirming:
                change = self.books.commit if self.is_heard else self.books.change
                change(lambda tx: conversations.accept(tx, row.id, waiter))

    def on_duty(self, *waiters: Person) -> None:
        for waiter in waiters:
            self.dispatcher.on_waiter_present("a", on_duty(waiter))

    def join(self, id: int) -> Conversation:
        row = join(self.books, id)
        self.dispatcher.on_user_present("a", row)
        return row

    def case(self, row: Conversation) -> Case:
        return self.dispatcher.cases[row.id]


@pytest.fixture
def last(books: Books) -> Iterator[list[Desk]]:
    desks: list[Desk] = []
    yield desks
    for desk in desks:
        desk.dispatcher.end()


@pytest.fixture
def opened(books: Books, last: list[Desk]) -> Callable[[float], Awaitable[Desk]]:
    async def begin(timeout: float) -> Desk:
        desk = Desk(books, timeout)
        last.append(desk)
        await desk.dispatcher.begin()
        return desk

    return begin


Open = Callable[[float], Awaitable[Desk]]


@pytest.mark.gen_test
async def test_an_unconfirmed_user_goes_to_the_next_agent(opened: Open) -> None:
    desk = await opened(SOON_SECONDS)
    desk.confirming.add(LI)
    desk.on_duty(WU)
    row = desk.join(1)
    await until(lambda: bool(desk.given))
    desk.on_duty(LI)
    await until(lambda: desk.given[-1] == (row.id, LI))
    assert desk.case(row).is_accepted
    assert desk.case(row).row.missed_by == ()
    assert desk.dispatcher.waiters[WU].missed_in_row >= 1
    await asyncio.sleep(3 * SOON_SECONDS)
    assert desk.case(row).row.waiter == LI


@pytest.mark.gen_test
async def test_the_only_agent_is_the_last_choice_and_is_paused_then(opened: Open) -> None:
    desk = await opened(SOON_SECONDS)
    desk.on_duty(WU)
    row = desk.join(1)
    await until(lambda: WaiterPaused(WU) in desk.told)
    assert desk.given == [(row.id, WU)] * 2
    waiting = desk.case(row).row
    assert (waiting.state, waiting.changes) == (ConversationState.WAITING, 4)
    assert not desk.dispatcher.waiters[WU].ready
    positions = [each for each in desk.told if isinstance(each, QueuePositionChanged)]
    assert (positions[-1].place, positions[-1].conversation.returned) == (1, True)
    desk.on_duty(WU)  # ready again
    await until(lambda: len(desk.given) == 3)


@pytest.mark.gen_test
async def test_an_agent_that_is_busy_is_waited_for_rather_than_the_one_who_missed(opened: Open) -> None:
    desk = await opened(SOON_SECONDS)
    desk.confirming.add(LI)
    desk.on_duty(LI)
    other = desk.join(1)
    await until(lambda: desk.given == [(other.id, LI)])
    desk.on_duty(WU)
    row = desk.join(2)
    await until(lambda: WU in desk.case(row).row.missed_by)
    desk.confirming.add(WU)
    late = desk.join(3)
    await until(lambda: desk.given[-1] == (late.id, WU))  # it is ready still, for other users
    assert desk.given == [(other.id, LI), (row.id, WU), (late.id, WU)]
    desk.books.commit(lambda tx: conversations.end(tx, other.id, other.user))
    await until(lambda: desk.given[-1] == (row.id, LI))


@pytest.mark.gen_test
async def test_what_the_agent_has_written_keeps_the_user(opened: Open) -> None:
    """The coordinator heard of no confirmation: the process of the agent may have died."""
    desk = await opened(SOON_SECONDS)
    row = desk.join(1)
    now = 1_700_000_000_000_000  # the time of ``Books``
    message = models.Message.insert(
        kind=row.thread.kind.value,
        thread_id=row.id,
        seq=1,
        sender=WU.key,
        media="text",
        text="hello",
        time=now,
    )
    message.execute(desk.books.database)
    desk.on_duty(WU)
    await until(lambda: desk.case(row).is_accepted)
    assert desk.case(row).row.waiter == WU


@pytest.mark.gen_test
async def test_a_coordinator_that_was_suspended_takes_nothing_away_that_was_confirmed(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its timer is over before it hears of the confirmation."""
    monkeypatch.setattr(grace_timers, "MAX_LATE_SECONDS", LATE_SECONDS)  # not even one more chance
    desk = await opened(SOON_SECONDS)
    desk.is_heard = False
    desk.confirming.add(WU)
    desk.on_duty(WU)
    row = desk.join(1)
    await until(lambda: bool(desk.given))
    assert not desk.case(row).is_accepted
    await until(lambda: desk.case(row).is_accepted)
    assert desk.given == [(row.id, WU)]
    assert desk.case(row).row.waiter == WU


@pytest.mark.gen_test
async def test_the_time_goes_on_under_another_coordinator(books: Books, opened: Open) -> None:
    former = await opened(LATE_SECONDS)
    former.confirming.add(LI)
    former.on_duty(WU)
    row = former.join(1)
    await until(lambda: bool(former.given))
    former.on_duty(LI)
    confirmed = former.join(2)
    await until(lambda: former.case(confirmed).is_accepted)
    desk = await opened(SOON_SECONDS)
    desk.on_duty(WU, LI)
    for case in former.dispatcher.cases.values():
        desk.dispatcher.on_user_present("a", case.row)
    await until(lambda: WU in desk.case(row).row.missed_by)
    assert desk.case(confirmed).row.waiter == LI
    former.dispatcher.end()


@pytest.mark.gen_test
async def test_a_score_moves_a_waiting_user_at_once(opened: Open) -> None:
    desk = await opened(0.0)
    rows = [desk.join(id) for id in range(1, 5)]
    desk.told.clear()
    desk.books.commit(lambda tx: conversations.prioritise(tx, rows[3].id, 80, "alert"))
    assert [(each.conversation.id, each.place) for each in desk.told] == [(rows[3].id, 1)]
    desk.books.commit(lambda tx: conversations.prioritise(tx, rows[2].id, 20, None))
    desk.on_duty(*(Person(Role.WAITER, str(id)) for id in range(10, 14)))
    await until(lambda: len(desk.given) == 4)
    assert [id for id, _ in desk.given] == [rows[n].id for n in (3, 2, 0, 1)]
    assert (desk.case(rows[3]).row.reason or "").startswith("next in line, score 80;")


@pytest.mark.gen_test
async def test_the_expected_wait_comes_from_the_database_and_goes_on_with_the_ends(
    books: Books, opened: Open
) -> None:
    for id in range(1, 6):
        served = join(books, id)
        books.change(partial(conversations.assign, **AS_FIRST, conversation=served))
        books.change(partial(conversations.end, conversation_id=served.id, gone=served.user))
    desk = await opened(0.0)
    assert desk.dispatcher.pace(DEFAULT_GROUP) is None  # no agent is on duty
    desk.on_duty(WU)
    assert desk.dispatcher.pace(DEFAULT_GROUP) == Pace(0.0, 5, 1)
    row = desk.join(6)
    await until(lambda: bool(desk.given))
    waiting = desk.join(7)
    assert desk.told[-1].expected == ExpectedWait(60.0, 5, 1)
    books.commit(lambda tx: conversations.end(tx, row.id, row.user))
    await until(lambda: desk.given[-1] == (waiting.id, WU))
    assert desk.dispatcher.pace(DEFAULT_GROUP) == Pace(0.0, 6, 1)
