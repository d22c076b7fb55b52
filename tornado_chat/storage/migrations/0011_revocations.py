"""Add the revocations of tokens. Frozen."""

from typing import Any

import peewee as pw


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class Revocation(Table):
    id = pw.BigAutoField()
    person = pw.CharField(80, unique=True)
    since = pw.BigIntegerField()
    until = pw.BigIntegerField()
    all_tokens = pw.BooleanField(default=False)
    made_by = pw.CharField(80)


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([Revocation]):
        db.create_tables([Revocation], safe=False)
