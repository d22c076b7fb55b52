"""Raw SQL statements, for the queries of every new socket and other frequent ones.

Building such a query with Peewee takes many times as long as the database needs to execute it.
"""

import contextlib
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


def fetch_page(
    database: pw.Database, sql: str, *values: Any, limit: int, max_bytes: int, text_column: int
) -> tuple[list[tuple[Any, ...]], bool]:
    """Return the first rows that ``sql`` selects, and whether there are more.

    The page ends with the row that makes its texts as large as ``max_bytes``, so it has at least one row.

    :arg sql: as in ``fetch_rows``, without a LIMIT.
    :arg limit: the maximum number of rows.
    :arg text_column: the index of the column whose size in UTF-8 counts.
    """
    mark = database.param
    sql = f"{sql} LIMIT ?"
    if mark != "?":
        sql = sql.replace("?", mark)
    rows: list[tuple[Any, ...]] = []
    size = 0
    executed: Any = database.execute_sql(sql, (*values, limit + 1))  # type: ignore[no-untyped-call]
    with contextlib.closing(executed) as cursor:
        for row in cursor:
            if size >= max_bytes or len(rows) == limit:
                return rows, True
            rows.append(row)
            text = row[text_column]
            size += len(text) if text.isascii() else len(text.encode())
    return rows, False


def execute_statement(database: pw.Database, sql: str, *values: Any) -> int:
    """Execute a statement that changes data, see ``fetch_rows``. Returns the id of an inserted row."""
    if database.param != "?":
        sql = sql.replace("?", database.param)
    number: int = database.execute_sql(sql, values).lastrowid  # type: ignore[no-untyped-call]
    return number
