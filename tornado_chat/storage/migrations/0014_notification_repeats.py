"""Add the number of times that a notification was delivered again. Frozen.

Notifications that have been received until now keep NULL, and are not repeated: else every plain client would
get the last unread ones of the past at its next connect.
"""

from typing import Any

import peewee as pw
from playhouse.migrate import migrate

INBOX = 4  # the kind of the threads in the table receipt


def up(migrator: Any, db: pw.Database) -> None:
    migrate(migrator.add_column("notification", "repeats", pw.SmallIntegerField(null=True)))
    db.execute_sql(  # type: ignore[no-untyped-call]
        f"UPDATE notification SET repeats = 0 WHERE seq > COALESCE((SELECT MAX(r.seq) FROM receipt r "  # noqa: S608 - no input
        f"WHERE r.kind = {INBOX} AND r.thread_id = notification.inbox_id), 0)"
    )
