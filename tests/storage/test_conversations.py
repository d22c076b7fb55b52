"""Support conversations in the database: a change is refused if the conversation has changed meanwhile."""

import itertools
from collections.abc import Callable

import peewee as pw
import pytest

from tests.storage.conftest import NOW, transact
from tests.storage.people import post
from tornado_chat.core.errors import Conflict
from tornado_chat.core.events import (
    ConversationAssigned,
    ConversationEnded,
    ConversationQueued,
    ConversationRequeued,
)
from tornado_chat.core.types import Conversation, ConversationState, EarlyWords, Kind, Person, Role, Thread
from tornado_chat.storage import conversations, left_messages, messages, models
from tornado_chat.storage.writer import Transaction

USER, OTHER = Person(Role.USER, "1"), Person(Role.USER, "2")
ANNE, BOB = Person(Role.WAITER, "anne"), Person(Role.WAITER, "bob")

_uuids = itertools.count()


def join(database: pw.Database, user: Person = USER) -> Conversation:
    uuid = f"user-{next(_uuids)}"
    return transact(database, lambda tx: conversations.join(tx, user, "小林", uuid))[0]


def assign(
    conversation: Conversation, waiter: Person = ANNE, reason: str = "fifo"
) -> Callable[[Transaction], Conversation]:
    return lambda tx: conversations.assign(tx, conversation, waiter, "客服", f"uuid-{waiter.id}", reason)


def transfer(
    conversation: Conversation, waiter: Person, reason: str = "handed over"
) -> Callable[[Transaction], Conversation]:
    return lambda tx: conversations.transfer(tx, conversation, waiter, "客服", f"uuid-{waiter.id}", reason)


def requeue(conversation: Conversation) -> Callable[[Transaction], Conversation]:
    return lambda tx: conversations.requeue(tx, conversation)


def end(conversation: Conversation, gone: Person = USER) -> Callable[[Transaction], Conversation]:
    return lambda tx: conversations.end(tx, conversation.id, gone)


def test_a_user_who_joins_waits_and_has_an_address(database: pw.Database) -> None:
    made, events = transact(database, lambda tx: conversations.join(tx, USER, "小林", "uuid"))
    assert made == Conversation(
        id=made.id,
        user=USER,
        user_name="小林",
        user_uuid="uuid",
        state=ConversationState.WAITING,
        last_seq=0,
        created=NOW,
    )
    assert made.thread == Thread(Kind.SUPPORT, made.id)
    assert events == [ConversationQueued(made)]


def test_a_socket_that_connects_again_after_the_end_keeps_its_address(database: pw.Database) -> None:
    first, _ = transact(database, end(join(database)))
    again, _ = transact(database, lambda tx: conversations.join(tx, USER, None, first.user_uuid))
    assert again.id > first.id
    assert again.user_uuid == first.user_uuid


def test_finished_conversations_of_a_user_come_newest_first(database: pw.Database) -> None:
    first, _ = transact(database, end(join(database)))
    transact(database, end(join(database, OTHER)))
    second, _ = transact(database, end(join(database)))
    join(database)
    assert conversations.ended_of(database, USER, None, 10) == [second, first]
    assert conversations.ended_of(database, USER, None, 1) == [second]
    assert conversations.ended_of(database, USER, second.id, 10) == [first]


def test_a_waiting_user_gets_a_waiter(database: pw.Database) -> None:
    waiting = join(database)
    active, events = transact(database, assign(waiting), NOW + 1)
    assert (active.state, active.waiter, active.assigned) == (ConversationState.ACTIVE, ANNE, NOW + 1)
    assert (active.waiter_name, active.waiter_uuid, active.returned) == ("客服", "uuid-anne", False)
    assert events == [ConversationAssigned(active, "fifo", previous=None)]


def test_a_transfer_names_the_waiter_before(database: pw.Database) -> None:
    active, _ = transact(database, assign(join(database)))
    moved, events = transact(database, transfer(active, BOB, "transfer"))
    assert (moved.waiter, moved.waiter_uuid) == (BOB, "uuid-bob")
    assert events == [ConversationAssigned(moved, "transfer", previous=ANNE)]


def test_a_user_who_loses_the_waiter_waits_again_as_returned(database: pw.Database) -> None:
    active, _ = transact(database, assign(join(database)))
    waiting, events = transact(database, requeue(active))
    assert (waiting.state, waiting.returned) == (ConversationState.WAITING, True)
    assert (waiting.waiter, waiting.waiter_name, waiting.waiter_uuid) == (None, None, None)
    assert events == [ConversationRequeued(waiting, lost=ANNE)]
    again, _ = transact(database, assign(waiting, BOB))
    assert (again.returned, again.waiter) == (False, BOB)


def test_a_change_of_a_stale_state_is_refused(database: pw.Database) -> None:
    waiting = join(database)
    with_anne, _ = transact(database, assign(waiting))
    with pytest.raises(Conflict, match="no_conversation"):
        transact(database, assign(waiting, BOB))  # anne has it already
    with_bob, _ = transact(database, transfer(with_anne, BOB))
    for stale in (requeue(with_anne), transfer(with_anne, ANNE)):
        with pytest.raises(Conflict, match="no_conversation"):
            transact(database, stale)
    assert conversations.latest_of_user(database, USER) == with_bob
    ended, _ = transact(database, end(with_bob))
    for stale in (requeue(with_bob), transfer(with_bob, ANNE), assign(waiting)):
        with pytest.raises(Conflict, match="no_conversation"):
            transact(database, stale)
    assert conversations.latest_of_user(database, USER) == ended


def test_each_change_demands_the_state_that_it_begins_with(database: pw.Database) -> None:
    waiting = join(database)
    with pytest.raises(Conflict, match="no_conversation"):
        transact(database, transfer(waiting, BOB))
    active, _ = transact(database, assign(waiting))
    with pytest.raises(Conflict, match="no_conversation"):
        transact(database, assign(active, BOB))
    assert conversations.latest_of_user(database, USER) == active


def test_a_change_returns_the_messages_and_the_rating_that_came_since(database: pw.Database) -> None:
    active, _ = transact(database, assign(join(database)))
    models.SupportConversation.update(last_seq=3).execute(database)
    transact(database, lambda tx: conversations.rate(tx, active.id, 4, "good"))
    ended, _ = transact(database, end(active))
    assert (ended.last_seq, ended.rate, ended.feedback) == (3, 4, "good")
    assert conversations.latest_of_user(database, USER) == ended


def test_a_change_is_refused_after_the_state_changed_and_returned(database: pw.Database) -> None:
    first, _ = transact(database, assign(join(database)))
    waiting, _ = transact(database, requeue(first))
    again, _ = transact(database, assign(waiting))  # to the same waiter
    with pytest.raises(Conflict, match="no_conversation"):
        transact(database, requeue(first))
    assert conversations.latest_of_user(database, USER) == again


def test_a_conversation_ends_once(database: pw.Database) -> None:
    active, _ = transact(database, assign(join(database)))
    ended, events = transact(database, end(active, ANNE), NOW + 5)
    assert (ended.state, ended.ended, ended.waiter) == (ConversationState.ENDED, NOW + 5, ANNE)
    assert events == [ConversationEnded(ended, ANNE)]
    assert transact(database, end(active, USER), NOW + 6) == (ended, [])


def test_a_user_may_leave_the_queue(database: pw.Database) -> None:
    ended, events = transact(database, end(join(database)))
    assert (ended.state, ended.waiter) == (ConversationState.ENDED, None)
    assert events == [ConversationEnded(ended, USER)]


def test_a_restart_finds_waiting_and_active_conversations_oldest_first(database: pw.Database) -> None:
    waiting, talking, gone = join(database), join(database, OTHER), join(database, Person(Role.USER, "3"))
    talking, _ = transact(database, assign(talking))
    transact(database, end(gone))
    assert conversations.unfinished(database) == [waiting, talking]
    assert conversations.change_counts(database) == {waiting.id: 0, talking.id: 1}


def test_active_conversations_of_several_waiters(database: pw.Database) -> None:
    carl, dora = Person(Role.WAITER, "carl"), Person(Role.WAITER, "dora")
    users = [Person(Role.USER, str(number)) for number in range(6)]
    of_anne, of_bob, of_anne_too, of_carl, over, lost = (
        transact(database, assign(join(database, user), waiter))[0]
        for user, waiter in zip(users, (ANNE, BOB, ANNE, carl, ANNE, BOB), strict=True)
    )
    transact(database, end(over, over.user))
    transact(database, requeue(lost))
    assert conversations.active_of_waiters(database, [BOB, dora, ANNE]) == [of_anne, of_bob, of_anne_too]
    assert (
        conversations.active_of_waiters(database, [carl])
        == conversations.active_of_waiter(database, carl)
        == [of_carl]
    )
    assert conversations.active_of_waiters(database, []) == []


def test_the_latest_conversation_of_a_user_is_its_newest(database: pw.Database) -> None:
    assert conversations.latest_of_user(database, USER) is None
    first, _ = transact(database, end(join(database)))
    assert conversations.latest_of_user(database, USER) == first
    second = join(database)
    join(database, OTHER)
    assert conversations.latest_of_user(database, USER) == second


def test_the_last_rating_counts_and_stays_with_its_conversation(database: pw.Database) -> None:
    mine, other = join(database), join(database, OTHER)
    for stars, feedback in ((1, "no"), (4, None)):
        _, events = transact(
            database,
            lambda tx, stars=stars, feedback=feedback: conversations.rate(tx, mine.id, stars, feedback),
        )
        assert events == []
    rated = conversations.latest_of_user(database, USER)
    assert rated is not None
    assert (rated.rate, rated.feedback) == (4, None)
    assert conversations.latest_of_user(database, OTHER) == other


@pytest.mark.parametrize("early_words", EarlyWords)
@pytest.mark.parametrize(
    ("waiters", "answers", "kept", "texts"),
    [
        (0, False, {EarlyWords.KEEP}, {EarlyWords.KEEP}),
        (1, False, {EarlyWords.KEEP}, set(EarlyWords)),  # the waiter is lost before it has written
        (1, True, set(), set(EarlyWords)),
    ],
)
def test_what_becomes_of_the_words_of_a_user_who_gives_up_while_waiting(
    database: pw.Database,
    early_words: EarlyWords,
    waiters: int,
    answers: bool,
    kept: set[EarlyWords],
    texts: set[EarlyWords],
) -> None:
    row = join(database)
    post(database, row.thread, USER, "one")
    for _ in range(waiters):
        row, _ = transact(database, assign(row))
        if answers:
            post(database, row.thread, ANNE, "two")
        row, _ = transact(database, requeue(row))
    transact(database, lambda tx: conversations.leave(tx, row.id, USER, early_words))
    found = left_messages.page(database, None, (), None, 0, 10)
    assert [each.conversation.id for each in found] == [row.id] * (early_words in kept)
    stored = messages.after(database, row.thread, 0, 10)
    assert [each.text for each in stored] == ["one", *(["two"] * answers)] * (early_words in texts)


def test_a_user_who_leaves_its_waiter_leaves_no_message(database: pw.Database) -> None:
    row = join(database)
    post(database, row.thread, USER, "one")
    row, _ = transact(database, assign(row))
    transact(database, lambda tx: conversations.leave(tx, row.id, USER, EarlyWords.KEEP))
    assert left_messages.page(database, None, (), None, 0, 10) == []
