"""Add the server's own accounts and their browser sessions. Frozen."""

from typing import Any

import peewee as pw

NAME = 64


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class StaffAccount(Table):
    id = pw.BigAutoField()
    name = pw.CharField(NAME, unique=True)
    display_name = pw.CharField(NAME, null=True)
    role = pw.CharField(12)
    person_id = pw.CharField(NAME)
    password = pw.CharField(255)
    disabled = pw.BooleanField(default=False)
    created = pw.BigIntegerField()
    signed_in = pw.BigIntegerField(null=True)
    removed = pw.BigIntegerField(null=True)


class StaffSession(Table):
    key = pw.CharField(64, primary_key=True)
    account = pw.ForeignKeyField(StaffAccount, backref="sessions")
    created = pw.BigIntegerField()
    used = pw.BigIntegerField()
    expires = pw.BigIntegerField()


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([StaffAccount, StaffSession]):
        db.create_tables([StaffAccount, StaffSession], safe=False)
