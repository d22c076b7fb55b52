"""The state of a database's migrations, and applying the missing ones."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import peewee as pw
from playhouse.migrations import Runner

from tornado_chat.storage.migration_steps import MigrationSteps, migration_lock
from tornado_chat.storage.mysql import MysqlDatabase

MIGRATIONS = Path(__file__).parent / "migrations"
HISTORY_TABLE = "schema_migration"
"""The table with the applied migrations of a database."""


def migration_status(database: pw.Database) -> list[tuple[str, bool]]:
    """Return each migration of this version, oldest first, with True if the database has it."""
    return [(m.name, m.applied is not None) for m in _runner(database).status() if m.path is not None]


def unknown_migrations(database: pw.Database) -> list[str]:
    """Return the migrations that the database has and this version lacks: a newer version applied them."""
    return [m.name for m in _runner(database).status() if m.path is None]


def upgrade(database: pw.Database, on_applied: Callable[[str], object] = lambda name: None) -> list[str]:
    """Apply the missing migrations. Returns their names.

    On SQLite each migration has a transaction of its own. On MySQL a migration that was interrupted is
    resumed, and of several processes one migrates while the others wait.

    :arg on_applied: called with the name of each migration after it was applied.
    """
    runner = _runner(database)
    done = []
    with exclusive_schema_access(database):
        if isinstance(database, MysqlDatabase):
            runner.History.create_table()
        for name in [name for name, is_applied in migration_status(database) if not is_applied]:
            with MigrationSteps(database, name) if isinstance(database, MysqlDatabase) else nullcontext():
                runner.up(name)
            done.append(name)
            on_applied(name)
    return done


def apply(database: pw.Database, migrations: Sequence[str]) -> None:
    """Apply these migrations to an empty SQLite database, to compare others with it."""
    runner = _runner(database)
    for name in migrations:
        runner.up(name)


def create_missing_tables(database: pw.Database, models: Sequence[type[pw.Model]]) -> None:
    """Create those tables of plugins that do not exist yet."""
    with database.bind_ctx(models):
        if not isinstance(database, MysqlDatabase):
            with database.atomic():
                database.create_tables(models, safe=True)
            return
        with exclusive_schema_access(database):
            for model in pw.sort_models(models):  # type: ignore[attr-defined]  # absent from the stubs
                with MigrationSteps(database, f"table {model._meta.table_name}") as steps:
                    if steps.resumed or not model.table_exists():
                        model.create_table(safe=False)


@contextmanager
def exclusive_schema_access(database: pw.Database) -> Iterator[None]:
    """Exclude other processes from reading or changing the schema meanwhile; SQLite needs no such lock.

    :raises OperationalError: another process has the lock for too long.
    """
    if isinstance(database, MysqlDatabase):
        with migration_lock(database):
            yield
    else:
        yield


def _runner(database: pw.Database) -> Runner:
    return Runner(database, str(MIGRATIONS), table_name=HISTORY_TABLE)
