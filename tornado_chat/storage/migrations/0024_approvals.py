"""Add the messages that wait for an approval, and the mark of accounts whose messages do. Frozen."""

from typing import Any

import peewee as pw
from playhouse.migrate import migrate


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class HeldMessage(Table):
    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    number = pw.BigIntegerField()
    sender = pw.CharField(80)
    client_id = pw.CharField(64, null=True)
    media = pw.CharField(12)
    text = pw.TextField()
    group_name = pw.CharField(32)
    created = pw.BigIntegerField()
    deadline = pw.BigIntegerField(null=True)
    state = pw.CharField(12)
    decided_by = pw.CharField(80, null=True)
    decided = pw.BigIntegerField(null=True)
    final_text = pw.TextField(null=True)
    note = pw.TextField(null=True)
    seq = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("kind", "number"), False), (("state",), False), (("sender",), False))


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([HeldMessage]):
        db.create_tables([HeldMessage], safe=False)
    migrate(migrator.add_column("staff_account", "trainee", pw.BooleanField(null=True)))
