"""On SQLite, restrict the index that finds resends to messages with a client id. Frozen."""

from typing import Any

import peewee as pw

NAME = "message_kind_thread_id_sender_client_id"
COLUMNS = '"kind", "thread_id", "sender", "client_id"'


def up(migrator: Any, db: pw.Database) -> None:
    if not isinstance(db, pw.SqliteDatabase):
        return  # MySQL has no partial indexes
    execute: Any = db.execute_sql
    execute(f'DROP INDEX "{NAME}"')
    execute(f'CREATE UNIQUE INDEX "{NAME}" ON "message" ({COLUMNS}) WHERE client_id IS NOT NULL')
