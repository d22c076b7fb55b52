"""Add the sequences of the server's own session and record numbers. Frozen.

Until now the next number was the highest plus one, also if a host had chosen that one. Numbers from
``FIRST_CHOSEN_NUMBER`` on count as chosen by a host, or by an attacker: no server has counted so far. So a
sequence begins behind the highest number below that, and a database whose highest number was pushed to the
end of the range gets small numbers again.
"""

from typing import Any

import peewee as pw

FIRST_CHOSEN_NUMBER = 10**12


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class NumberSequence(Table):
    name = pw.CharField(32, primary_key=True)
    last_number = pw.BigIntegerField()


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx([NumberSequence]):
        db.create_tables([NumberSequence], safe=False)
    for table in ("consultation_session", "supervisor_consultation"):
        # An empty table gets no row, so that the rows of another database can be copied here.
        db.execute_sql(  # type: ignore[no-untyped-call]
            f"INSERT INTO number_sequence (name, last_number) SELECT '{table}', own.number FROM "  # noqa: S608 - no input
            f"(SELECT MAX(id) AS number FROM {table} WHERE id < {FIRST_CHOSEN_NUMBER}) AS own "
            "WHERE own.number IS NOT NULL"
        )
