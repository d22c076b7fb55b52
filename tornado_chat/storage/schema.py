"""Which migrations a database has, and applying the missing ones."""

from pathlib import Path

import peewee as pw
from playhouse.migrations import Runner

MIGRATIONS = Path(__file__).parent / "migrations"


def status(database: pw.Database) -> list[tuple[str, bool]]:
    """Each migration's name, oldest first, and whether the database has it.

    A name that the database has but this version lacks is listed too: the schema is newer.
    """
    return [(m.name, m.applied is not None) for m in _runner(database).status()]


def pending(database: pw.Database) -> list[str]:
    """The names of the migrations that the database lacks."""
    return [name for name, applied in status(database) if not applied]


def upgrade(database: pw.Database) -> list[str]:
    """Apply what is missing, each in a transaction of its own. Returns the applied names."""
    return list(_runner(database).up())


def _runner(database: pw.Database) -> Runner:
    return Runner(database, str(MIGRATIONS))
