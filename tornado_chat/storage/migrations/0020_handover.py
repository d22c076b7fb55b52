"""Add hand-overs, the changes of a session's agent, and what a former agent has seen last. Frozen."""

from typing import Any

import peewee as pw
from playhouse.migrate import migrate


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class Handover(Table):
    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    number = pw.BigIntegerField()
    source = pw.CharField(80)
    offered_by = pw.CharField(80)
    targets = pw.TextField()
    group_name = pw.CharField(32, null=True)
    note = pw.TextField(null=True)
    state = pw.CharField(12)
    place = pw.IntegerField()
    target = pw.CharField(80, null=True)
    deadline = pw.BigIntegerField(null=True)
    timeout = pw.BigIntegerField()
    created = pw.BigIntegerField()
    settled = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("kind", "number"), False), (("state",), False), (("target",), False))


def up(migrator: Any, db: pw.Database) -> None:
    migrate(
        migrator.add_column("consultation_session", "agent_changes", pw.IntegerField(null=True)),
        migrator.add_column("participant", "left_seq", pw.BigIntegerField(null=True)),
    )
    with db.bind_ctx([Handover]):
        db.create_tables([Handover], safe=False)
