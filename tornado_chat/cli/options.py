"""What the commands have in common: how they get at the configuration."""

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

if TYPE_CHECKING:
    import peewee

    from tornado_chat.plugins.discovery import LoadedPlugin

P = ParamSpec("P")


class Misconfigured(click.ClickException):
    """The configuration has mistakes: each on a line of its own."""

    exit_code = 2

    def __init__(self, problems: Sequence[object]) -> None:
        super().__init__("\n".join(map(str, problems)))

    def show(self, file: Any = None) -> None:
        click.echo(self.message, file=file, err=True)


@dataclass(frozen=True)
class ConfigArguments:
    """What the command line says about the configuration."""

    files: Sequence[Path]
    overrides: Sequence[str]

    def read(self) -> configuration.Config:
        """:raises ConfigError: it has mistakes."""
        return loader.load(self.files, self.overrides, os.environ)

    def load(self) -> configuration.Config:
        """:raises Misconfigured: it has mistakes."""
        try:
            return self.read()
        except configuration.ConfigError as error:
            raise Misconfigured(error.problems) from error

    def sources(self) -> list[Path]:
        return loader.config_files(self.files, os.environ)

    def sets(self, option: str) -> bool:
        return any(override.partition("=")[0].strip() == option for override in self.overrides)


def with_config(command: Callable[Concatenate[ConfigArguments, P], None]) -> Callable[..., None]:
    """Give a command ``--config`` and ``--set``; it gets them as ``ConfigArguments``."""

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
        help="Set one option, as in server.port=9000. May be repeated.",
    )
    @functools.wraps(command)
    def with_given(
        files: Sequence[Path], overrides: Sequence[str], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        command(ConfigArguments(files, overrides), *args, **kwargs)

    return with_given


def load_plugins(config: configuration.Config) -> "list[LoadedPlugin]":
    """The plugins that run, in order. :raises Misconfigured: they have mistakes."""
    from tornado_chat.plugins import discovery

    try:
        return discovery.load_plugins(config)
    except configuration.ConfigError as error:
        raise Misconfigured(error.problems) from error


def missing_database_text(config: configuration.Config) -> str:
    """That there is no database yet, in a sentence; empty if there is one. To open it would make it."""
    from tornado_chat.config.mysql_url import is_mysql
    from tornado_chat.storage.database import SQLITE_SCHEME

    url = config.storage.url
    if is_mysql(url):
        return ""  # to ask for it makes nothing, and the answer is a sentence
    there = os.path.exists(url.removeprefix(SQLITE_SCHEME))
    return "" if there else f"{url} does not exist yet: the server makes it when it starts"


@contextmanager
def database_session(config: configuration.Config) -> Iterator[tuple["peewee.Database", Any]]:
    """The configured database and the ``schema`` module; what they raise becomes a sentence."""
    import peewee

    from tornado_chat.storage import schema
    from tornado_chat.storage.database import open_database
    from tornado_chat.storage.open import explain_error

    try:
        database = open_database(config.storage, without_timeout=True)
    except (OSError, peewee.ImproperlyConfigured) as error:
        # Its folder or driver; an OSError of later is the command's own, a closed pipe for one.
        raise database_error(config, str(error)) from error
    try:
        yield database, schema
    except peewee.PeeweeException as error:
        raise database_error(config, explain_error(database, error)) from error
    finally:
        database.close()


def database_error(config: configuration.Config, reason: str) -> click.ClickException:
    return click.ClickException(f"the database {config.storage.url} cannot be used: {reason}")
