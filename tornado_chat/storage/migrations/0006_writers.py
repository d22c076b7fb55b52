"""Add the processes that write to one MySQL server. Frozen."""

from typing import Any

import peewee as pw


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class Writer(Table):
    name = pw.CharField(32, primary_key=True)
    number = pw.BigIntegerField()
    time = pw.BigIntegerField()


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([Writer]):
        db.create_tables([Writer], safe=False)
