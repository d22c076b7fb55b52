"""Add the group of support conversations, and the groups that accounts serve. Frozen."""

from typing import Any

import peewee as pw
from playhouse.migrate import migrate


def up(migrator: Any, db: pw.Database) -> None:
    migrate(
        migrator.add_column("support_conversation", "group_name", pw.CharField(32, null=True)),
        migrator.add_column("staff_account", "group_names", pw.TextField(null=True)),
    )
