"""Add when the visitor of a session came, until when the absent are awaited, and why a room ended. Frozen."""

from typing import Any

import peewee as pw
from playhouse.migrate import migrate


def up(migrator: Any, db: pw.Database) -> None:
    for table in ("consultation_session", "supervisor_consultation"):
        migrate(
            migrator.add_column(table, "end_reason", pw.CharField(12, null=True)),
            migrator.add_column(table, "awaited_until", pw.BigIntegerField(null=True)),
        )
    migrate(migrator.add_column("consultation_session", "arrived", pw.BigIntegerField(null=True)))
