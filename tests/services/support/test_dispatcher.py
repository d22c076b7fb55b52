"""The dispatcher when its database, another coordinator or the order of events does not suit it."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.delivery.conftest import turns
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.services.books import Books
from tornado_chat import config
from tornado_chat.cluster.facts import TransferRequest, WaiterPresence, always_certain
from tornado_chat.core.errors import Conflict, Unavailable
from tornado_chat.core.events import QueuePositionChanged
from tornado_chat.core.types import Conversation, ConversationState, EarlyWords, Person, Role
from tornado_chat.domain.queue import Choice, FifoLeastLoaded, Ticket, WaiterPool
from tornado_chat.observability.metrics import Metrics
from tornado_chat.services.support import decisions
from tornado_chat.services.support import dispatcher as module
from tornado_chat.services.support.dispatcher import Dispatcher
from tornado_chat.services.support.repository import ConversationRepository
from tornado_chat.storage import conversations, models

WU, LI = Person(Role.WAITER, "7"), Person(Role.WAITER, "8")


def coordinator(
    books: Books, publish: Callable[[Any], None] = lambda event: None, **options: Any
) -> Dispatcher:
    dispatcher = Dispatcher(
        config.Support(capacity=1, rejoin_grace=60),
        ConversationRepository(books, lambda group: EarlyWords.KEEP),  # type: ignore[arg-type]
        asyncio.get_running_loop(),
        publish,
        FifoLeastLoaded(),
        Metrics().queue_wait,
        is_certain=always_certain,
        **options,
    )
    books.publish = dispatcher.on_event
    return dispatcher


def join(books: Books, id: int) -> Conversation:
    user = Person(Role.USER, str(id))
    row, _ = books.change(lambda tx: conversations.join(tx, user, None, f"user-{id}"))
    assert isinstance(row, Conversation)
    return row


def on_duty(waiter: Person) -> WaiterPresence:
    return WaiterPresence(waiter, True, None, f"waiter-{waiter.id}")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def paused(waiter: Person) -> WaiterPresence:
    return WaiterPresence(waiter, False, None, f"waiter-{waiter.id}")


async def begun(books: Books) -> Dispatcher:
    """Return a dispatcher that has read the database."""
    dispatcher = coordinator(books)
    await dispatcher.begin()
    return dispatcher


async def assigned(books: Books, dispatcher: Dispatcher) -> Conversation:
    """Let WU and a user come. Return the user's row as it was before WU got it."""
    return await assigned_to(books, dispatcher, WU, join(books, 1))


async def assigned_to(
    books: Books, dispatcher: Dispatcher, waiter: Person, row: Conversation
) -> Conversation:
    """Let the waiter and the user of ``row`` come, and wait until the waiter has the user. Return ``row``."""
    dispatcher.on_waiter_present("a", on_duty(waiter))
    dispatcher.on_user_present("a", row)
    await until(lambda: dispatcher.cases[row.id].row.waiter == waiter)
    return row


@pytest.mark.gen_test
async def test_what_changes_while_a_coordinator_reads_is_not_missed(books: Books) -> None:
    row = join(books, 1)
    dispatcher = coordinator(books)

    def assign() -> None:
        books.commit(lambda tx: conversations.assign(tx, row, WU, None, "waiter-7", "first"))

    books.meanwhile = assign
    await dispatcher.begin()
    assert dispatcher.cases[row.id].row.state is ConversationState.ACTIVE
    assert list(dispatcher.waiters) == [WU]
    dispatcher.end()


@pytest.mark.gen_test
async def test_who_is_said_to_be_in_a_conversation_that_is_over_takes_nobodys_place(books: Books) -> None:
    dispatcher = await begun(books)
    row = join(books, 1)
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_user_present("a", row)
    await until(lambda: dispatcher.cases[row.id].row.state is ConversationState.ACTIVE)
    late = dispatcher.cases[row.id].row
    await books.write(lambda tx: conversations.end(tx, row.id, row.user))
    dispatcher.on_user_present("b", late)  # the end has not reached it yet
    pooled = dispatcher.queue.pool.get(WU)
    assert pooled is not None
    assert pooled.free
    assert not dispatcher.cases
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_hand_over_that_is_asked_for_again_is_done_once(books: Books) -> None:
    dispatcher = await begun(books)
    row = await assigned(books, dispatcher)
    dispatcher.on_waiter_present("a", on_duty(LI))
    for _ in range(2):
        await dispatcher.transfer(TransferRequest(row.id, WU, LI))
        assert dispatcher.cases[row.id].row.waiter == LI
    assert dispatcher.cases[row.id].row.changes == 2
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_waiter_that_answers_in_no_process_gets_no_more_users(books: Books) -> None:
    dispatcher = await begun(books)
    silent = msgspec.structs.replace(on_duty(WU), answers=False)
    for process in ("a", "b"):
        dispatcher.on_waiter_present(process, on_duty(WU))
    dispatcher.on_waiter_present("a", silent)
    assert is_free(dispatcher, WU)  # by its socket in the other process
    dispatcher.on_waiter_present("b", silent)
    assert not is_free(dispatcher, WU)
    row = join(books, 1)
    dispatcher.on_user_present("a", row)
    assert dispatcher.cases[row.id].decision is None
    dispatcher.on_waiter_absent("a", WU)  # the socket was closed for its silence
    assert not is_free(dispatcher, WU)
    dispatcher.on_waiter_present("b", on_duty(WU))
    await until(lambda: dispatcher.cases[row.id].row.waiter == WU)
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_new_coordinator_serves_in_order_whoever_tells_it_first(books: Books) -> None:
    first, second = join(books, 1), join(books, 2)
    dispatcher = coordinator(books, settle_seconds=0.05)
    await dispatcher.begin()
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_user_present("a", second)
    dispatcher.on_user_present("b", first)
    await until(lambda: dispatcher.cases[first.id].row.waiter == WU)
    assert dispatcher.cases[second.id].row.state is ConversationState.WAITING
    dispatcher.end()


@pytest.mark.gen_test
async def test_who_asks_a_new_coordinator_for_its_place_hears_the_right_one(books: Books) -> None:
    rows = [join(books, id) for id in range(1, 4)]
    told: list[tuple[int, int]] = []
    dispatcher = coordinator(
        books, lambda event: told.append((event.conversation.id, event.place)), settle_seconds=0.05
    )
    await dispatcher.begin()
    for row in reversed(rows):
        dispatcher.on_user_present("a", row)
    assert not told
    await until(lambda: len(told) >= 3)
    assert sorted(told) == [(row.id, place) for place, row in enumerate(rows, 1)]
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_match_that_was_stored_after_all_counts_once(
    books: Books, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    monkeypatch.setattr(decisions, "RETRY_SECONDS", 0.02)
    expected_logs.append("a match could not be stored, trying again")
    dispatcher = await begun(books)
    row = join(books, 1)
    books.doubtful = True
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_user_present("a", row)
    await until(lambda: bool(books.untold))
    for event in books.untold:
        dispatcher.on_event(event)
    pooled = dispatcher.queue.pool.get(WU)
    assert pooled is not None
    assert pooled.load == 1
    await books.write(lambda tx: conversations.end(tx, row.id, row.user))
    await asyncio.sleep(0.05)
    pooled = dispatcher.queue.pool.get(WU)
    assert pooled is not None
    assert pooled.load == 0
    dispatcher.end()


def is_free(dispatcher: Dispatcher, waiter: Person) -> bool:
    pooled = dispatcher.queue.pool.get(waiter)
    return pooled is not None and pooled.free


def load(dispatcher: Dispatcher, waiter: Person) -> int:
    pooled = dispatcher.queue.pool.get(waiter)
    return 0 if pooled is None else pooled.load


@pytest.mark.gen_test
async def test_a_decision_on_a_version_that_has_changed_is_not_stored(books: Books) -> None:
    dispatcher = await begun(books)
    row = join(books, 1)
    # Another coordinator assigns the user, and its event is late.
    books.change(lambda tx: conversations.assign(tx, row, LI, None, "waiter-8", "first"))
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_user_present("a", row)
    assert load(dispatcher, WU) == 1
    await until(lambda: dispatcher.cases[row.id].row.waiter == LI)
    await until(lambda: dispatcher.cases[row.id].decision is None)
    assert (load(dispatcher, WU), load(dispatcher, LI)) == (0, 1)
    assert dispatcher.cases[row.id].row.changes == 1
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_row_that_became_active_before_the_store_keeps_its_waiter(books: Books) -> None:
    dispatcher = await begun(books)
    row = join(books, 1)
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_user_present("a", row)  # decided for Wu, to be stored in the next turn of the loop
    books.commit(lambda tx: conversations.assign(tx, row, LI, None, "waiter-8", "first"))
    await until(lambda: dispatcher.cases[row.id].decision is None)
    assert dispatcher.cases[row.id].row.waiter == LI
    assert (load(dispatcher, WU), load(dispatcher, LI)) == (0, 1)
    dispatcher.end()


@pytest.mark.gen_test
async def test_who_leaves_while_its_match_is_stored_takes_nobodys_place(books: Books) -> None:
    dispatcher = await begun(books)
    first, second = join(books, 1), join(books, 2)
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_user_present("a", first)
    dispatcher.on_user_present("a", second)
    books.commit(lambda tx: conversations.end(tx, first.id, first.user))
    await until(lambda: dispatcher.cases[second.id].row.waiter == WU)
    assert load(dispatcher, WU) == 1
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_user_who_is_requeued_during_a_transfer_is_matched_again(books: Books) -> None:
    dispatcher = await begun(books)
    row = await assigned(books, dispatcher)
    active = dispatcher.cases[row.id].row
    dispatcher.on_waiter_present("a", on_duty(LI))
    books.change(lambda tx: conversations.requeue(tx, active))  # by another coordinator, not published yet
    with pytest.raises(Conflict):
        await dispatcher.transfer(TransferRequest(row.id, WU, LI))
    await until(lambda: dispatcher.cases[row.id].row.changes == 3)
    assert dispatcher.cases[row.id].row.state is ConversationState.ACTIVE
    assert load(dispatcher, WU) + load(dispatcher, LI) == 1
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_policy_that_fails_after_a_transfer_does_not_fail_the_transfer(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    dispatcher = await begun(books)
    first, second = join(books, 1), join(books, 2)
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_user_present("a", first)
    await until(lambda: dispatcher.cases[first.id].row.waiter == WU)
    dispatcher.on_user_present("a", second)
    policy = FailingPolicy()
    dispatcher.reconfigure(config.Support(capacity=1, rejoin_grace=60), policy)
    dispatcher.on_waiter_present("a", WaiterPresence(LI, False, None, "waiter-8"))
    policy.suits_nobody = True
    dispatcher.on_waiter_present("a", on_duty(LI))
    policy.suits_nobody = False
    await dispatcher.transfer(TransferRequest(first.id, WU, LI))
    assert dispatcher.cases[first.id].row.waiter == LI
    await until(lambda: bool(failures))
    dispatcher.end()


class FailingPolicy(FifoLeastLoaded):
    """A policy that fails, or finds no suitable waiter."""

    suits_nobody = False

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        if self.suits_nobody:
            return None
        raise RuntimeError("a mistake of the policy")


def refuse(work: Any, thread: Any = None) -> asyncio.Future[Any]:
    result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    result.set_exception(Unavailable("not_stored"))
    return result


@pytest.mark.gen_test
async def test_a_user_that_asks_while_its_match_is_being_stored_is_told_its_position_when_that_fails(
    books: Books, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    monkeypatch.setattr(decisions, "RETRY_SECONDS", 0.02)
    expected_logs.append("a match could not be stored, trying again")
    told: list[int] = []
    dispatcher = coordinator(books, lambda event: told.append(event.place))
    dispatcher.reconfigure(config.Support(capacity=1, queue_interval=0.01), FifoLeastLoaded())
    await dispatcher.begin()
    row = join(books, 1)
    dispatcher.on_user_present("a", row)
    assert told == [1]
    with monkeypatch.context() as during:
        during.setattr(books, "write", refuse)
        dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_waiter_absent("a", WU)
    dispatcher.on_user_present("b", row)  # another connection asks for the position
    await until(lambda: told == [1, 1])
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_conflict_is_not_tried_again_at_once_while_the_conversation_cannot_be_read(
    books: Books, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    monkeypatch.setattr(decisions, "RETRY_SECONDS", 3600.0)
    expected_logs.append("a conversation could not be read")
    dispatcher = await begun(books)
    row = join(books, 1)
    books.change(lambda tx: conversations.assign(tx, row, LI, None, "waiter-8", "first"))
    writes = 0
    write = books.write

    def fail(work: Any, thread: Any = None) -> asyncio.Future[Any]:
        nonlocal writes
        writes += 1
        return write(work) if writes == 1 else refuse(work)

    with monkeypatch.context() as during:
        during.setattr(books, "write", fail)
        dispatcher.on_waiter_present("a", on_duty(WU))
        dispatcher.on_user_present("a", row)
        await until(lambda: writes == 2)
        await turns(20)
        assert writes == 2
        assert dispatcher.cases[row.id].decision is not None
    await dispatcher.resync()
    assert dispatcher.cases[row.id].row.waiter == LI
    assert load(dispatcher, WU) == 0
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_user_that_was_served_and_requeued_unnoticed_returns_to_the_head_of_the_queue(
    books: Books,
) -> None:
    dispatcher = await begun(books)
    first, second = join(books, 1), join(books, 2)
    dispatcher.on_user_present("a", first)
    dispatcher.on_user_present("a", second)
    # Another coordinator assigns and requeues the user; the first event is lost.
    active, _ = books.change(lambda tx: conversations.assign(tx, second, LI, None, "waiter-8", "first"))
    books.commit(lambda tx: conversations.requeue(tx, active))
    assert [ticket.number for ticket in dispatcher.queue.in_order()] == [second.id, first.id]
    dispatcher.end()


# --- the lease and the term ---


@pytest.mark.gen_test
async def test_no_decision_is_made_without_the_lease(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMATCH_SECONDS", 0.02)
    has_lease = False
    dispatcher = coordinator(books, holds_lease=lambda: has_lease)
    await dispatcher.begin()
    first, second = join(books, 1), join(books, 2)
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_user_present("a", first)
    await turns(20)
    assert dispatcher.cases[first.id].decision is None
    assert load(dispatcher, WU) == 0
    has_lease = True  # also without any other event
    await until(lambda: dispatcher.cases[first.id].row.waiter == WU)
    has_lease = False
    dispatcher.on_waiter_present("a", on_duty(LI))
    with pytest.raises(Unavailable):
        await dispatcher.transfer(TransferRequest(first.id, WU, LI))
    dispatcher.on_user_present("a", second)
    await turns(20)
    assert (load(dispatcher, WU), load(dispatcher, LI)) == (1, 0)
    dispatcher.end()


@pytest.mark.gen_test
@pytest.mark.parametrize("interruption", ["lease", "term"])
async def test_a_decision_is_not_stored_when_the_lease_or_its_term_has_ended(
    books: Books, interruption: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "RETRY_SECONDS", 0.02)
    has_lease = True
    dispatcher = coordinator(books, holds_lease=lambda: has_lease)
    await dispatcher.begin()
    row = join(books, 1)
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_user_present("a", row)  # decided, to be stored in the next turn of the loop
    if interruption == "lease":
        has_lease = False
    else:
        dispatcher.end()
    await turns(20)
    assert conversations.get(books.database, row.id) == row
    if interruption == "lease":
        has_lease = True
        await until(lambda: dispatcher.cases[row.id].row.waiter == WU)
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_match_in_doubt_keeps_its_place_until_the_row_was_read_back(
    books: Books, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    monkeypatch.setattr(decisions, "RETRY_SECONDS", 0.02)
    expected_logs.append("a match could not be stored, trying again")
    dispatcher = await begun(books)
    first, second = join(books, 1), join(books, 2)
    books.doubtful = True
    dispatcher.on_waiter_present("a", on_duty(WU))
    dispatcher.on_user_present("a", first)
    await until(lambda: bool(books.untold))
    dispatcher.on_user_present("a", second)
    await turns(20)
    assert dispatcher.cases[second.id].decision is None
    await until(lambda: dispatcher.cases[first.id].row.waiter == WU)  # although no event has come
    await turns(20)
    assert dispatcher.cases[second.id].row == second
    assert load(dispatcher, WU) == 1
    dispatcher.end()


# --- conversations that come and go while the database is read ---


@pytest.mark.gen_test
async def test_a_conversation_that_came_and_ended_during_a_resync_is_not_added(books: Books) -> None:
    dispatcher = await begun(books)
    row = join(books, 1)

    def end_after_the_second_read() -> None:
        def end() -> None:
            books.commit(lambda tx: conversations.end(tx, row.id, row.user))

        books.meanwhile = end

    books.meanwhile = end_after_the_second_read
    await dispatcher.resync()
    assert not dispatcher.cases
    dispatcher.on_user_present("a", row)  # a late report
    assert not dispatcher.cases
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_conversation_that_was_assigned_during_a_resync_holds_its_place(books: Books) -> None:
    dispatcher = await begun(books)
    row = join(books, 1)

    def assign_after_the_second_read() -> None:
        def assign() -> None:
            books.commit(lambda tx: conversations.assign(tx, row, LI, None, "waiter-8", "first"))

        books.meanwhile = assign

    books.meanwhile = assign_after_the_second_read
    await dispatcher.resync()
    assert dispatcher.cases[row.id].row.waiter == LI
    assert load(dispatcher, LI) == 1
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_conversation_that_was_deleted_is_forgotten_by_a_resync(books: Books) -> None:
    dispatcher = await begun(books)
    await assigned(books, dispatcher)
    models.SupportConversation.delete().execute(books.database)
    await dispatcher.resync()
    assert not dispatcher.cases
    assert load(dispatcher, WU) == 0
    dispatcher.end()


@pytest.mark.gen_test
async def test_the_end_of_a_grace_does_not_end_a_conversation_that_has_changed(books: Books) -> None:
    row = join(books, 1)
    books.change(lambda tx: conversations.assign(tx, row, LI, None, "waiter-8", "first"))
    with pytest.raises(Conflict):
        books.change(lambda tx: conversations.end_abandoned(tx, row))
    active = conversations.get(books.database, row.id)
    assert active is not None
    assert active.state is ConversationState.ACTIVE
    with pytest.raises(Conflict):  # the waiter of an earlier version
        books.change(lambda tx: conversations.leave(tx, row.id, WU))
    ended, _ = books.change(lambda tx: conversations.leave(tx, row.id, LI))
    assert ended.state is ConversationState.ENDED
    assert books.change(lambda tx: conversations.leave(tx, row.id, row.user)) == (ended, [])
    with pytest.raises(Conflict):
        books.change(lambda tx: conversations.end_abandoned(tx, ended))


@pytest.mark.gen_test
async def test_a_late_event_of_a_conversation_that_ended_before_the_term_does_not_bring_it_back(
    books: Books,
) -> None:
    row = join(books, 1)
    _, late = books.change(lambda tx: conversations.assign(tx, row, LI, None, "waiter-8", "first"))
    books.change(lambda tx: conversations.end(tx, row.id, row.user))
    dispatcher = await begun(books)
    for event in late:  # its process was suspended between the commit and the publication
        dispatcher.on_event(event)
    await until(lambda: not dispatcher.cases)
    assert load(dispatcher, LI) == 0
    dispatcher.end()


def positions(events: list[Any]) -> list[tuple[int, int | None]]:
    return [(event.place, event.serving) for event in events if isinstance(event, QueuePositionChanged)]


@pytest.mark.gen_test
async def test_a_position_says_how_many_waiters_serve(books: Books) -> None:
    published: list[Any] = []
    dispatcher = coordinator(books, published.append)
    dispatcher.reconfigure(
        config.Support(capacity=1, rejoin_grace=60, queue_interval=0.01), dispatcher.policy
    )
    await dispatcher.begin()
    row = join(books, 1)
    dispatcher.on_user_present("a", row)
    assert positions(published) == [(1, 0)]
    await assigned_to(books, dispatcher, WU, row)
    waiting = join(books, 2)
    dispatcher.on_user_present("a", waiting)
    assert positions(published)[-1] == (1, 1)  # the waiter has no free place, but serves
    dispatcher.on_waiter_present("a", paused(LI))
    dispatcher.on_waiter_present("a", paused(WU))
    await until(lambda: positions(published)[-1] == (1, 0))
    dispatcher.on_waiter_present("a", on_duty(WU))
    await until(lambda: positions(published)[-1] == (1, 1))
    dispatcher.on_waiter_present("b", on_duty(WU))
    dispatcher.on_user_present("a", waiting)
    assert positions(published)[-1] == (1, 1)
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_lost_waiter_serves_until_the_end_of_its_grace(books: Books) -> None:
    published: list[Any] = []
    dispatcher = coordinator(books, published.append)
    dispatcher.reconfigure(
        config.Support(capacity=1, rejoin_grace=0.05, queue_interval=0.01), dispatcher.policy
    )
    await dispatcher.begin()
    row = await assigned_to(books, dispatcher, WU, join(books, 1))
    waiting = join(books, 2)
    dispatcher.on_user_present("a", waiting)
    dispatcher.on_waiter_absent("a", WU)
    dispatcher.on_user_present("a", waiting)
    assert positions(published)[-1] == (1, 1)
    await until(lambda: positions(published)[-1][1] == 0)
    await until(lambda: dispatcher.cases[row.id].row.returned)
    dispatcher.end()


@pytest.mark.gen_test
async def test_a_waiter_with_users_serves_under_a_new_coordinator_before_it_is_reported(books: Books) -> None:
    row, waiting = join(books, 1), join(books, 2)
    books.change(lambda tx: conversations.assign(tx, row, WU, None, "waiter-7", "first"))
    published: list[Any] = []
    dispatcher = coordinator(books, published.append)
    await dispatcher.begin()
    dispatcher.on_user_present("a", waiting)
    assert positions(published) == [(1, 1)]
    dispatcher.on_waiter_present("a", paused(WU))
    dispatcher.on_user_present("a", waiting)
    assert positions(published)[-1] == (1, 0)
    dispatcher.end()
