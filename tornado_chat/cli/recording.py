"""The record of commands that change accounts, access or the database, or that give access."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from tornado_chat import config as configuration
from tornado_chat.cli.options import database_session, load_plugins, missing_database_text, plugin_faults
from tornado_chat.cli.person_data import open_keepers
from tornado_chat.core.types import Person

if TYPE_CHECKING:
    import peewee

    from tornado_chat.storage.writer import Transaction

T = TypeVar("T")


def run_recorded(
    config: configuration.Config,
    database: "peewee.Database",
    action: str,
    person: Person | None,
    work: "Callable[[Transaction], T]",
) -> T:
    """Run ``work`` in one transaction with the record of the operation. Returns its result.

    :arg action: as in ``Operation.action``.
    :raises ClickException: a plugin cannot record the operation; nothing is changed then.
    """
    from tornado_chat.data_management.operation_log import OperationRecorder

    keepers = open_keepers(config, database)
    try:
        return OperationRecorder(database, keepers, action, person).run(work)
    except ValueError as error:
        raise click.ClickException(
            f"nothing was done: the command {action} cannot be recorded: {error}"
        ) from error


def record_if_possible(
    config: configuration.Config, action: str, person: Person | None = None, *, required: bool
) -> None:
    """Record a command that does not change the database, or has replaced it.

    A database that does not exist yet has nothing to record. A database that cannot be used gets a warning,
    unless a plugin has to record the command.

    :arg required: True if a plugin that cannot record the command prevents it. Otherwise there is a warning,
        and the row of the operation alone, by which `audit verify` finds the command later.
    :raises ClickException: a plugin cannot record the required command.
    """
    from tornado_chat.data_management.operation_log import OperationRecorder
    from tornado_chat.plugins.data_keepers import DataKeepers
    from tornado_chat.plugins.registration import collect_keepers
    from tornado_chat.storage.exclusive_lock import raise_lock_timeout

    if missing_database_text(config):
        return
    refusal: click.ClickException | None = None
    try:
        with database_session(config) as (database, schema):
            raise_lock_timeout(database)
            if not all(applied for _, applied in schema.migration_status(database)):
                raise click.ClickException("the database has another schema")
            try:
                run_recorded(config, database, action, person, lambda tx: None)
            except click.ClickException as error:
                refusal = error
                if not required:
                    OperationRecorder(database, DataKeepers(), action, person).record_state("done")
    except click.ClickException as error:
        refusal = None
        with plugin_faults():
            keepers = collect_keepers(load_plugins(config), config.state_dir) if required else DataKeepers()
        recording = keepers.recording
        if recording:
            raise click.ClickException(
                f"nothing was done: the command {action} cannot be recorded by the plugin "
                f"{', '.join(recording)}: {error.message}"
            ) from error
        _warn(action, error)
    if refusal is not None:
        if required:
            raise refusal
        _warn(action, refusal)


def _warn(action: str, error: click.ClickException) -> None:
    click.echo(f"warning: the command {action} is not recorded: {error.message}", err=True)
