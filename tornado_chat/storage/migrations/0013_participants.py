"""Add the participants of conversations, and fill them from the conversations that exist. Frozen.

A conversation has stored its last waiter only. Earlier waiters are known by their messages: the first and the
last one are the best known times of their joining and leaving, and their names are those of their latest
conversations.
"""

from typing import Any

import peewee as pw

SESSION, RECORD, SUPPORT = 1, 2, 3
COLUMNS = "kind, number, person, part, name, joined, `left`"


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class Participant(Table):
    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    number = pw.BigIntegerField()
    person = pw.CharField(80)
    part = pw.CharField(12)
    name = pw.CharField(64, null=True)
    joined = pw.BigIntegerField()
    left = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("kind", "number"), False), (("person",), False))


# Rows that the retention has emptied are left out: they belong to no person.
FILLED_FROM = (
    f"SELECT {SESSION}, id, asker, 'client', asker_name, created, ended FROM consultation_session "  # noqa: S608 - no input
    "WHERE asker <> 'user:removed' ORDER BY id",
    f"SELECT {SESSION}, id, helper, 'agent', helper_name, created, ended FROM consultation_session "  # noqa: S608
    "WHERE asker <> 'user:removed' ORDER BY id",
    f"SELECT {RECORD}, id, asker, 'agent', asker_name, created, ended FROM supervisor_consultation "  # noqa: S608
    "WHERE helper <> 'supervisor:removed' ORDER BY id",
    f"SELECT {RECORD}, id, helper, 'supervisor', helper_name, created, ended FROM supervisor_consultation "  # noqa: S608
    "WHERE helper <> 'supervisor:removed' ORDER BY id",
    f"SELECT {SUPPORT}, id, user, 'client', user_name, created, ended FROM support_conversation "  # noqa: S608
    "WHERE user <> 'user:removed' ORDER BY id",
    f"SELECT {SUPPORT}, c.id, m.sender, 'agent', (SELECT n.waiter_name FROM support_conversation n "  # noqa: S608
    "WHERE n.waiter = m.sender AND n.waiter_name IS NOT NULL ORDER BY n.id DESC LIMIT 1), "
    "MIN(m.time), MAX(m.time) FROM message m JOIN support_conversation c ON c.id = m.thread_id "
    f"WHERE m.kind = {SUPPORT} AND SUBSTR(m.sender, 1, 7) = 'waiter:' "
    "AND (c.waiter IS NULL OR m.sender <> c.waiter) GROUP BY c.id, m.sender ORDER BY c.id, MIN(m.time)",
    f"SELECT {SUPPORT}, id, waiter, 'agent', waiter_name, COALESCE(assigned, created), ended "  # noqa: S608
    "FROM support_conversation WHERE waiter IS NOT NULL ORDER BY id",
)


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([Participant]):
        db.create_tables([Participant], safe=False)
    for select in FILLED_FROM:
        db.execute_sql(f"INSERT INTO participant ({COLUMNS}) {select}")  # type: ignore[no-untyped-call]
