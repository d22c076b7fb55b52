"""What the commands have in common: how they get at the configuration."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from tornado_chat import config as configuration

P = ParamSpec("P")


class Misconfigured(click.ClickException):
    """The configuration has mistakes: each on a line of its own."""

    exit_code = 2

    def __init__(self, problems: Sequence[object]) -> None:
        super().__init__("\n".join(map(str, problems)))

    def show(self, file: Any = None) -> None:
        click.echo(self.message, file=file, err=True)


@dataclass(frozen=True)
class Given:
    """What the command line says about the configuration."""

    files: Sequence[Path]
    overrides: Sequence[str]

    def load(self) -> configuration.Config:
        try:
            return configuration.load(self.files, self.overrides, os.environ)
        except configuration.ConfigError as error:
            raise Misconfigured(error.problems) from error

    def sources(self) -> list[Path]:
        return configuration.sources(self.files, os.environ)

    def sets(self, option: str) -> bool:
        return any(override.partition("=")[0].strip() == option for override in self.overrides)


def configured(command: Callable[Concatenate[Given, P], None]) -> Callable[..., None]:
    """Give a command ``--config`` and ``--set``; it gets them as ``Given``."""

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
        command(Given(files, overrides), *args, **kwargs)

    return with_given
