"""Raw SQL statements, for the queries of every new socket and other frequent ones.

Building such a query with Peewee takes many times as long as the database needs to execute it.
"""

from typing import Any

import peewee as pw


def fetch_rows(database: pw.Database, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return the rows that ``sql`` selects.

    :arg sql: has a ``?`` for each value; it is replaced by the driver's own parameter mark.
    :raises PeeweeException: on the same conditions as Peewee's own queries.
    """
    if database.param != "?":
        sql = sql.replace("?", database.param)
    rows: list[tuple[Any, ...]] = database.execute_sql(sql, values).fetchall()  # type: ignore[no-untyped-call]
    return rows


def execute_statement(database: pw.Database, sql: str, *values: Any) -> int:
    """Execute a statement that changes data, see ``fetch_rows``. Returns the id of an inserted row."""
    if database.param != "?":
        sql = sql.replace("?", database.param)
    number: int = database.execute_sql(sql, values).lastrowid  # type: ignore[no-untyped-call]
    return number
