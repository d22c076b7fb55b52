"""Storing and reading messages: numbers without gaps, resends, threads that accept no messages."""

from collections.abc import Sequence
from typing import Any

import peewee as pw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.conftest import COUNSELLOR, NOW, VISITOR, new_session, on_sqlite, open_url, transact
from tornado_chat.core.errors import Conflict
from tornado_chat.core.events import DuplicateMessage
from tornado_chat.core.types import (
    AppendResult,
    ConversationState,
    Kind,
    Message,
    Person,
    Role,
    SessionState,
    Thread,
)
from tornado_chat.storage import messages, models, rooms
from tornado_chat.storage.messages import AppendOutcome, AppendRequest, MessageAppender

SESSION = Thread(Kind.SESSION, 7)
USER = Person(Role.USER, "9")


@pytest.fixture(autouse=True)
def _session(database: pw.Database) -> None:
    transact(database, lambda tx: new_session(tx, SESSION.id))


def append(database: pw.Database, *appends: AppendRequest, now: int = NOW) -> list[AppendOutcome]:
    with database.atomic():
        return MessageAppender(database).append(appends, now)


def new_message(
    text: str, client_id: str | None = None, sender: Person = VISITOR, **more: Any
) -> AppendRequest:
    return AppendRequest(SESSION, sender, text, client_id, **more)


def stored(outcome: AppendOutcome) -> AppendResult:
    assert isinstance(outcome, tuple), outcome
    return outcome[0]


def texts(database: pw.Database, thread: Thread = SESSION) -> list[str]:
    return [message.text for message in messages.after(database, thread, 0, 1000)]


def conversation(database: pw.Database, state: ConversationState, returned: bool = False) -> Thread:
    new_id = models.SupportConversation.insert(
        user=USER.key, user_uuid="u", state=state.value, returned=returned, created=NOW
    ).execute(database)
    return Thread(Kind.SUPPORT, new_id)


def test_messages_are_numbered_from_one_without_gaps_across_batches(database: pw.Database) -> None:
    first = append(database, new_message("a"), new_message("b"))
    second = append(database, new_message("c"), now=NOW + 1)
    assert [stored(o) for o in (*first, *second)] == [
        AppendResult(1, NOW),
        AppendResult(2, NOW),
        AppendResult(3, NOW + 1),
    ]
    assert rooms.get(database, SESSION).last_seq == 3


def test_threads_of_one_batch_are_numbered_independently(database: pw.Database) -> None:
    other = Thread(Kind.SESSION, transact(database, new_session)[0].thread.id)
    outcomes = append(
        database,
        new_message("a"),
        AppendRequest(other, VISITOR, "x"),
        new_message("b"),
        AppendRequest(other, VISITOR, "y"),
    )
    assert [stored(o).seq for o in outcomes] == [1, 1, 2, 2]
    assert (texts(database), texts(database, other)) == (["a", "b"], ["x", "y"])


def test_a_session_and_a_record_with_the_same_number_are_two_threads(database: pw.Database) -> None:
    session = rooms.get(database, SESSION)
    record, _ = transact(
        database,
        lambda tx: rooms.create_record(
            tx, session.view, supervisor_id="3", supervisor_name=None, record_id=7
        ),
    )
    append(database, new_message("session"), AppendRequest(record[0].thread, COUNSELLOR, "record"))
    assert (texts(database), texts(database, record[0].thread)) == (["session"], ["record"])


def test_published_messages_equal_stored_messages(database: pw.Database) -> None:
    outcomes = append(
        database,
        new_message("你好 🙂\x00 '; DROP TABLE message; --", "c1"),
        new_message("https://example.org/a.png", media="image", sender=COUNSELLOR),
        new_message("again, other words", "c1", same_text_only=True),
    )
    told = [outcome[1] for outcome in outcomes if isinstance(outcome, tuple)]
    assert told == messages.after(database, SESSION, 0, 10)
    # The process that stored the message may have died before it published the event.
    resent = append(database, new_message("whatever", "c1"), now=NOW + 5)
    assert resent == [(AppendResult(1, NOW, duplicate=True), DuplicateMessage(SESSION, 1))]


def test_a_resent_id_is_answered_and_not_stored_again(database: pw.Database, database_url: str) -> None:
    once, twice = append(database, new_message("hello", "c1"), new_message("hello", "c1"))
    assert stored(once) == AppendResult(1, NOW)
    assert stored(twice) == AppendResult(1, NOW, duplicate=True)
    (later,) = append(database, new_message("hello", "c1"), now=NOW + 5)
    assert stored(later) == AppendResult(1, NOW, duplicate=True)
    database.close()
    reopened = open_url(database_url)
    (after_restart,) = append(reopened, new_message("hello", "c1"), now=NOW + 9)
    assert stored(after_restart) == AppendResult(1, NOW, duplicate=True)
    assert texts(reopened) == ["hello"]
    reopened.close()


def test_a_resend_among_new_messages_leaves_no_gap(database: pw.Database) -> None:
    append(database, new_message("a", "1"))
    outcomes = append(
        database,
        new_message("b", "2"),
        new_message("a", "1"),
        new_message("c", "3"),
        new_message("b", "2"),
        new_message("d"),
    )
    assert [(stored(o).seq, stored(o).duplicate) for o in outcomes] == [
        (2, False),
        (1, True),
        (3, False),
        (2, True),
        (4, False),
    ]
    assert texts(database) == ["a", "b", "c", "d"]


@on_sqlite
def test_resends_are_found_without_reading_the_conversation(database: pw.Database) -> None:
    queries: list[str] = []
    database.connection().set_trace_callback(queries.append)
    append(database, new_message("a", "c1"), new_message("b", "c2"), new_message("c", "c3"))
    database.connection().set_trace_callback(None)
    (query,) = (query for query in queries if "client_id" in query and query.startswith("SELECT"))
    plan = [row[3] for row in database.execute_sql(f"EXPLAIN QUERY PLAN {query}")]
    assert not any("SCAN" in step for step in plan), plan
    found = [step for step in plan if "SEARCH" in step]
    assert len(found) >= 3, plan
    assert all("sender=? AND client_id=?" in step for step in found), plan


def test_the_same_id_of_two_senders_or_in_two_threads_is_two_messages(database: pw.Database) -> None:
    other = Thread(Kind.SESSION, transact(database, new_session)[0].thread.id)
    outcomes = append(
        database,
        new_message("a", "1"),
        new_message("b", "1", COUNSELLOR),
        AppendRequest(other, VISITOR, "c", "1"),
    )
    assert not any(stored(o).duplicate for o in outcomes)
    assert texts(database) == ["a", "b"]


def test_an_id_reused_for_another_text_is_a_new_message_with_same_text_only(
    database: pw.Database,
) -> None:
    within = append(database, *(new_message(text, "1", same_text_only=True) for text in ("a", "b", "a")))
    assert [(stored(o).seq, stored(o).duplicate) for o in within] == [(1, False), (2, False), (1, True)]
    later = append(database, *(new_message(text, "1", same_text_only=True) for text in ("c", "a")))
    assert [(stored(o).seq, stored(o).duplicate) for o in later] == [(3, False), (1, True)]
    assert texts(database) == ["a", "b", "c"]


@pytest.mark.parametrize("state", [SessionState.COMPLETED, SessionState.CANCELLED])
def test_a_finished_session_refuses_messages_but_recognises_resends(
    database: pw.Database, state: SessionState
) -> None:
    append(database, new_message("a", "1"))
    transact(database, lambda tx: rooms.finish(tx, SESSION, state))
    outcomes = append(
        database,
        new_message("late"),
        new_message("late", "2"),
        new_message("late", "2"),
        new_message("a", "1"),
    )
    assert [type(o) for o in outcomes[:3]] == [Conflict] * 3
    assert stored(outcomes[3]) == AppendResult(1, NOW, duplicate=True)
    assert rooms.get(database, SESSION).last_seq == 1
    assert texts(database) == ["a"]


@pytest.mark.parametrize(
    ("state", "returned", "takes"),
    [
        (ConversationState.WAITING, False, True),
        (ConversationState.WAITING, True, True),
        (ConversationState.ACTIVE, False, True),
        (ConversationState.ENDED, False, False),
        (ConversationState.ENDED, True, False),
    ],
)
def test_a_support_conversation_accepts_messages_until_its_end(
    database: pw.Database, state: ConversationState, returned: bool, takes: bool
) -> None:
    thread = conversation(database, state, returned)
    (outcome,) = append(database, AppendRequest(thread, USER, "hello"))
    assert isinstance(outcome, tuple) is takes
    assert texts(database, thread) == (["hello"] if takes else [])


def test_pages_go_forward_and_backward(database: pw.Database) -> None:
    append(database, *(new_message(str(n)) for n in range(1, 11)))

    def seqs(page: Sequence[Message]) -> list[int]:
        assert [m.text for m in page] == [str(m.seq) for m in page]
        return [m.seq for m in page]

    assert seqs(messages.after(database, SESSION, 0, 3)) == [1, 2, 3]
    assert seqs(messages.after(database, SESSION, 8, 3)) == [9, 10]
    assert seqs(messages.after(database, SESSION, 10, 3)) == []
    for before, expected, has_more in (
        (None, [8, 9, 10], True),
        (8, [5, 6, 7], True),
        (4, [1, 2, 3], False),
        (3, [1, 2], False),
        (1, [], False),
    ):
        page = messages.page_before(database, SESSION, before, 3, 1000)
        assert (seqs(page.items), page.has_more) == (expected, has_more)
    for after, expected, has_more in ((0, [1, 2, 3], True), (7, [8, 9, 10], False), (10, [], False)):
        page = messages.page_after(database, SESSION, after, 3, 1000)
        assert (seqs(page.items), page.has_more) == (expected, has_more)


def test_the_position_of_a_client_may_be_ahead_of_an_older_copy(database: pw.Database) -> None:
    append(database, *(new_message(f"{n}") for n in range(3)))
    for after, expected in ((0, [1, 2]), (2, [3]), (3, []), (4, [1, 2]), (2**63 - 1, [1, 2])):
        page = messages.page_for_client(database, SESSION, after, 2, 1000)
        assert [message.seq for message in page.items] == expected
        assert page.has_more is (expected == [1, 2])
    nothing = messages.page_for_client(database, Thread(Kind.SESSION, 8), 5, 2, 1000)
    assert nothing.items == []


@pytest.mark.parametrize(
    ("max_bytes", "newest", "oldest"),
    [
        (1, [5], [1]),  # at least one message
        (20, [5], [1]),
        (21, [4, 5], [1, 2]),  # the message that reaches the size is part of the page
        (30, [4, 5], [1, 2]),
        (49, [3, 4, 5], [1, 2, 3, 4]),
        (10_000, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
    ],
)
def test_a_page_ends_when_its_texts_have_the_given_size_in_utf8(
    database: pw.Database, max_bytes: int, newest: list[int], oldest: list[int]
) -> None:
    append(database, *(new_message(text) for text in ("a" * 20, "b" * 10, "c" * 10, "咨" * 7, "e" * 20)))
    before = messages.page_before(database, SESSION, None, 100, max_bytes)
    after = messages.page_after(database, SESSION, 0, 100, max_bytes)
    assert [m.seq for m in before.items] == newest
    assert [m.seq for m in after.items] == oldest
    assert before.has_more is (len(newest) < 5)
    assert after.has_more is (len(oldest) < 5)


# --- random batches, compared with a model that stores messages one by one ---

THREADS = {"open": SESSION, "ended": Thread(Kind.SESSION, 8), "support": Thread(Kind.SUPPORT, 1)}

some_append = st.builds(
    AppendRequest,
    thread=st.sampled_from(sorted(THREADS.values())),
    sender=st.sampled_from([VISITOR, COUNSELLOR]),
    text=st.sampled_from(["x", "y"]),
    client_id=st.sampled_from([None, "1", "2"]),
    same_text_only=st.booleans(),
)


class Model:
    def __init__(self) -> None:
        self.rows: dict[Thread, list[tuple[int, str]]] = {}
        self.known: dict[tuple[Thread, Person, str], tuple[AppendResult, str]] = {}

    def take(self, append: AppendRequest, now: int) -> AppendResult | None:
        key = None if append.client_id is None else (append.thread, append.sender, append.client_id)
        if key in self.known:
            known, text = self.known[key]
            if not append.same_text_only or text == append.text:
                return AppendResult(known.seq, known.time, duplicate=True)
            key = None
        if append.thread == THREADS["ended"]:
            return None
        rows = self.rows.setdefault(append.thread, [])
        rows.append((len(rows) + 1, append.text))
        stored = AppendResult(len(rows), now)
        if key is not None:
            self.known[key] = (stored, append.text)
        return stored


@settings(max_examples=100, deadline=None)
@given(batches=st.lists(st.lists(some_append, min_size=1, max_size=8), max_size=6))
def test_batches_have_the_same_result_as_single_messages(
    batches: list[list[AppendRequest]],
) -> None:
    database = pw.SqliteDatabase(":memory:")
    with database.bind_ctx(models.TABLES):
        database.create_tables(models.TABLES)
    for thread in (THREADS["open"], THREADS["ended"]):
        transact(database, lambda tx, thread=thread: new_session(tx, thread.id))
    transact(database, lambda tx: rooms.finish(tx, THREADS["ended"], SessionState.COMPLETED))
    conversation(database, ConversationState.ACTIVE)
    model = Model()
    told: dict[Thread, list[tuple[int, str]]] = {}
    try:
        for now, batch in enumerate(batches):
            outcomes = append(database, *batch, now=now)
            expected = [model.take(one, now) for one in batch]
            assert [o[0] if isinstance(o, tuple) else None for o in outcomes] == expected
            for outcome in outcomes:
                if isinstance(outcome, tuple) and not outcome[0].duplicate:
                    told.setdefault(outcome[1].thread, []).append((outcome[1].seq, outcome[1].text))
        assert told == model.rows
        for thread in THREADS.values():
            rows = [(m.seq, m.text) for m in messages.after(database, thread, 0, 1000)]
            assert rows == model.rows.get(thread, [])
    finally:
        database.close()
