"""Find what is not of this server in the schema of a database file: triggers, views, and the like.

A trigger runs with every write of the server, and a view takes the place of a table, so a file that has one
is not the database that it claims to be. A plain table does nothing by itself, and plugins have tables whose
names only they know: those stay.
"""

from collections.abc import Iterator, Sequence

import peewee as pw

from tornado_chat.storage import schema

VIRTUAL_TABLE = "CREATE VIRTUAL"
"""The beginning of the statement of a table whose contents a module of SQLite produces."""


def find_foreign_objects(database: pw.SqliteDatabase) -> list[str]:
    """Return the triggers, views and virtual tables, and what was added to the server's own tables.

    Strategy: the migrations that the database has are applied to an empty one, and the names are compared:
    the statements of tables may differ between versions of the libraries.
    """
    applied = [name for name, is_applied in schema.migration_status(database) if is_applied]
    own = pw.SqliteDatabase(":memory:")
    try:
        schema.apply(own, applied)
        return list(_differences(database, own))
    finally:
        own.close()


def _differences(database: pw.Database, own: pw.Database) -> Iterator[str]:
    own_names = {name for _, name, _, _ in _objects(own)}
    own_tables = {name for kind, name, _, _ in _objects(own) if kind == "table"}
    for kind, name, table, sql in _objects(database):
        if kind in ("trigger", "view"):
            yield f'the {kind} "{name}"' + (f" on {table}" if kind == "trigger" else "")
        elif kind == "table" and sql is not None and sql.lstrip().upper().startswith(VIRTUAL_TABLE):
            yield f'the virtual table "{name}"'
        elif kind == "table" and name in own_tables:
            for column in _columns(database, name) - _columns(own, name):
                yield f'the column "{column}" of {name}'
        # An index without a statement belongs to a constraint of its table.
        elif kind == "index" and table in own_tables and name not in own_names and sql is not None:
            yield f'the index "{name}" of {table}'


def _objects(database: pw.Database) -> Sequence[tuple[str, str, str, str | None]]:
    """Return type, name, table and statement of each object of the schema."""
    rows: Sequence[tuple[str, str, str, str | None]] = database.execute_sql(  # type: ignore[no-untyped-call]
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    ).fetchall()
    return rows


def _columns(database: pw.Database, table: str) -> set[str]:
    """Return the names of a table's columns, generated ones included."""
    rows = database.execute_sql(f'PRAGMA table_xinfo("{table}")').fetchall()  # type: ignore[no-untyped-call]
    return {name for _, name, *_ in rows}
