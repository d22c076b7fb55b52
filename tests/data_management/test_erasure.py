"""Erasure: no data of the person are left; messages of others and the order of messages stay."""

from collections.abc import Mapping, Sequence
from typing import Any

import peewee as pw
import pytest

from tests.storage.conftest import NOW, transact
from tests.storage.people import (
    BOB,
    CHEN,
    DAY,
    EVE,
    LIN,
    SECRET,
    WU,
    build_sample,
    everything,
    leave_message,
    post,
    rows,
    texts,
)
from tornado_chat.core.types import Kind, Part, Person, Role, StaffAccount, Thread
from tornado_chat.data_management.erasure import Erasure
from tornado_chat.plugins.data_keeper import Keeper
from tornado_chat.plugins.data_keepers import DataKeepers, PluginKeeper
from tornado_chat.storage import (
    conversations,
    left_messages,
    messages,
    notifications,
    participants,
    person_data,
    revocations,
    rooms,
    staff,
)
from tornado_chat.storage.erasure import ErasureEffect

TOMBSTONE = "[erased]"


LEE = Person(Role.USER, "4")


def erase(database: pw.Database, person: Person, keepers: DataKeepers | None = None, **how: bool) -> Erasure:
    erasure = Erasure(database, keepers or DataKeepers(), person, TOMBSTONE, **how)
    erasure.run(lambda done, total: None)
    return erasure


def test_a_visitor_is_erased_and_messages_of_others_stay(database: pw.Database) -> None:
    sample = build_sample(database)
    erasure = erase(database, LIN)
    assert erasure.complete
    assert SECRET not in everything(database)
    assert LIN.key not in everything(database).split("\n")
    assert texts(database, sample.session) == [(1, TOMBSTONE), (2, TOMBSTONE), (3, "I hear you")]
    assert texts(database, sample.support) == [(1, TOMBSTONE), (2, "with pleasure")]
    assert texts(database, sample.record) == [(1, "about this session"), (2, "go on")]
    assert dict(erasure.counts) == {
        ErasureEffect("message", "emptied"): 3,
        ErasureEffect("participant", "made anonymous"): 2,
        ErasureEffect("consultation_session", "made anonymous"): 1,
        ErasureEffect("support_conversation", "made anonymous"): 1,
        ErasureEffect("receipt", "deleted"): 2,
        ErasureEffect("read_mark", "deleted"): 1,
        ErasureEffect("notification", "deleted"): 1,
        ErasureEffect("inbox", "made anonymous"): 1,
    }
    room = rooms.get(database, sample.session)
    assert (room.helper, room.helper_name, room.rate) == (CHEN, "Chen", 4), (
        "a number of stars is no personal data"
    )
    assert (room.asker.role, room.asker_name, room.feedback, room.appointment_id) == (
        Role.USER,
        None,
        None,
        None,
    )
    conversation = conversations.get(database, sample.support.id)
    assert conversation is not None
    assert (conversation.claims, conversation.rate, conversation.feedback) == ({}, 5, None)


def test_erased_conversations_cannot_be_linked_to_one_person(database: pw.Database) -> None:
    first, second = build_sample(database), build_sample(database)
    erase(database, LIN)
    askers = {rooms.get(database, sample.session).asker for sample in (first, second)}
    senders = {messages.after(database, sample.session, 0, 1)[0].sender for sample in (first, second)}
    assert len(askers) == 2
    assert askers == senders, "within one conversation the key is the same"


def test_a_dry_run_has_the_same_counts_and_changes_nothing(database: pw.Database) -> None:
    build_sample(database)
    before = everything(database)
    dry_run = erase(database, LIN, dry_run=True)
    assert everything(database) == before
    assert dry_run.counts == erase(database, LIN).counts


@pytest.mark.parametrize("person", [CHEN, WU, BOB, EVE])
def test_agents_can_be_erased_too(database: pw.Database, person: Person) -> None:
    sample = build_sample(database)
    own = [text for thread in sample[:3] for text in texts_by(database, thread, person)]
    assert erase(database, person).complete
    left = everything(database)
    assert person.key not in left.split("\n")
    assert all(text not in left for text in own)
    assert f"handed over by {person.id}" not in left
    assert SECRET in left
    assert erase(database, person).counts.total() == 0, "a second erasure finds no data"


def texts_by(database: pw.Database, thread: Thread, person: Person) -> list[str]:
    return [each.text for each in messages.after(database, thread, 0, 100) if each.sender == person]


def test_an_erased_waiter_is_removed_as_last_waiter(database: pw.Database) -> None:
    build_sample(database)
    again = transact(database, lambda tx: conversations.join(tx, LIN, None, "uuid-9"))[0]
    assert again.last_waiter == EVE
    erase(database, EVE)
    found = conversations.get(database, again.id)
    assert found is not None
    assert found.last_waiter is None


def test_a_consultant_that_has_served_a_group_is_erased(database: pw.Database) -> None:
    row = transact(database, lambda tx: conversations.join(tx, LIN, None, "uuid-1", group="crisis"))[0]
    row = transact(database, lambda tx: conversations.assign(tx, row, CHEN, "Chen", "uuid-2", "for Chen"))[0]
    transact(database, lambda tx: conversations.end(tx, row.id, LIN))
    waiting = transact(database, lambda tx: conversations.join(tx, LIN, None, "uuid-3"))[0]
    assert waiting.last_waiter == CHEN
    erase(database, CHEN)
    left = everything(database)
    assert CHEN.key not in left.split("\n")
    assert "Chen" not in left
    served = conversations.get(database, row.id)
    assert served is not None
    assert served.waiter is not None
    assert (served.waiter.role, served.group) == (Role.CONSULTANT, "crisis")


def test_left_messages_of_an_erased_person_are_no_longer_to_be_answered(database: pw.Database) -> None:
    ids = [leave_message(database, person, f"words of {person.id}") for person in (LIN, LEE)]
    for id in ids:
        transact(database, lambda tx, id=id: left_messages.mark_handled(tx, id, BOB))
    erase(database, LIN)
    assert "words of 1" not in everything(database)
    assert [each.beginning for each in left_messages.page(database, None, (), None, 0, 10)] == ["words of 4"]
    erase(database, BOB)
    (left,) = left_messages.page(database, None, (), None, 0, 10)
    assert (left.handled, left.handled_by) == (NOW, None)
    assert BOB.key not in everything(database).split("\n")
    waiting = transact(database, lambda tx: conversations.join(tx, LEE, None, "uuid-7"))[0]
    post(database, waiting.thread, LEE, "more words")
    transact(database, lambda tx: conversations.end(tx, waiting.id, LEE))  # by the erasure
    erase(database, LEE, whole_conversations=True)
    assert left_messages.page(database, None, (), None, 0, 10) == []
    assert "words" not in everything(database)


def test_an_erased_inbox_has_no_owner_and_its_id_is_not_used_again(database: pw.Database) -> None:
    build_sample(database)
    transact(database, lambda tx: notifications.create(tx, WU, 0, "hello", None))
    inbox = notifications.find_inbox(database, WU)
    erase(database, WU)
    assert notifications.people(database, Role.SUPERVISOR, 0) == [], (
        "an erased inbox has no recipient who could read"
    )
    made = transact(database, lambda tx: notifications.create(tx, WU, 0, "hello again", None))[0]
    assert made.thread != inbox
    assert inbox is not None
    assert notifications.page_after(database, inbox, 0, 10, 1000).items == []


def test_an_account_is_removed_and_its_id_stays_taken(database: pw.Database) -> None:
    account = StaffAccount("chen", "Chen", CHEN, NOW)
    staff.add(database, account, "hash")
    staff.add(database, StaffAccount("wu", "Wu", WU, NOW), "hash")
    assert staff.open_session(database, "key", "chen", "hash", NOW, NOW + DAY, 0)
    assert person_data.is_known(database, CHEN)
    erasure = erase(database, CHEN)
    assert erasure.complete
    assert erasure.counts == {
        ErasureEffect("staff_account", "made anonymous"): 1,
        ErasureEffect("staff_session", "deleted"): 1,
    }
    assert staff.find_account(database, "chen") is None
    assert staff.existing_sessions(database, ["key"]) == set()
    assert [each.name for each in staff.accounts(database)] == ["wu"]
    assert rows(database, "staff_account") == 2
    assert erase(database, CHEN).counts.total() == 0


def test_a_revocation_stays_until_it_ends_and_forgets_who_made_it(database: pw.Database) -> None:
    for person, by in ((CHEN, "root"), (WU, CHEN.key)):
        assert revocations.add(database, person, NOW, NOW + DAY, False, by) is not None
    assert person_data.is_known(database, CHEN)
    assert erase(database, CHEN).counts == {ErasureEffect("revocation", "made anonymous"): 1}
    kept = {each.person: each.made_by for each in revocations.after(database, 0)}
    assert kept == {CHEN: "root", WU: ""}


def test_whole_conversations_are_removed_with_messages_of_others(database: pw.Database) -> None:
    sample = build_sample(database)
    dry_run = erase(database, LIN, whole_conversations=True, dry_run=True)
    assert len(texts(database, sample.record)) == 2
    erasure = erase(database, LIN, whole_conversations=True)
    assert erasure.counts == dry_run.counts
    assert erasure.counts[ErasureEffect("message", "deleted")] == 7
    for thread in (sample.session, sample.support, sample.record):
        assert texts(database, thread) == []
    left = everything(database)
    assert "I hear you" not in left
    assert "go on" not in left, "the record of the session is removed too"


def test_long_conversations_are_erased_in_several_transactions(database: pw.Database) -> None:
    for whole_conversations in (False, True):
        sample = build_sample(database, over=False)
        post(database, sample.session, LIN, *[f"{SECRET} {n}" for n in range(1200)])
        steps: list[tuple[int, int]] = []
        erasure = Erasure(database, DataKeepers(), LIN, TOMBSTONE, whole_conversations=whole_conversations)
        erasure.end(erasure.open())
        erasure.run(lambda done, total, steps=steps: steps.append((done, total)))  # type: ignore[misc]
        assert steps[-1][0] == steps[-1][1] == (3 if whole_conversations else 2)
        assert SECRET not in everything(database)


def test_open_conversations_are_named_and_can_be_ended(database: pw.Database) -> None:
    sample = build_sample(database, over=False)
    erasure = Erasure(database, DataKeepers(), LIN, TOMBSTONE)
    assert erasure.open() == [(sample.session, "active"), (sample.support, "active")]
    assert Erasure(database, DataKeepers(), LIN, TOMBSTONE, whole_conversations=True).open() == [
        (sample.session, "active"),
        (sample.support, "active"),
        (sample.record, "active"),
    ]
    # Bob has handed Lin over to Eve, who is still talking with Lin.
    assert Erasure(database, DataKeepers(), BOB, TOMBSTONE).open() == []
    assert Erasure(database, DataKeepers(), BOB, TOMBSTONE, whole_conversations=True).open() == [
        (sample.support, "active")
    ]
    Erasure(database, DataKeepers(), LIN, TOMBSTONE, dry_run=True).end(erasure.open())
    assert len(erasure.open()) == 2
    erasure.end(erasure.open())
    assert erasure.open() == []


def test_an_observer_leaves_no_trace(database: pw.Database) -> None:
    build_sample(database)
    assert person_data.is_known(database, WU)
    assert {thread.kind for thread in person_data.received_and_read(database, WU)} == {Kind.SESSION}
    erase(database, WU)
    assert person_data.received_and_read(database, WU) == {}


def test_a_person_who_returns_meanwhile_is_noticed(database: pw.Database) -> None:
    build_sample(database)

    class Restless(Keeper):
        def erase_person(self, tx: Any, person: Person) -> Mapping[str, int]:
            notifications.create(tx, person, 0, "once more", None)
            return {}

    erasure = erase(database, LIN, DataKeepers([PluginKeeper("restless", Restless())]))
    assert not erasure.complete


def test_a_keeper_that_fails_undoes_only_its_own_part(
    database: pw.Database, expected_logs: list[str]
) -> None:
    build_sample(database)
    expected_logs.append("plugin broken failed to export or remove its data")

    class Broken(Keeper):
        def erase_person(self, tx: Any, person: Person) -> Mapping[str, int]:
            tx.database.execute_sql("UPDATE message SET text = 'damaged'")
            raise RuntimeError("no")

    class Good(Keeper):
        def of_person(
            self, database: pw.Database, person: Person
        ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
            return {"good_kept": [{"a": 1}], "good_empty": []}

        def erase_person(self, tx: Any, person: Person) -> Mapping[str, int]:
            return {"good_gone": 2}

    keepers = DataKeepers([PluginKeeper("broken", Broken()), PluginKeeper("good", Good())])
    erasure = erase(database, LIN, keepers)
    assert keepers.failed == {"broken"}
    assert "damaged" not in everything(database)
    assert SECRET not in everything(database)
    assert erasure.counts[ErasureEffect("good_gone", "erased by its plugin")] == 2
    assert erasure.kept == {"good_kept": 1}


def test_an_interrupted_transaction_is_rolled_back(
    database: pw.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = build_sample(database)

    def interrupt(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Erasure, "_erase_rest", interrupt)
    monkeypatch.setattr("tornado_chat.data_management.erasure.MAX_TRANSACTION_ROWS", 1)
    with pytest.raises(KeyboardInterrupt):
        erase(database, LIN)
    assert (1, TOMBSTONE) in texts(database, sample.session)
    assert rows(database, "notification") == 2
    monkeypatch.undo()
    assert erase(database, LIN).complete


def test_a_waiter_that_had_a_conversation_without_writing_is_found_and_erased(database: pw.Database) -> None:
    build_sample(database)
    again = transact(database, lambda tx: conversations.join(tx, LIN, "Lin", "again"))[0]
    again = transact(database, lambda tx: conversations.assign(tx, again, EVE, "Eve", "e", ""))[0]
    again = transact(
        database, lambda tx: conversations.transfer(tx, again, BOB, "Bob", "b", "asked"), NOW + 1
    )[0]
    transact(database, lambda tx: conversations.end(tx, again.id, LIN), NOW + 2)
    assert again.thread in person_data.threads(database, EVE)
    assert erase(database, EVE).complete
    left = participants.of_thread(database, again.thread)
    assert [(each.part, each.name, each.left) for each in left] == [
        (Part.CLIENT, "Lin", NOW + 2),
        (Part.AGENT, None, NOW + 1),
        (Part.AGENT, "Bob", NOW + 2),
    ]
    assert "Eve" not in everything(database)
    assert EVE.key not in everything(database).split("\n")
