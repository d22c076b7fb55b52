"""Which migrations a database has, and applying the missing ones."""

from collections.abc import Callable, Sequence
from pathlib import Path

import peewee as pw
from playhouse.migrations import Runner

MIGRATIONS = Path(__file__).parent / "migrations"
HISTORY = "schema_migration"
"""The table with the names of the applied ones."""


def status(database: pw.Database) -> list[tuple[str, bool]]:
    """The name of each migration of this version, oldest first, and whether the database has it."""
    return [(m.name, m.applied is not None) for m in _runner(database).status() if m.path is not None]


def unknown(database: pw.Database) -> list[str]:
    """The migrations that the database has and this version lacks: a newer version made them."""
    return [m.name for m in _runner(database).status() if m.path is None]


def upgrade(database: pw.Database, applied: Callable[[str], object] = lambda name: None) -> list[str]:
    """Apply what is missing, each in a transaction of its own. Returns the applied names.

    :arg applied: called with each name, when it is applied.
    """
    runner = _runner(database)
    missing = [name for name, is_there in status(database) if not is_there]
    for name in missing:
        runner.up(target=name)
        applied(name)
    return missing


def create_missing(database: pw.Database, models: Sequence[type[pw.Model]]) -> None:
    """The tables of plugins, where there are none yet."""
    with database.bind_ctx(models):
        database.create_tables(models, safe=True)


def _runner(database: pw.Database) -> Runner:
    return Runner(database, str(MIGRATIONS), HISTORY)
