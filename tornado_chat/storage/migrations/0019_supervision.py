"""Add the group of sessions, and supervision records about support conversations. Frozen."""

from typing import Any

import peewee as pw
from playhouse.migrate import migrate

from tornado_chat.storage.mysql import MysqlDatabase


def up(migrator: Any, db: pw.Database) -> None:
    record = "supervisor_consultation"
    migrate(
        migrator.add_column("consultation_session", "group_name", pw.CharField(32, null=True)),
        migrator.add_column(record, "conversation_id", pw.BigIntegerField(null=True)),
    )
    if isinstance(db, MysqlDatabase):
        # By hand: the migrator would remove the foreign key first.
        db.execute_sql(f"ALTER TABLE {record} MODIFY session_id BIGINT NULL")
    else:
        migrate(migrator.drop_not_null(record, "session_id"))
    migrate(migrator.add_index(record, ("conversation_id",), False))
