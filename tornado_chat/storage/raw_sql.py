"""Statements in words of our own, for what every socket asks and what is done often.

Building one of these queries with Peewee costs many times as much as the database takes for it.
"""

from typing import Any

import peewee as pw


def fetch_rows(database: pw.Database, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows that ``sql`` finds.

    :arg sql: has a ``?`` for each value, whatever the driver writes.
    :raises PeeweeException: as Peewee's own queries.
    """
    if database.param != "?":
        sql = sql.replace("?", database.param)
    rows: list[tuple[Any, ...]] = database.execute_sql(sql, values).fetchall()  # type: ignore[no-untyped-call]
    return rows


def execute_statement(database: pw.Database, sql: str, *values: Any) -> int:
    """Change what ``sql`` says, as ``fetch_rows``. Returns the id of a row that was inserted."""
    if database.param != "?":
        sql = sql.replace("?", database.param)
    number: int = database.execute_sql(sql, values).lastrowid  # type: ignore[no-untyped-call]
    return number
