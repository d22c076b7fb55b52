"""Storing and reading what was said.

The append is the hot path of the whole server, so it speaks SQL through the cursor: building
the same queries with Peewee costs many times as much as running them.
"""

from collections.abc import Sequence

import msgspec
import peewee as pw

from tornado_chat.errors import ChatError, Conflict
from tornado_chat.storage import models
from tornado_chat.types import ConversationState, Kind, Message, Person, SessionState, Stored, Thread

OPEN_ROOM = (SessionState.READY, SessionState.ACTIVE)


class Append(msgspec.Struct, frozen=True, gc=False):
    """A message to be stored.

    A ``client_id`` that the sender has used in this thread before makes it a resend, which is
    not stored again. With ``same_text_only`` that holds only if the text is the same too: the
    support seed asks for an id in every frame without saying that it must be unique, and a
    message of a client that counts anew after a reload must not be taken for an old one.
    """

    thread: Thread
    sender: Person
    text: str
    client_id: str | None = None
    media: str = "text"
    same_text_only: bool = False


Outcome = tuple[Stored, Message | None] | ChatError


class MessageLog:
    """The append, prepared for one database; used on the writer thread only."""

    def __init__(self, database: pw.Database) -> None:
        self._database = database
        p = database.param
        message = _name(models.Message)
        self._find = (
            f"SELECT seq, time, text FROM {message} "  # noqa: S608 - names of our own tables
            f"WHERE kind = {p} AND thread_id = {p} AND sender = {p} AND client_id = {p}"
        )
        self._insert = (
            f"INSERT INTO {message} (kind, thread_id, seq, sender, client_id, media, text, time) "  # noqa: S608
            f"VALUES ({', '.join([p] * 8)})"
        )
        # The condition is the last word on whether the thread still takes messages, whoever
        # ended it and in whichever process; the row's lock orders the writers.
        self._take = {
            kind: f"UPDATE {_name(table)} SET last_seq = last_seq + {p} WHERE id = {p} AND {condition}"  # noqa: S608
            for kind, (table, condition) in _THREADS.items()
        }
        self._taken = {
            kind: f"SELECT last_seq FROM {_name(table)} WHERE id = {p}"  # noqa: S608
            for kind, (table, _) in _THREADS.items()
        }

    def append(self, appends: Sequence[Append], now: int) -> list[Outcome]:
        """Store the messages in order, inside the caller's transaction.

        Each outcome is what the sender learns and the message if it is new, or the error: the
        thread has ended. ``now`` is the time they all get.
        """
        cursor = self._database.cursor()  # type: ignore[no-untyped-call]  # absent from the stubs
        outcomes: list[Outcome | None] = [None] * len(appends)
        new: dict[Thread, list[int]] = {}
        resends: list[tuple[int, int]] = []
        first: dict[tuple[Thread, Person, str], int] = {}
        client_ids: list[str | None] = []
        for index, append in enumerate(appends):
            client_id = append.client_id
            if client_id is not None:
                key = (append.thread, append.sender, client_id)
                if key in first:
                    if not append.same_text_only or appends[first[key]].text == append.text:
                        resends.append((index, first[key]))
                        client_ids.append(None)
                        continue
                    client_id = None
                else:
                    cursor.execute(self._find, (*append.thread, append.sender.key, client_id))
                    row = cursor.fetchone()
                    if row is None:
                        first[key] = index
                    elif append.same_text_only and row[2] != append.text:
                        client_id = None
                    else:
                        outcomes[index] = (Stored(row[0], row[1], duplicate=True), None)
                        client_ids.append(None)
                        continue
            client_ids.append(client_id)
            new.setdefault(append.thread, []).append(index)

        rows = []
        for thread, indexes in new.items():
            cursor.execute(self._take[thread.kind], (len(indexes), thread.id))
            if cursor.rowcount == 0:
                for index in indexes:
                    outcomes[index] = Conflict("session_finished")
                continue
            cursor.execute(self._taken[thread.kind], (thread.id,))
            last: int = cursor.fetchone()[0]
            for seq, index in enumerate(indexes, last - len(indexes) + 1):
                append = appends[index]
                client_id = client_ids[index]
                rows.append((*thread, seq, append.sender.key, client_id, append.media, append.text, now))
                outcomes[index] = (
                    Stored(seq, now),
                    Message(thread, seq, append.sender, append.text, now, append.media, client_id),
                )
        if rows:
            cursor.executemany(self._insert, rows)
        for index, original in resends:
            outcome = outcomes[original]
            if isinstance(outcome, tuple):
                stored = outcome[0]
                outcome = (Stored(stored.seq, stored.time, duplicate=True), None)
            outcomes[index] = outcome
        return [outcome for outcome in outcomes if outcome is not None]


def after(database: pw.Database, thread: Thread, seq: int, limit: int) -> list[Message]:
    """The messages of ``thread`` that follow ``seq``, oldest first."""
    query = _of(thread).where(models.Message.seq > seq).order_by(models.Message.seq).limit(limit)
    return [_message(thread, row) for row in query.tuples().execute(database)]


def before(database: pw.Database, thread: Thread, seq: int | None, limit: int) -> list[Message]:
    """The last messages before ``seq`` (None: the newest), oldest first."""
    query = _of(thread).order_by(models.Message.seq.desc()).limit(limit)
    if seq is not None:
        query = query.where(models.Message.seq < seq)
    return [_message(thread, row) for row in query.tuples().execute(database)][::-1]


def last_before(database: pw.Database, thread: Thread, time: int) -> int:
    """The ``seq`` of the last message that was stored before ``time``; 0 if there is none."""
    m = models.Message
    query = m.select(m.seq).where(
        (m.kind == thread.kind.value) & (m.thread_id == thread.id) & (m.time < time)
    )
    seq: int | None = query.order_by(m.seq.desc()).scalar(database)
    return seq or 0


def _of(thread: Thread) -> "pw.ModelSelect[models.Message]":
    m = models.Message
    return m.select(m.seq, m.sender, m.text, m.time, m.media, m.client_id).where(
        (m.kind == thread.kind.value) & (m.thread_id == thread.id)
    )


def _message(thread: Thread, row: tuple[int, str, str, int, str, str | None]) -> Message:
    seq, sender, text, time, media, client_id = row
    return Message(thread, seq, Person.from_key(sender), text, time, media, client_id)


def _name(table: type[pw.Model]) -> str:
    return str(table._meta.table_name)


def _states(*states: str) -> str:
    return ", ".join(f"'{state}'" for state in states)


# Per kind: the table that holds the thread's last_seq, and when the thread takes messages. A
# returned user has had a waiter: what it says while it waits for the next one is kept for that one.
_THREADS: dict[Kind, tuple[type[pw.Model], str]] = {
    Kind.SESSION: (models.ConsultationSession, f"state IN ({_states(*OPEN_ROOM)})"),
    Kind.RECORD: (models.SupervisorConsultation, f"state IN ({_states(*OPEN_ROOM)})"),
    Kind.SUPPORT: (
        models.SupportConversation,
        f"(state = '{ConversationState.ACTIVE}' OR (state = '{ConversationState.WAITING}' AND returned = 1))",
    ),
}
