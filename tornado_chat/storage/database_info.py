"""Description of a database: numbers of rows, times of messages, migrations, and size on the disk."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import peewee as pw

from tornado_chat.storage import models, retention, schema


class SqliteFileInfo(msgspec.Struct, frozen=True):
    """A SQLite file; all sizes in bytes.

    :ivar size: the database file.
    :ivar log: the write-ahead log.
    :ivar free: unused space inside the database file.
    """

    size: int
    log: int
    free: int
    journal_mode: str


class DatabaseInfo(msgspec.Struct, frozen=True):
    """The description of a database.

    :ivar kind: name and version of the database system.
    :ivar migrations: names of the applied migrations.
    :ivar missing: names of migrations that this version has and the database lacks.
    :ivar unknown: names of migrations that a newer version applied.
    :ivar rows: numbers of rows of the server's tables.
    :ivar other_rows: numbers of rows of all other tables, which belong to plugins.
    :ivar first: time of the first message, in microseconds since 1970.
    :ivar last: time of the last message.
    :ivar file: None if the database is no SQLite file.
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
    """Describe a database. :raises peewee.PeeweeException: the database cannot be read."""
    migrations = schema.migration_status(database)
    tables = set(database.get_tables())
    ours = {model._meta.table_name: model for model in models.TABLES if model._meta.table_name in tables}
    others = sorted(tables.difference(ours, (schema.HISTORY_TABLE,)))
    first, last = None, None
    message = models.Message
    if message._meta.table_name in ours:
        # Ids ascend with time, and the ends of the table are found faster than the least and greatest time.
        real = message.select(message.time).where(message.kind > 0)
        first = real.order_by(message.id).limit(1).scalar(database)
        last = real.order_by(message.id.desc()).limit(1).scalar(database)
    return DatabaseInfo(
        kind=_kind(database),
        migrations=[name for name, applied in migrations if applied],
        missing=[name for name, applied in migrations if not applied],
        unknown=schema.unknown_migrations(database),
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
    # The path is read from the database, since the name by which it was opened may be a URI.
    # SQLite's text is UTF-8, and the encoding of file names may be another one (LANG=C).
    path = Path(os.fsdecode(_first(database, "PRAGMA database_list")[2].encode()))
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


def has_data(database: pw.Database, since: int | None = None) -> bool:
    """Return True if messages, sessions, support conversations or operations are stored.

    :arg since: only those from this time on, in microseconds since 1970; sessions count from their start.
    """
    session, support = models.ConsultationSession, models.SupportConversation
    times = (models.Message.time, session.started, support.created, models.DataOperation.time)
    return any(
        (time.model.select() if since is None else time.model.select().where(time >= since)).exists(database)
        for time in times
    )
