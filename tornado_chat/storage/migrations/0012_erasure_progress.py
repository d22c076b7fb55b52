"""Add the progress of erasures that are not completed. Frozen."""

from typing import Any

import peewee as pw


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class ErasureProgress(Table):
    person = pw.CharField(80, primary_key=True)
    counts = pw.TextField()


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([ErasureProgress]):
        db.create_tables([ErasureProgress], safe=False)
