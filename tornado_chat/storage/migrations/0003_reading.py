"""Add read marks. Frozen."""

from typing import Any

import peewee as pw

PERSON = 80


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class ReadMark(Table):
    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    reader = pw.CharField(PERSON)
    seq = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("kind", "thread_id", "reader")


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([ReadMark]):
        db.create_tables([ReadMark], safe=False)
