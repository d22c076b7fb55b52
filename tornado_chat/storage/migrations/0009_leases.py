"""Add leases, which give one of several processes an exclusive right. Frozen."""

from typing import Any

import peewee as pw


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class Lease(Table):
    name = pw.CharField(128, primary_key=True)
    holder = pw.CharField(32)
    until = pw.BigIntegerField()


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([Lease]):
        db.create_tables([Lease], safe=False)
