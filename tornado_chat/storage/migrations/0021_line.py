"""Add the score of a waiting user, and the confirmation of an assignment. Frozen."""

from typing import Any

import peewee as pw
from playhouse.migrate import migrate


def up(migrator: Any, db: pw.Database) -> None:
    migrate(
        migrator.add_column("support_conversation", "score", pw.IntegerField(null=True)),
        migrator.add_column("support_conversation", "score_reason", pw.TextField(null=True)),
        migrator.add_column("support_conversation", "accepted", pw.BigIntegerField(null=True)),
        migrator.add_column("support_conversation", "missed_by", pw.TextField(null=True)),
    )
