"""Add the columns by which several processes agree on a support conversation. Frozen."""

from typing import Any

import peewee as pw
from playhouse.migrate import migrate

PERSON = 80


def up(migrator: Any, db: pw.Database) -> None:
    table = "support_conversation"
    migrate(
        migrator.add_column(table, "changes", pw.IntegerField(null=True)),
        migrator.add_column(table, "open_user", pw.CharField(PERSON, null=True)),
    )
    # Until now one process ensured that a user has at most one open conversation; if there are two, the
    # newest counts.
    db.execute_sql(  # type: ignore[no-untyped-call]
        f"UPDATE {table} SET open_user = {table}.user WHERE id IN (SELECT id FROM "  # noqa: S608 - no input
        f"(SELECT MAX(id) AS id FROM {table} WHERE state <> 'ended' GROUP BY {table}.user) AS newest)"
    )
    migrate(migrator.add_index(table, ("open_user",), True))
