"""Opening the database for a server or a command: what is wrong with it becomes a sentence that says what to do."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import peewee as pw

from tornado_chat import config
from tornado_chat.storage import mysql_checks, schema
from tornado_chat.storage.database import open_database
from tornado_chat.storage.mysql import MysqlDatabase, Trouble, trouble_of
from tornado_chat.storage.transactions import pauses

log = logging.getLogger(__name__)


class CannotOpen(Exception):
    """Why the database cannot be used, in a sentence."""


def open_checked(storage: config.Storage, state_dir: Path, frame_bytes: int) -> pw.Database:
    """The database with the schema of this version, on a server that can hold it.

    One that is empty, or the embedded default in ``state_dir``, is brought up to date by itself. Any
    other waits for the operator, who may want a backup first.

    :arg frame_bytes: of the largest message.
    :raises CannotOpen: it cannot be used.
    """
    database = None
    try:
        database = open_database(storage)
        _wait_until_there(database, storage.patience)
        faults, warnings = examine(database, storage, frame_bytes)
        if faults:
            raise CannotOpen(f"the database {storage.url} cannot be used: {'; '.join(faults)}")
        for warning in warnings:
            log.warning(warning)
        with schema.alone(database):
            _bring_up_to_date(database, storage.url, own=_default(state_dir) == storage.url)
        database.close()
    except (pw.PeeweeException, OSError) as error:
        raise CannotOpen(f"cannot open the database {storage.url}: {why(database, error)}") from error
    return database


def _default(state_dir: Path) -> str:
    return config.Config().kept_in(state_dir).storage.url


def _bring_up_to_date(database: pw.Database, url: str, *, own: bool) -> None:
    tables = database.get_tables()
    missing = [name for name, applied in schema.status(database) if not applied]
    unknown = schema.unknown(database)
    if unknown:
        raise CannotOpen(
            f"the database {url} comes from a newer version (it has {', '.join(unknown)}): "
            "install that version, or restore a backup"
        )
    if missing and (not tables or own):
        schema.upgrade(database)
    elif missing:
        raise CannotOpen(
            f"the database {url} lacks {', '.join(missing)}: make a backup, then run "
            "`tornado-chat db upgrade` with the same configuration"
        )


def create_missing(database: pw.Database, models: Sequence[type[pw.Model]], url: str) -> None:
    """The tables of plugins. :raises CannotOpen: they cannot be made."""
    try:
        schema.create_missing(database, models)
        database.close()
    except pw.PeeweeException as error:
        raise CannotOpen(f"the tables of plugins cannot be made in {url}: {why(database, error)}") from error


def why(database: pw.Database | None, error: Exception) -> str:
    """What an error in using the database means, in a sentence that says what to do."""
    return mysql_checks.explain(database, error) if isinstance(database, MysqlDatabase) else str(error)


def examine(database: pw.Database, storage: config.Storage, frame_bytes: int) -> tuple[list[str], list[str]]:
    """What forbids to use the database's server, and what the operator should know of it; both mostly empty.

    :raises PeeweeException: the database cannot be opened.
    """
    if not isinstance(database, MysqlDatabase):
        return [], []
    faults = mysql_checks.faults(database, frame_bytes)
    return faults, [] if faults else mysql_checks.warnings(database, storage.durability)


def _wait_until_there(database: pw.Database, patience: float) -> None:
    """When machines start together, the database server may be the last one.

    :raises PeeweeException: it does not answer within ``patience`` seconds.
    """
    if isinstance(database, MysqlDatabase):
        until = time.monotonic() + patience
        for pause in pauses():
            try:
                database.connect(reuse_if_open=True)
                return
            except pw.PeeweeException as error:
                if trouble_of(error) is not Trouble.LOST or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
