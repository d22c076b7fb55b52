"""Add the record of operations on personal data. Frozen."""

from typing import Any

import peewee as pw

PERSON = 80


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class DataOperation(Table):
    id = pw.BigAutoField()
    time = pw.BigIntegerField()
    operator = pw.CharField(PERSON)
    action = pw.CharField(12)
    state = pw.CharField(12)
    person = pw.CharField(PERSON, null=True)
    counts = pw.TextField(null=True)

    class Meta:
        indexes = ((("person",), False),)


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([DataOperation]):
        db.create_tables([DataOperation], safe=False)
