"""The dispatcher with groups: queues, positions, fallback groups, transfers and reloads, on the real SQL."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.services.books import Books
from tests.services.support import test_dispatcher
from tests.services.support.test_dispatcher import until
from tornado_chat import config
from tornado_chat.cluster.facts import TransferRequest, WaiterPresence
from tornado_chat.core.errors import NotFound
from tornado_chat.core.types import DEFAULT_GROUP, Conversation, Person, Role
from tornado_chat.domain.groups import Group, Groups
from tornado_chat.domain.queue import FifoLeastLoaded
from tornado_chat.services.support.dispatcher import Dispatcher
from tornado_chat.storage import conversations

ANN, CAT = Person(Role.WAITER, "ann"), Person(Role.CONSULTANT, "cat")
SOON_SECONDS = 0.05
CREATED = 1_700_000_000.0
"""The time at which ``Books`` stores everything."""

SETTINGS = config.Support(capacity=1, rejoin_grace=60, queue_interval=0.01)


def coordinator(
    books: Books,
    publish: Callable[[Any], None] = lambda event: None,
    now: float = CREATED,
    **options: Any,
) -> Dispatcher:
    return test_dispatcher.coordinator(books, publish, clock=lambda: now, **options)


def groups(fallback_seconds: float = 3600.0, capacity: int = 1, **more: Any) -> Groups:
    """Return the default group, served by waiters, and ``crisis``, served by consultants."""
    return Groups(
        [
            Group(DEFAULT_GROUP, capacity),
            Group(
                "crisis",
                capacity,
                roles=frozenset({Role.CONSULTANT}),
                fallback=DEFAULT_GROUP,
                fallback_seconds=fallback_seconds,
                **more,
            ),
        ]
    )


def join(books: Books, id: int, group: str = DEFAULT_GROUP) -> Conversation:
    user = Person(Role.USER, str(id))
    row, _ = books.change(lambda tx: conversations.join(tx, user, None, f"user-{id}", group=group))
    assert isinstance(row, Conversation)
    return row


def present(dispatcher: Dispatcher, *rows: Conversation) -> None:
    for row in rows:
        dispatcher.on_user_present("a", row)


def on_duty(dispatcher: Dispatcher, *people: Person, **claims: Any) -> None:
    for person in people:
        dispatcher.on_waiter_present("a", WaiterPresence(person, True, None, f"agent-{person.id}", claims))


def has(dispatcher: Dispatcher, row: Conversation, agent: Person) -> bool:
    case = dispatcher.cases.get(row.id)
    return case is not None and case.row.waiter == agent


@pytest.mark.gen_test
async def test_users_wait_in_the_line_of_their_group(books: Books) -> None:
    told: list[Any] = []
    dispatcher = coordinator(books, told.append, groups=groups())
    await dispatcher.begin()
    rows = [join(books, 1), join(books, 2, "crisis"), join(books, 3, "crisis"), join(books, 4)]
    present(dispatcher, *rows)
    assert [event.place for event in told] == [1, 1, 2, 2]
    on_duty(dispatcher, CAT)
    await until(lambda: has(dispatcher, rows[1], CAT))
    assert dispatcher.cases[rows[0].id].row.waiter is None
    on_duty(dispatcher, ANN)
    await until(lambda: has(dispatcher, rows[0], ANN))
    dispatcher.end()


@pytest.mark.gen_test
async def test_users_hear_how_many_agents_serve_their_group(books: Books) -> None:
    told: list[Any] = []
    dispatcher = coordinator(books, told.append, groups=groups())
    dispatcher.reconfigure(SETTINGS, FifoLeastLoaded(), groups())
    await dispatcher.begin()
    on_duty(dispatcher, ANN, capacity=0)
    user, urgent = join(books, 1), join(books, 2, "crisis")
    present(dispatcher, user, urgent)
    assert [(event.conversation.group, event.serving) for event in told] == [
        (DEFAULT_GROUP, 1),
        ("crisis", 0),
    ]
    on_duty(dispatcher, CAT, capacity=0)
    await until(lambda: len(told) == 3)
    assert (told[2].conversation.group, told[2].serving) == ("crisis", 1)
    on_duty(dispatcher, CAT, capacity=0, groups=[DEFAULT_GROUP])  # a new token: she serves no group any more
    await until(lambda: len(told) == 4)
    assert (told[3].conversation.group, told[3].serving) == ("crisis", 0)
    dispatcher.end()


@pytest.mark.gen_test
async def test_the_fallback_group_serves_a_user_who_has_waited(books: Books) -> None:
    dispatcher = coordinator(books, groups=groups(SOON_SECONDS))
    await dispatcher.begin()
    row = join(books, 1, "crisis")
    on_duty(dispatcher, ANN)
    present(dispatcher, row)
    assert dispatcher.cases[row.id].decision is None
    await until(lambda: has(dispatcher, row, ANN))
    assert dispatcher.cases[row.id].row.group == "crisis"
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_user_who_was_away_is_shared_by_the_time_since_it_came(books: Books) -> None:
    dispatcher = coordinator(books, groups=groups(SOON_SECONDS))
    await dispatcher.begin()
    row = join(books, 1, "crisis")
    present(dispatcher, row)
    dispatcher.on_user_absent("a", row.id)
    await asyncio.sleep(2 * SOON_SECONDS)
    on_duty(dispatcher, ANN)
    assert dispatcher.cases[row.id].decision is None
    present(dispatcher, row)
    await until(lambda: has(dispatcher, row, ANN))
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_new_coordinator_knows_the_groups_and_the_waiting_times(books: Books) -> None:
    row, other = join(books, 1, "crisis"), join(books, 2, "crisis")
    dispatcher = coordinator(books, groups=groups(), now=CREATED + 3600.0)
    await dispatcher.begin()
    assert [case.row.group for case in dispatcher.cases.values()] == ["crisis", "crisis"]
    on_duty(dispatcher, ANN)
    present(dispatcher, row)
    await until(lambda: has(dispatcher, row, ANN))
    assert dispatcher.cases[other.id].row.waiter is None
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_returned_user_waits_for_its_own_group_first(books: Books) -> None:
    dispatcher = coordinator(books, groups=groups())
    await dispatcher.begin()
    row = join(books, 1, "crisis")
    on_duty(dispatcher, ANN, CAT)
    present(dispatcher, row)
    await until(lambda: has(dispatcher, row, CAT))
    await books.write(lambda tx: conversations.requeue(tx, dispatcher.cases[row.id].row))
    await until(lambda: has(dispatcher, row, CAT))
    assert dispatcher.cases[row.id].row.changes == 3
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_transfer_may_leave_the_group(books: Books) -> None:
    dispatcher = coordinator(books, groups=groups())
    await dispatcher.begin()
    row = join(books, 1, "crisis")
    on_duty(dispatcher, CAT)
    present(dispatcher, row)
    await until(lambda: has(dispatcher, row, CAT))
    with pytest.raises(NotFound):
        await dispatcher.transfer(TransferRequest(row.id, CAT, ANN))
    on_duty(dispatcher, ANN)
    await dispatcher.transfer(TransferRequest(row.id, CAT, ANN))
    assert has(dispatcher, row, ANN)
    assert dispatcher.cases[row.id].row.group == "crisis"
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_reload_moves_users_and_agents(books: Books) -> None:
    told: list[Any] = []
    dispatcher = coordinator(books, told.append, groups=groups())
    await dispatcher.begin()
    row, other = join(books, 1, "crisis"), join(books, 2)
    on_duty(dispatcher, ANN, capacity=0)
    present(dispatcher, row, other)
    del told[:]
    dispatcher.reconfigure(SETTINGS, FifoLeastLoaded(), None)  # no groups: claims do not count, either
    assert dispatcher.queue.position(other.id) == 2
    await until(lambda: has(dispatcher, row, ANN))
    dispatcher.reconfigure(SETTINGS, FifoLeastLoaded(), groups(capacity=2))
    await books.write(lambda tx: conversations.end(tx, row.id, row.user))
    on_duty(dispatcher, ANN)
    await until(lambda: has(dispatcher, other, ANN))
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_shorter_fallback_time_counts_at_once(books: Books) -> None:
    dispatcher = coordinator(books, groups=groups())
    await dispatcher.begin()
    row = join(books, 1, "crisis")
    on_duty(dispatcher, ANN)
    present(dispatcher, row)
    dispatcher.reconfigure(SETTINGS, FifoLeastLoaded(), groups(SOON_SECONDS))
    await until(lambda: has(dispatcher, row, ANN))
    dispatcher.end()
