"""Options and helpers that all commands share: the configuration, the plugins and the database."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from tornado_chat import config as configuration
from tornado_chat.config import loader
from tornado_chat.core.durations import parse_duration

if TYPE_CHECKING:
    import peewee

    from tornado_chat.plugins.discovery import LoadedPlugin

P = ParamSpec("P")


OTHER_USER_ADVICE = "run the command as root or as the user of the server"


class Misconfigured(click.ClickException):
    """The configuration has mistakes; each is printed on a line of its own."""

    exit_code = 2

    def __init__(self, problems: Sequence[object]) -> None:
        super().__init__("\n".join(map(str, problems)))

    def show(self, file: Any = None) -> None:
        click.echo(self.message, file=file, err=True)


@dataclass(frozen=True)
class ConfigArguments:
    """The options ``--config`` and ``--set`` of the command line."""

    files: Sequence[Path]
    overrides: Sequence[str]

    def read(self) -> configuration.Config:
        """Load the configuration. :raises ConfigError: it has mistakes."""
        return loader.load(self.files, self.overrides, os.environ)

    def load(self) -> configuration.Config:
        """Load the configuration for a command. :raises Misconfigured: it has mistakes."""
        try:
            return self.read()
        except configuration.ConfigError as error:
            raise Misconfigured(error.problems) from error

    def load_or_find_demo(self) -> configuration.Config:
        """Load the configuration for a command, or that of the running demo if none is given.

        A line on standard error names the demo.

        :raises Misconfigured: the configuration has mistakes.
        """
        config = self.load()
        if self.sources() or self.overrides:
            return config
        from tornado_chat.demo.server import DemoNotRunning, current_demo_dir, demo_config, find_demo

        directory = current_demo_dir(config.state_dir)
        try:
            state = find_demo(directory)
        except DemoNotRunning:
            return config
        click.echo(f"for the demo at {state.url}", err=True)
        return demo_config(config, directory, any_port=False)

    def sources(self) -> list[Path]:
        """Return the configuration files that are read."""
        return loader.config_files(self.files, os.environ)

    def sets(self, option: str) -> bool:
        """Return True if ``--set`` sets the option, such as ``server.port``."""
        return any(override.partition("=")[0].strip() == option for override in self.overrides)


def with_config(command: Callable[Concatenate[ConfigArguments, P], None]) -> Callable[..., None]:
    """Add the options ``--config`` and ``--set`` to a command, which gets them as ``ConfigArguments``."""

    @click.option(
        "--config",
        "files",
        metavar="FILE",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Read this ini file instead of those in /etc/tornado-chat. May be repeated.",
    )
    @click.option(
        "--set",
        "overrides",
        metavar="SECTION.OPTION=VALUE",
        multiple=True,
        help="Set one option, such as server.port=9000. May be repeated.",
    )
    @functools.wraps(command)
    def with_arguments(
        files: Sequence[Path], overrides: Sequence[str], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        command(ConfigArguments(files, overrides), *args, **kwargs)

    return with_arguments


def refuse_common_options(group: click.Group) -> click.Group:
    """Let a group of commands say where ``--config`` and ``--set`` belong: after the command."""
    group.params = [
        *group.params,
        *(
            click.Option([name], multiple=True, expose_value=False, hidden=True, callback=_refuse_option)
            for name in ("--config", "--set")
        ),
    ]
    return group


def _refuse_option(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> None:
    if values and isinstance(context.command, click.Group):
        [option], path = parameter.opts, context.command_path
        raise click.UsageError(f"{option} belongs after the command: {path} COMMAND {option} …")


def parse_duration_option(context: click.Context, parameter: click.Parameter, text: str) -> float:
    """Return the seconds of an option such as ``12h``, as its callback."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def load_plugins(config: configuration.Config) -> "list[LoadedPlugin]":
    """Return the enabled plugins, in order. :raises Misconfigured: they have mistakes."""
    from tornado_chat.plugins import discovery

    with plugin_faults():
        return discovery.load_plugins(config)


@contextmanager
def plugin_faults() -> Iterator[None]:
    """Convert the faults of plugins for a command. :raises Misconfigured: plugins have faults."""
    try:
        yield
    except configuration.ConfigError as error:
        raise Misconfigured(error.problems) from error


def missing_database_text(config: configuration.Config) -> str:
    """Return a sentence if the database does not exist yet, else an empty text; opening would create it.

    :raises ClickException: this user may not even see whether it exists.
    """
    from tornado_chat.config.mysql_url import is_mysql
    from tornado_chat.storage.database import SQLITE_SCHEME

    url = config.storage.url
    if is_mysql(url):
        return ""  # opening a missing MySQL database creates nothing, and fails with a sentence
    exists = is_accessible(Path(url.removeprefix(SQLITE_SCHEME)), os.R_OK)
    return "" if exists else f"{url} does not exist yet: the server creates it when it starts"


def is_accessible(path: Path, mode: int = os.R_OK | os.W_OK) -> bool:
    """Return True if a file exists and this user may use it, False if there is no such file.

    :arg mode: as of ``os.access``.
    :raises ClickException: this user may not use it, or not look into its folder.
    """
    try:
        path.stat()
        is_denied = not os.access(path, mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        is_denied = True
    if is_denied:
        raise click.ClickException(f"{path} cannot be used: permission denied; {OTHER_USER_ADVICE}")
    return True


@contextmanager
def database_session(config: configuration.Config) -> Iterator[tuple["peewee.Database", Any]]:
    """Open the configured database, and yield it with the ``schema`` module.

    :raises ClickException: a database error, as a sentence.
    """
    import peewee

    from tornado_chat.storage import schema
    from tornado_chat.storage.database import open_database
    from tornado_chat.storage.open import explain_error

    try:
        database = open_database(config.storage, state_dir=config.state_dir, without_timeout=True)
    except (OSError, peewee.ImproperlyConfigured) as error:
        # This error concerns the database's folder or driver. A later OSError is one of the command, for
        # example of a closed pipe.
        raise database_error(config, str(error)) from error
    try:
        yield database, schema
    except peewee.PeeweeException as error:
        raise database_error(config, explain_error(database, error)) from error
    finally:
        database.close()


@contextmanager
def current_database(
    config_arguments: ConfigArguments, *, or_demo: bool = False
) -> "Iterator[tuple[configuration.Config, peewee.Database]]":
    """Yield the configuration and the database.

    :arg or_demo: as ``ConfigArguments.load_or_find_demo``.
    :raises ClickException: the database is missing, or not up to date.
    """
    from tornado_chat.storage.exclusive_lock import raise_lock_timeout

    config = config_arguments.load_or_find_demo() if or_demo else config_arguments.load()
    missing = missing_database_text(config)
    if missing:
        raise click.ClickException(missing)
    with database_session(config) as (database, schema):
        raise_lock_timeout(database)
        if not all(applied for _, applied in schema.migration_status(database)):
            raise click.ClickException(
                f"the database {config.storage.url} has an older schema: make a backup, then run "
                "`tornado-chat db upgrade` with the same configuration"
            )
        yield config, database


def database_error(config: configuration.Config, reason: str) -> click.ClickException:
    return click.ClickException(f"the database {config.storage.url} cannot be used: {reason}")
