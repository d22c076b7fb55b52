"""Sample data for tests of retention, erasure and export: a session, a record, support, notifications."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import peewee as pw

from tests.storage.conftest import NOW, transact
from tornado_chat.core.types import Person, Role, SessionState, Thread
from tornado_chat.storage import conversations, notifications, read_marks, receipts, rooms
from tornado_chat.storage.messages import AppendRequest, MessageAppender
from tornado_chat.storage.writer import Transaction

T = TypeVar("T")

DAY = 86_400_000_000
LIN = Person(Role.USER, "1")
CHEN = Person(Role.CONSULTANT, "2")
WU = Person(Role.SUPERVISOR, "3")
BOB, EVE = Person(Role.WAITER, "5"), Person(Role.WAITER, "6")

SECRET = "what-lin-said"
"""A word that is in every text, name and claim of Lin, and of no other person."""


class SampleData(NamedTuple):
    """The threads of the sample data. All times are ``NOW``; the ends are one microsecond later."""

    session: Thread
    record: Thread
    support: Thread
    inbox: Thread


def post(database: pw.Database, thread: Thread, sender: Person, *texts: str, now: int = NOW) -> None:
    with database.atomic():
        appends = [AppendRequest(thread, sender, text, f"{sender.id}-{text}") for text in texts]
        MessageAppender(database).append(appends, now)


def build_sample(
    database: pw.Database, now: int = NOW, *, over: bool = True, waits: Person = LIN
) -> SampleData:
    """Store the sample data.

    :arg over: end all conversations.
    :arg waits: the user of the support conversation; a user has at most one unfinished conversation.
    """

    def run(work: Callable[[Transaction], T], later: int = 0) -> T:
        return transact(database, work, now + later)[0]

    session, _ = run(
        lambda tx: rooms.create_session(
            tx,
            user_id=LIN.id,
            consultant_id=CHEN.id,
            user_name=f"Lin {SECRET}",
            consultant_name="Chen",
            appointment_id=77,
        )
    )
    record, _ = run(
        lambda tx: rooms.create_record(tx, session.view, supervisor_id=WU.id, supervisor_name="Wu")
    )
    support = run(
        lambda tx: conversations.join(tx, waits, f"Lin {SECRET}", "uuid-1", {"skills": SECRET, "priority": 1})
    )
    support = run(lambda tx: conversations.assign(tx, support, BOB, "Bob", "uuid-2", "least loaded"))
    for room in (session, record):
        run(lambda tx, room=room: rooms.start(tx, room.thread))  # type: ignore[misc]
    post(database, session.thread, LIN, f"{SECRET} one", f"{SECRET} two", now=now)
    post(database, session.thread, CHEN, "I hear you", now=now)
    post(database, record.thread, CHEN, "about this session", now=now)
    post(database, record.thread, WU, "go on", now=now)
    post(database, support.thread, waits, f"{SECRET} three", now=now)
    post(database, support.thread, BOB, "with pleasure", now=now)
    support = run(
        lambda tx: conversations.transfer(tx, support, EVE, "Eve", "uuid-3", f"handed over by {BOB.id}")
    )
    note = run(lambda tx: notifications.create(tx, LIN, 0, f"for Lin {SECRET}", None))
    run(lambda tx: notifications.create(tx, CHEN, 2, "new", {"sessionId": session.thread.id}))
    run(lambda tx: read_marks.set_read_mark(tx, session.thread, LIN, 3))
    run(
        lambda tx: receipts.advance_receipts(
            tx.database, [(session.thread, LIN, 3), (session.thread, WU, 2), (note.thread, LIN, 1)]
        )
    )
    run(lambda tx: rooms.rate(tx, session.thread.id, 4, f"feedback {SECRET}"))
    run(lambda tx: conversations.rate(tx, support.id, 5, f"feedback {SECRET}"))
    if over:
        for room in (session, record):
            run(lambda tx, room=room: rooms.finish(tx, room.thread, SessionState.COMPLETED), 1)  # type: ignore[misc]
        run(lambda tx: conversations.end(tx, support.id, waits), 1)
    return SampleData(session.thread, record.thread, support.thread, note.thread)


def texts(database: pw.Database, thread: Thread) -> list[tuple[int, str]]:
    """Return the texts of a thread with their ``seq``."""
    from tornado_chat.storage import messages

    return [(message.seq, message.text) for message in messages.after(database, thread, 0, 1000)]


def rows(database: pw.Database, table: str) -> int:
    count: int = database.execute_sql(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


def leave_message(database: pw.Database, person: Person, text: str) -> int:
    """Let a user write before its first waiter comes, and give up. Return the number of the conversation."""
    row = transact(database, lambda tx: conversations.join(tx, person, None, f"uuid of {person.id}"))[0]
    post(database, row.thread, person, text)
    transact(database, lambda tx: conversations.leave(tx, row.id, person))
    return row.id


def everything(database: pw.Database) -> str:
    """Return all values of all rows as one text."""
    values: list[Any] = []
    for table in database.get_tables():
        values += [str(value) for row in database.execute_sql(f"SELECT * FROM {table}") for value in row]
    return "\n".join(values)
