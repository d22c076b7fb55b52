"""Held messages: order, decisions, ends, and what retention, export and erasure do with them."""

from typing import Any

import peewee as pw
import pytest

from tests.storage.conftest import NOW, transact
from tests.storage.people import BOB, CHEN, EVE, WU, build_sample
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import HeldChanged
from tornado_chat.core.types import (
    AppendResult,
    HeldMessage,
    HeldState,
    Message,
    Person,
    SessionState,
    Thread,
)
from tornado_chat.storage import conversations, erasure, held_messages, models, person_data, retention, rooms
from tornado_chat.storage.messages import AppendRequest

LONG_SECONDS = 60.0


def hold(
    database: pw.Database,
    thread: Thread,
    text: str,
    sender: Person = CHEN,
    client_id: str | None = None,
    *,
    seconds: float = LONG_SECONDS,
    same_text_only: bool = False,
) -> Any:
    request = AppendRequest(thread, sender, text, client_id, same_text_only=same_text_only)
    return transact(database, lambda tx: held_messages.hold(tx, request, "default", seconds))[0]


def send(database: pw.Database, held: HeldMessage, text: str | None = None) -> HeldMessage:
    return transact(database, lambda tx: held_messages.send(tx, held.id, WU, text), NOW + 5)[0][0]


def refused(database: pw.Database, work: Any) -> str:
    with pytest.raises(ChatError) as error:
        transact(database, work)
    return error.value.code


def states(database: pw.Database, thread: Thread) -> list[str]:
    people = {held.sender for held in held_messages.undecided(database)} | {CHEN, EVE, BOB}
    found = [held for each in people for held in held_messages.last_of_sender(database, thread, each)]
    return [held.state.value for held in sorted(found, key=lambda held: held.id)]


def test_decisions_are_made_once_and_in_order(database: pw.Database) -> None:
    session = build_sample(database, over=False).session
    first, second, third = (hold(database, session, text) for text in ("one", "two", "three"))
    assert first.deadline == NOW + LONG_SECONDS * 1_000_000
    assert refused(database, lambda tx: held_messages.send(tx, second.id, WU)) == "earlier_held"
    transact(database, lambda tx: held_messages.refuse(tx, second.id, WU, "not that"))
    sent = send(database, first, "one, edited")
    assert (sent.state, sent.final_text, sent.decided_by) == (HeldState.EDITED, "one, edited", WU)
    for decision in (held_messages.send, held_messages.refuse):
        assert refused(database, lambda tx, each=decision: each(tx, first.id, WU)) == "already_decided"
    _, events = transact(database, lambda tx: held_messages.send(tx, third.id, WU))
    assert [type(event) for event in events] == [Message, HeldChanged]
    assert states(database, session) == ["edited", "refused", "approved"]
    last = models.Message.select(models.Message.text).order_by(models.Message.seq.desc())
    texts = last.where((models.Message.kind == 1) & (models.Message.thread_id == session.id))
    assert [text for (text,) in texts.tuples().execute(database)][:2] == ["three", "one, edited"]


def test_a_message_that_is_sent_again_is_not_held_again(database: pw.Database) -> None:
    session = build_sample(database, over=False).session
    first = hold(database, session, "one", client_id="a")
    assert hold(database, session, "one", client_id="a") == first
    sent = send(database, first)
    assert hold(database, session, "one", client_id="a") == sent
    other = hold(database, session, "two", client_id="a", same_text_only=True)
    assert (other.text, other.client_id) == ("two", None)
    # A message that was sent before its sender needed an approval.
    assert isinstance(hold(database, session, "I hear you", client_id="2-I hear you"), AppendResult)


def test_a_message_expires_after_the_earlier_ones_of_its_sender(database: pw.Database) -> None:
    session = build_sample(database, over=False).session
    first = hold(database, session, "one", seconds=90.0)
    second = hold(database, session, "two", seconds=1.0)
    assert second.deadline == first.deadline
    decided = transact(database, lambda tx: held_messages.expire(tx, second.id, sends=True))[0]
    assert [(each.text, each.state, each.decided_by) for each in decided] == [
        ("one", HeldState.APPROVED, None),
        ("two", HeldState.APPROVED, None),
    ]
    assert transact(database, lambda tx: held_messages.expire(tx, second.id, sends=True))[0] == []
    third = hold(database, session, "three", seconds=0.0)
    assert hold(database, session, "four").deadline is third.deadline is None
    assert transact(database, lambda tx: held_messages.expire(tx, third.id, sends=False))[0][0].seq is None


def test_nothing_is_sent_after_the_end_or_by_an_agent_that_has_left(database: pw.Database) -> None:
    sample = build_sample(database, over=False)
    session, support = sample.session, sample.support
    last = hold(database, session, "wait")
    _, events = transact(database, lambda tx: rooms.finish(tx, session, SessionState.COMPLETED))
    assert [type(event).__name__ for event in events] == ["HeldChanged", "RoomEnded"]
    assert states(database, session) == ["expired"]
    assert refused(database, lambda tx: held_messages.send(tx, last.id, WU)) == "already_decided"
    assert refused(database, lambda tx: held_messages.hold(tx, AppendRequest(support, BOB, "x"), "", 0.0))

    hold(database, support, "hello", EVE)
    row = conversations.get(database, support.id)
    assert row is not None
    transact(database, lambda tx: conversations.transfer(tx, row, BOB, "Bob", "uuid-9", "handed over by 6"))
    assert states(database, support) == ["expired"]


def test_export_erasure_and_retention_know_held_messages(database: pw.Database) -> None:
    sample = build_sample(database, over=False)
    first = hold(database, sample.session, "my secret")
    send(database, first, "our secret")
    hold(database, sample.session, "another secret")
    transact(database, lambda tx: rooms.finish(tx, sample.session, SessionState.COMPLETED))
    assert [each["text"] for each in person_data.held_messages(database, CHEN)] == [
        "my secret",
        "another secret",
    ]
    assert [each["final_text"] for each in person_data.approvals(database, WU)] == ["our secret"]
    transact(database, lambda tx: erasure.erase_rest(tx, WU))
    assert not list(person_data.approvals(database, WU))
    transact(database, lambda tx: erasure.erase_conversation(tx, CHEN, sample.session, "[erased]"))
    assert not list(person_data.held_messages(database, CHEN))
    texts = models.HeldMessage.select(models.HeldMessage.text, models.HeldMessage.final_text).tuples()
    assert list(texts.execute(database)) == [("[erased]", None)] * 2
    transact(database, lambda tx: retention.remove_conversations(tx, [sample.session], 1000))
    assert retention.count_rows(database, models.HeldMessage) == 0
    assert held_messages.find_many(database, [1, 2]) == []
