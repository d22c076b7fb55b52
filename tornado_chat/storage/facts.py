"""What is in a database: how many rows, of what time, and how large it is on the disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import peewee as pw

from tornado_chat.storage import models, retention, schema


class SqliteFileInfo(msgspec.Struct, frozen=True):
    """A SQLite file; all sizes in bytes. ``free`` is inside it, for new rows."""

    size: int
    log: int
    free: int
    journal_mode: str


class DatabaseInfo(msgspec.Struct, frozen=True):
    """``first`` and ``last`` are the times of messages, in microseconds since 1970.

    ``rows`` are those of the server's tables, ``other_rows`` those of all others: plugins'.
    """

    kind: str
    migrations: list[str]
    missing: list[str]
    unknown: list[str]
    rows: Mapping[str, int]
    other_rows: Mapping[str, int]
    first: int | None
    last: int | None
    file: SqliteFileInfo | None


def describe(database: pw.Database) -> DatabaseInfo:
    """:raises peewee.PeeweeException: it cannot be read."""
    found = schema.status(database)
    there = set(database.get_tables())
    ours = {model._meta.table_name: model for model in models.TABLES if model._meta.table_name in there}
    others = sorted(there.difference(ours, (schema.HISTORY_TABLE,)))
    first, last = None, None
    message = models.Message
    if message._meta.table_name in ours:
        # Ids ascend with time: the ends of the table are quicker to find than the least and the greatest time.
        real = message.select(message.time).where(message.kind > 0)
        first = real.order_by(message.id).limit(1).scalar(database)
        last = real.order_by(message.id.desc()).limit(1).scalar(database)
    return DatabaseInfo(
        kind=_kind(database),
        migrations=[name for name, applied in found if applied],
        missing=[name for name, applied in found if not applied],
        unknown=schema.unknown(database),
        rows={name: retention.count_rows(database, model) for name, model in ours.items()},
        other_rows={name: _count(database, name) for name in others},
        first=first,
        last=last,
        file=_file(database) if isinstance(database, pw.SqliteDatabase) else None,
    )


def _count(database: pw.Database, table: str) -> int:
    rows: int = pw.Table(table).select(pw.fn.COUNT(pw.SQL("*"))).scalar(database)
    return rows


def _kind(database: pw.Database) -> str:
    if isinstance(database, pw.SqliteDatabase):
        return f"SQLite {'.'.join(map(str, database.server_version))}"
    return str(_first(database, "SELECT VERSION()")[0])


def _file(database: pw.SqliteDatabase) -> SqliteFileInfo:
    # Of the database itself: the name it was opened by may be an address.
    path = Path(_first(database, "PRAGMA database_list")[2])
    log = path.with_name(path.name + "-wal")
    free, page = (int(_first(database, f"PRAGMA {name}")[0]) for name in ("freelist_count", "page_size"))
    return SqliteFileInfo(
        size=path.stat().st_size,
        log=log.stat().st_size if log.exists() else 0,
        free=free * page,
        journal_mode=str(_first(database, "PRAGMA journal_mode")[0]),
    )


def _first(database: pw.Database, sql: str) -> Sequence[Any]:
    row: Sequence[Any] = database.execute_sql(sql).fetchone()  # type: ignore[no-untyped-call]
    return row
