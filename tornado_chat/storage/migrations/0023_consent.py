"""Add the consents that clients of conversations have given. Frozen."""

from typing import Any

import peewee as pw


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class Consent(Table):
    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    number = pw.BigIntegerField()
    person = pw.CharField(80)
    group_name = pw.CharField(32)
    version = pw.CharField(32)
    language = pw.CharField(8)
    accepted = pw.BigIntegerField()

    class Meta:
        indexes = (
            (("kind", "number", "person", "group_name", "version"), True),
            (("person",), False),
        )


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([Consent]):
        db.create_tables([Consent], safe=False)
