"""Storing and reading messages.

The append is the hot path of the whole server, so it executes SQL through the cursor: building
the same queries with Peewee costs many times as much as running them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import msgspec
import peewee as pw

from tornado_chat.aio.chunks import chunks
from tornado_chat.core.errors import ChatError, Conflict
from tornado_chat.core.events import DuplicateMessage
from tornado_chat.core.types import (
    AppendResult,
    ConversationState,
    Kind,
    Message,
    Page,
    Person,
    SessionState,
    Thread,
)
from tornado_chat.storage import models
from tornado_chat.storage.raw_sql import fetch_page, fetch_rows
from tornado_chat.storage.threads import is_ahead

T = TypeVar("T")
ClientIdKey = tuple[int, int, str, str | None]
"""Kind, thread id, sender key and the message id that the sender's client chose."""

MAX_QUERY_ITEMS = 128
"""Largest number of values in one list and of conditions in one query."""

_SELECT_MESSAGES = (
    "SELECT seq, sender, text, time, media, client_id FROM message WHERE kind = ? AND thread_id = ?"
)
_TEXT_COLUMN = 2

OPEN_ROOM_STATES = (SessionState.READY, SessionState.ACTIVE)


class EarlyLimit(NamedTuple):
    """The limit of the messages in a conversation that waits for its first waiter.

    :ivar bytes: the size of all their texts.
    """

    messages: int
    bytes: int


class AppendRequest(msgspec.Struct, frozen=True, gc=False):
    """A message to be stored.

    A ``client_id`` that the sender has used in this thread before makes the message a resend, which is
    not stored again. With ``same_text_only`` that holds only if the text is the same too: the
    support seed requires an id in every frame without saying that it must be unique, so a client may
    count from the start again after a reload, and its new message must not be taken for an old one.
    With ``as_agent`` a new message is stored only if its sender is the agent of the conversation.
    """

    thread: Thread
    sender: Person
    text: str
    client_id: str | None = None
    media: str = "text"
    same_text_only: bool = False
    early_limit: EarlyLimit | None = None
    as_agent: bool = False


AppendOutcome = tuple[AppendResult, Message | DuplicateMessage] | ChatError


class MessageAppender:
    """Appends batches of messages to one database; used on the writer thread only.

    Strategy: a few statements store the whole batch, for any number of threads, because a database server
    at the other end of a socket answers one statement after the other.
    """

    def __init__(self, database: pw.Database) -> None:
        self._database = database
        self._mark = mark = database.param
        self._for_update = " FOR UPDATE" if database.for_update else ""
        # MySQL reads a small table as a whole, and would wait for the locks of rows that it does not need.
        self._by_key = " FORCE INDEX (PRIMARY)" if database.for_update else ""
        message = _table_name(models.Message)
        self._insert = (
            f"INSERT INTO {message} (kind, thread_id, seq, sender, client_id, media, text, time) "  # noqa: S608 - names of our own tables
            f"VALUES ({', '.join([mark] * 8)})"
        )
        self._find = f"SELECT kind, thread_id, sender, client_id, seq, time, text FROM {message} WHERE "  # noqa: S608
        self._same = f"(kind = {mark} AND thread_id = {mark} AND sender = {mark} AND client_id = {mark})"

    def append(self, appends: Sequence[AppendRequest], now: int) -> list[AppendOutcome]:
        """Store the messages in order, inside the caller's transaction.

        :arg now: the time that all messages get, in microseconds since 1970.
        :return: for each request the result for its sender and the event to publish, or the error
            ``Conflict`` if the thread has ended.
        """
        cursor = self._database.cursor()  # type: ignore[no-untyped-call]  # absent from the stubs
        # The locks come first, since they order the writers of all processes; then stored resends are looked
        # up.
        locked = self._lock(cursor, {append.thread for append in appends})
        before = {thread: seq for thread, (seq, _, _) in locked.items()}
        known = self._find_stored(cursor, appends)
        early = self._count_early(cursor, {append.thread for append in appends if append.early_limit})
        last = dict(before)
        outcomes: list[AppendOutcome] = []
        rows = []
        for append in appends:
            thread, text, client_id, sender = append.thread, append.text, append.client_id, append.sender.key
            key = (thread.kind.value, thread.id, sender, client_id)
            if client_id is not None:
                stored = known.get(key)
                if stored is not None:
                    if not append.same_text_only or stored[2] == text:
                        outcomes.append(
                            (
                                AppendResult(stored[0], stored[1], duplicate=True),
                                DuplicateMessage(thread, stored[0]),
                            )
                        )
                        continue
                    client_id = None
            if thread not in last:
                outcomes.append(Conflict("session_finished"))
                continue
            if append.early_limit is not None and thread in early and not early[thread].add(append):
                outcomes.append(Conflict("early_words_full", **append.early_limit._asdict()))
                continue
            _, agent, is_shown = locked[thread]
            if append.as_agent and agent != sender:
                outcomes.append(Conflict("not_agent"))
                continue
            seq = last[thread] = last[thread] + 1
            rows.append((key[0], key[1], seq, sender, client_id, append.media, text, now))
            outcomes.append(
                (
                    AppendResult(seq, now),
                    Message(
                        *(thread, seq, append.sender, text, now, append.media, client_id),
                        agent=agent if is_shown else None,
                    ),
                )
            )
            if client_id is not None:
                known[key] = (seq, now, text)
        if rows:
            rows.sort()  # rows that belong to the same page of an index are inserted together
            cursor.executemany(self._insert, rows)
            self._advance(cursor, {thread: last[thread] - before[thread] for thread in before})
        return outcomes

    def _lock(self, cursor: Any, threads: set[Thread]) -> dict[Thread, tuple[int, str, bool]]:
        """Lock the threads that accept messages.

        Returns for each the last ``seq``, the key of the agent, and whether it may have had another agent.

        No other transaction changes these numbers until this one ends. The SQL condition decides whether
        a thread accepts messages, regardless of which process ended the thread.
        """
        last = {}
        for kind, ids in _by_kind(threads):
            table, condition, agent = _THREAD_TABLES[kind]
            marks = ", ".join([self._mark] * len(ids))
            cursor.execute(
                f"SELECT id, last_seq, {agent} FROM {_table_name(table)}{self._by_key} "  # noqa: S608
                f"WHERE id IN ({marks}) AND {condition}{self._for_update}",
                ids,
            )
            for id, seq, key, changes in cursor.fetchall():
                last[Thread(kind, id)] = seq, key or "", changes > 0
        return last

    def _count_early(self, cursor: Any, threads: set[Thread]) -> dict[Thread, "_EarlyCount"]:
        """Count the messages of those of ``threads``, which are locked, that wait for their first waiter."""
        found = {}
        for thread in threads:
            cursor.execute(
                f"SELECT 1 FROM {thread_table(thread.kind)} WHERE id = {self._mark} AND assigned IS NULL",  # noqa: S608
                [thread.id],
            )
            if cursor.fetchone() is not None:
                cursor.execute(
                    f"SELECT text FROM {_table_name(models.Message)} "  # noqa: S608
                    f"WHERE kind = {self._mark} AND thread_id = {self._mark}",
                    [thread.kind.value, thread.id],
                )
                found[thread] = _EarlyCount([text for (text,) in cursor.fetchall()])
        return found

    def _advance(self, cursor: Any, new_messages: Mapping[Thread, int]) -> None:
        """Raise ``last_seq`` by one statement for all threads of a kind that got equally many messages."""
        for count in set(new_messages.values()) - {0}:
            for kind, ids in _by_kind(thread for thread, got in new_messages.items() if got == count):
                marks = ", ".join([self._mark] * len(ids))
                cursor.execute(
                    f"UPDATE {_table_name(_THREAD_TABLES[kind][0])}{self._by_key} "  # noqa: S608
                    f"SET last_seq = last_seq + {self._mark} WHERE id IN ({marks})",
                    [count, *ids],
                )

    def _find_stored(
        self, cursor: Any, appends: Sequence[AppendRequest]
    ) -> dict[ClientIdKey, tuple[int, int, str]]:
        """Return ``seq``, time and text of the messages stored under the client ids of ``appends``."""
        keys = {
            (append.thread.kind.value, append.thread.id, append.sender.key, append.client_id)
            for append in appends
            if append.client_id is not None
        }
        known = {}
        for chunk in chunks(list(keys), MAX_QUERY_ITEMS):
            padded = _pad_to_power_of_two(chunk)
            cursor.execute(
                self._find + " OR ".join([self._same] * len(padded)), [part for key in padded for part in key]
            )
            for row in cursor.fetchall():
                known[row[:4]] = row[4:]
        return known


class _EarlyCount:
    """The number and the size of the messages of a conversation that waits for its first waiter."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._messages = len(texts)
        self._bytes = sum(len(text.encode()) for text in texts)

    def add(self, append: AppendRequest) -> bool:
        """Count a message. Returns False, and does not count it, if it exceeds its limit."""
        assert append.early_limit is not None
        messages, size = self._messages + 1, self._bytes + len(append.text.encode())
        if messages > append.early_limit.messages or size > append.early_limit.bytes:
            return False
        self._messages, self._bytes = messages, size
        return True


def _pad_to_power_of_two(values: Sequence[T]) -> Sequence[T]:
    """Repeat the last value until the length is a power of two.

    So there are only a few different statements. SQLite keeps them prepared, and preparing a statement takes
    longer than running it.
    """
    full: int = 1 << (len(values) - 1).bit_length()
    return [*values, *[values[-1]] * (full - len(values))]


def _by_kind(threads: Iterable[Thread]) -> Iterator[tuple[Kind, Sequence[int]]]:
    """Yield the ids of ``threads`` by kind, in padded chunks.

    The order is the same for all writers, so that their row locks do not make a deadlock.
    """
    for kind, of_kind in groupby(sorted(threads), lambda thread: thread.kind):
        for ids in chunks([thread.id for thread in of_kind], MAX_QUERY_ITEMS):
            yield kind, _pad_to_power_of_two(ids)


def after(database: pw.Database, thread: Thread, seq: int, limit: int) -> list[Message]:
    """Return the first ``limit`` messages of ``thread`` after ``seq``, oldest first."""
    rows = fetch_rows(
        database,
        f"{_SELECT_MESSAGES} AND seq > ? ORDER BY seq LIMIT ?",
        thread.kind.value,
        thread.id,
        seq,
        limit,
    )
    return _messages(thread, rows)


def last_seq(database: pw.Database, thread: Thread) -> int:
    """Return the ``seq`` of the last stored message of ``thread``; 0 if there is none."""
    m = models.Message
    query = m.select(pw.fn.MAX(m.seq)).where((m.kind == thread.kind.value) & (m.thread_id == thread.id))
    seq: int | None = query.scalar(database)
    return seq or 0


def page_after(database: pw.Database, thread: Thread, seq: int, limit: int, max_bytes: int) -> Page[Message]:
    """Return the first messages of ``thread`` after ``seq``, as ``page_before``."""
    oldest_first = f"{_SELECT_MESSAGES} AND seq > ? ORDER BY seq"
    rows, has_more = fetch_page(
        *(database, oldest_first, thread.kind.value, thread.id, seq),
        limit=limit,
        max_bytes=max_bytes,
        text_column=_TEXT_COLUMN,
    )
    return Page(_messages(thread, rows), has_more)


def page_for_client(
    database: pw.Database, thread: Thread, seq: int, limit: int, max_bytes: int
) -> Page[Message]:
    """Return the first messages of ``thread`` after the position ``seq`` of a client, as ``page_before``.

    The position is remembered by the client. If it is ahead of the thread, the page is the first of the
    thread, as for a receipt that is ahead: messages with these numbers would remain hidden from the client.
    """
    page = page_after(database, thread, seq, limit, max_bytes)
    if not page.items and is_ahead(database, thread, seq):
        return page_after(database, thread, 0, limit, max_bytes)
    return page


def page_before(
    database: pw.Database, thread: Thread, seq: int | None, limit: int, max_bytes: int
) -> Page[Message]:
    """Return the last messages before ``seq`` (None: the newest), oldest first.

    :arg limit: the maximum number of messages.
    :arg max_bytes: the size of the texts at which the page ends; it has at least one message.
    """
    condition, values = ("", ()) if seq is None else ("AND seq < ? ", (seq,))
    newest_first = f"{_SELECT_MESSAGES} {condition}ORDER BY seq DESC"
    rows, has_more = fetch_page(
        *(database, newest_first, thread.kind.value, thread.id, *values),
        limit=limit,
        max_bytes=max_bytes,
        text_column=_TEXT_COLUMN,
    )
    return Page(_messages(thread, reversed(rows)), has_more)


def last_before(database: pw.Database, thread: Thread, time: int) -> int:
    """Return the ``seq`` of the last message that was stored before ``time``; 0 if there is none."""
    m = models.Message
    query = m.select(m.seq).where(
        (m.kind == thread.kind.value) & (m.thread_id == thread.id) & (m.time < time)
    )
    seq: int | None = query.order_by(m.seq.desc()).scalar(database)
    return seq or 0


def _messages(thread: Thread, rows: Iterable[tuple[Any, ...]]) -> list[Message]:
    senders: dict[str, Person] = {}  # a thread has mostly two senders, so each key is parsed once
    found = []
    for seq, sender, text, time, media, client_id in rows:
        person = senders.get(sender)
        if person is None:
            person = senders[sender] = Person.from_key(sender)
        found.append(Message(thread, seq, person, text, time, media, client_id))
    return found


def _table_name(table: type[pw.Model]) -> str:
    return str(table._meta.table_name)


def thread_table(kind: Kind) -> str:
    """Return the name of the table with the row of each thread of this kind that accepts messages."""
    return _table_name(_THREAD_TABLES[kind][0])


def _states(*states: str) -> str:
    return ", ".join(f"'{state}'" for state in states)


# Per kind: the table that holds the thread's last_seq, the condition under which the thread accepts messages,
# and the columns of its agent and of the number of its agent's changes (the first assignment is none). A
# message that a user sends while waiting is stored for the waiter that comes; whether the user may send it
# before its first waiter is decided in ``services/support/first_words.py``.
_THREAD_TABLES: dict[Kind, tuple[type[pw.Model], str, str]] = {
    Kind.SESSION: (
        models.ConsultationSession,
        f"state IN ({_states(*OPEN_ROOM_STATES)})",
        "helper, COALESCE(agent_changes, 0)",
    ),
    Kind.RECORD: (models.SupervisorConsultation, f"state IN ({_states(*OPEN_ROOM_STATES)})", "helper, 0"),
    Kind.SUPPORT: (
        models.SupportConversation,
        f"state IN ({_states(ConversationState.ACTIVE, ConversationState.WAITING)})",
        "waiter, COALESCE(changes, 0) - 1",
    ),
}
