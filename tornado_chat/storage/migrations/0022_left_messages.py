"""Add the messages that users left who gave up before an agent had them. Frozen."""

from typing import Any

import peewee as pw


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class LeftMessage(Table):
    conversation = pw.BigIntegerField(primary_key=True)
    group_name = pw.CharField(32, null=True)
    time = pw.BigIntegerField()
    handled = pw.BigIntegerField(null=True)
    handled_by = pw.CharField(80, null=True)

    class Meta:
        indexes = ((("handled", "conversation"), False), (("handled_by",), False))


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([LeftMessage]):
        db.create_tables([LeftMessage], safe=False)
