"""Add the plugins' cursors, and columns of support conversations for queue policies. Frozen."""

from typing import Any

import peewee as pw
from playhouse.migrate import migrate

PERSON = 80


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class PluginCursor(Table):
    plugin = pw.CharField(64)
    stream = pw.CharField(16)
    position = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("plugin", "stream")


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([PluginCursor]):
        db.create_tables([PluginCursor], safe=False)
    table = "support_conversation"
    migrate(
        migrator.add_column(table, "claims", pw.TextField(null=True)),
        migrator.add_column(table, "last_waiter", pw.CharField(PERSON, null=True)),
        migrator.add_column(table, "reason", pw.TextField(null=True)),
    )
