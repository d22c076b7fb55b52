"""Last sequence numbers of threads."""

from collections.abc import Sequence
from typing import Any

import peewee as pw

from tornado_chat.core.types import Kind, Thread
from tornado_chat.storage import models

_TABLES: dict[Kind, Any] = {
    Kind.SESSION: models.ConsultationSession,
    Kind.RECORD: models.SupervisorConsultation,
    Kind.SUPPORT: models.SupportConversation,
    Kind.INBOX: models.Inbox,
}


def last_sequence_numbers(database: pw.Database, threads: Sequence[Thread]) -> list[tuple[Thread, int]]:
    """Return each existing thread of ``threads`` with its last ``seq``."""
    found: list[tuple[Thread, int]] = []
    for kind, table in _TABLES.items():
        ids = [thread.id for thread in threads if thread.kind is kind]
        if ids:
            query = table.select(table.id, table.last_seq).where(table.id.in_(ids)).tuples()
            found += [(Thread(kind, id), seq) for id, seq in query.execute(database)]
    return found
