"""Opening the database for a server or a command; each fault becomes a sentence that says what to do."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import peewee as pw

from tornado_chat import config
from tornado_chat.storage import mysql_checks, schema
from tornado_chat.storage.database import SqliteFile, open_database
from tornado_chat.storage.mysql import ErrorKind, MysqlDatabase, classify_error
from tornado_chat.storage.transactions import retry_pauses

log = logging.getLogger(__name__)


class DatabaseOpenError(Exception):
    """The database cannot be used. The argument is a sentence with the reason."""


def open_and_check(storage: config.Storage, state_dir: Path, frame_bytes: int) -> pw.Database:
    """Open the database and check that it has this version's schema and a suitable server.

    An empty database, and the default SQLite database in ``state_dir``, are migrated automatically. Any
    other database has to be migrated by the operator, who may want a backup first.

    :arg frame_bytes: size of the largest message.
    :raises DatabaseOpenError: the database cannot be used.
    """
    database = None
    try:
        database = open_database(storage, state_dir=state_dir)
        _wait_for_server(database, storage.patience)
        faults, warnings = check_server(database, storage, frame_bytes)
        if faults:
            raise DatabaseOpenError(f"the database {storage.url} cannot be used: {'; '.join(faults)}")
        for warning in warnings:
            log.warning(warning)
        with schema.exclusive_schema_access(database):
            _bring_up_to_date(database, storage.url, own=_default_url(state_dir) == storage.url)
        database.close()
        if isinstance(database, SqliteFile):
            database.may_create = False
    except (pw.PeeweeException, OSError) as error:
        raise DatabaseOpenError(
            f"cannot open the database {storage.url}: {explain_error(database, error)}"
        ) from error
    return database


def _default_url(state_dir: Path) -> str:
    return config.Config().with_state_dir(state_dir).storage.url


def _bring_up_to_date(database: pw.Database, url: str, *, own: bool) -> None:
    tables = database.get_tables()
    missing = [name for name, applied in schema.migration_status(database) if not applied]
    unknown = schema.unknown_migrations(database)
    if unknown:
        raise DatabaseOpenError(
            f"the database {url} comes from a newer version (it has {', '.join(unknown)}): "
            "install that version, or restore a backup"
        )
    if missing and (not tables or own):
        schema.upgrade(database)
    elif missing:
        raise DatabaseOpenError(
            f"the database {url} lacks {', '.join(missing)}: make a backup, then run "
            "`tornado-chat db upgrade` with the same configuration"
        )


def create_missing_tables(database: pw.Database, models: Sequence[type[pw.Model]], url: str) -> None:
    """Create the missing tables of plugins. :raises DatabaseOpenError: they cannot be created."""
    try:
        schema.create_missing_tables(database, models)
        database.close()
    except pw.PeeweeException as error:
        raise DatabaseOpenError(
            f"cannot create the tables of plugins in {url}: {explain_error(database, error)}"
        ) from error


def explain_error(database: pw.Database | None, error: Exception) -> str:
    """Return a sentence that says what a database error means and what to do."""
    return mysql_checks.explain(database, error) if isinstance(database, MysqlDatabase) else str(error)


def check_server(
    database: pw.Database, storage: config.Storage, frame_bytes: int
) -> tuple[list[str], list[str]]:
    """Return the faults that forbid to use the database's server, and warnings for the operator.

    :raises PeeweeException: the database cannot be opened.
    """
    if not isinstance(database, MysqlDatabase):
        return [], []
    faults = mysql_checks.find_faults(database, frame_bytes)
    return faults, [] if faults else mysql_checks.find_warnings(database, storage.durability)


def _wait_for_server(database: pw.Database, timeout_seconds: float) -> None:
    """Wait until a MySQL server accepts connections: if machines start together, it may be the last one.

    :raises PeeweeException: the server does not answer within ``timeout_seconds``.
    """
    if isinstance(database, MysqlDatabase):
        until = time.monotonic() + timeout_seconds
        for pause in retry_pauses():
            try:
                database.connect(reuse_if_open=True)
                return
            except pw.PeeweeException as error:
                if classify_error(error) is not ErrorKind.LOST or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
