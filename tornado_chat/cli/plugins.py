"""The command ``plugins``, and the commands that plugins register."""

import copy
import errno
import re
import sys
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tornado_chat import config as configuration
from tornado_chat.cli.options import (
    ConfigArguments,
    database_session,
    load_plugins,
    missing_database_text,
    plugin_faults,
    refuse_common_options,
    with_config,
)

if TYPE_CHECKING:
    import peewee

    from tornado_chat.plugins.context import CommandContext
    from tornado_chat.plugins.discovery import LoadedPlugin


@click.command("plugins")
@with_config
def plugins(config_arguments: ConfigArguments) -> None:
    """List the enabled plugins in order, and the installed plugins that are not enabled."""
    config = config_arguments.load()
    from tornado_chat.plugins import discovery
    from tornado_chat.server.preflight import load_checked_plugins

    with plugin_faults():
        loaded = load_checked_plugins(config)
    click.echo("no plugin is enabled" if not loaded else "enabled plugins, in the order of their calls:")
    for number, each in enumerate(loaded, 1):
        click.echo(f"\n{number}. {each.name} {each.version}".rstrip())
        click.echo(f"   from      {each.found.source}")
        click.echo(f"   hooks     {', '.join(each.hooks)}")
        for label, text in zip(chain(("settings",), repeat("")), _settings_lines(each), strict=False):
            click.echo(f"   {label:<9} {text}")
    found, _ = discovery.find_plugins(config)
    enabled = {each.name for each in loaded}
    others = [each for name, each in sorted(found.items()) if name not in enabled]
    if others:
        click.echo("\ninstalled plugins that are not enabled; add their names to [plugins] enabled:")
        for other in others:
            click.echo(f"   {other.name:<16} {other.source}")


def _settings_lines(loaded: "LoadedPlugin") -> list[str]:
    from dataclasses import fields

    from tornado_chat.config.ini import format_value

    settings = loaded.plugin.settings
    lines = []
    for each in fields(settings):
        value = getattr(settings, each.name)
        is_secret = any(word in each.name for word in ("secret", "password", "token"))
        # The query of a URL often contains a password.
        shown = (
            "[not shown]"
            if is_secret and value
            else re.sub(r"(://[^\s?]*)\?[^\s,]+", r"\1?…", format_value(value))
        )
        lines.append(f"{each.name} = {shown}" + ("" if value == each.default else "   (set)"))
    return lines


OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
"""Errors of standard output that is a file or a device; a closed pipe is ``EPIPE``, which Click handles."""


class PluginCommandGroup(click.Group):
    """The server's commands, followed by those of the enabled plugins.

    The configuration says which plugins are enabled, so --config and --set are read from the arguments before
    the command is known. The server's own commands do not load plugins for this.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            # The errors of files that commands write have the name of the file, and are handled there.
            if error.filename is None and error.errno in OUTPUT_ERRORS:
                raise click.ClickException(f"the output cannot be written: {error.strerror}") from error
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        own = super().list_commands(ctx)
        try:
            return [*own, *sorted(_plugin_commands(_config_from_arguments(sys.argv[1:])))]
        except click.ClickException:  # `check-config` prints the mistakes
            return own

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        own = super().get_command(ctx, name)
        if own is not None:
            return own
        arguments = ctx.meta.get(_ARGUMENTS, sys.argv[1:])
        config_arguments = _config_from_arguments(arguments)
        try:
            command = _plugin_commands(config_arguments).get(name)
            if command is None and _is_plugin(config_arguments, name):
                raise click.UsageError(f'the plugin "{name}" is not enabled: add it to [plugins] enabled')
            return command
        except click.UsageError:
            raise
        except click.ClickException as error:
            raise click.UsageError(
                f'"{name}" may be a command of a plugin, but the plugins cannot be loaded:\n'
                f"{error.format_message()}"
            ) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta[_ARGUMENTS] = list(args)
        return super().resolve_command(ctx, args)


_ARGUMENTS = "tornado_chat.arguments"


def _config_from_arguments(arguments: Sequence[str]) -> ConfigArguments:
    """Read only --config and --set from the arguments of any command."""
    found: dict[str, list[str]] = {"--config": [], "--set": []}
    rest = iter(arguments)
    for argument in rest:
        option, equals, value = argument.partition("=")
        if option in found:
            found[option].append(value if equals else next(rest, ""))
    return ConfigArguments([Path(path) for path in found["--config"]], found["--set"])


def _is_plugin(config_arguments: ConfigArguments, name: str) -> bool:
    from tornado_chat.plugins import discovery

    found, _ = discovery.find_plugins(config_arguments.load())
    return name in found


def _plugin_commands(config_arguments: ConfigArguments) -> dict[str, click.Command]:
    from tornado_chat.plugins.registration import collect_commands

    config = config_arguments.load()
    with plugin_faults():
        return {
            each.name: _with_common_options(each.command, each.plugin, config)
            for each in collect_commands(load_plugins(config))
        }


def _with_common_options(
    command: click.Command, loaded: "LoadedPlugin", config: configuration.Config
) -> click.Command:
    """Return a copy of a plugin's command with --config and --set, and a ``CommandContext`` for its callback.

    The commands of a group are copied in the same way.
    """
    command = copy.copy(command)
    if isinstance(command, click.Group):
        command.commands = {
            name: _with_common_options(below, loaded, config) for name, below in command.commands.items()
        }
        return refuse_common_options(command)
    # Their values were read by _config_from_arguments; here the parser only has to accept them.
    command.params = [
        *command.params,
        click.Option(
            ["--config"], multiple=True, expose_value=False, metavar="FILE", help="Read this ini file."
        ),
        click.Option(
            ["--set"],
            multiple=True,
            expose_value=False,
            metavar="SECTION.OPTION=VALUE",
            help="Set one option.",
        ),
    ]
    from tornado_chat.plugins.registration import collect_models

    run = command.callback
    assert run is not None

    def with_context(*args: Any, **kwargs: Any) -> Any:
        missing = missing_database_text(config)
        if missing:
            raise click.ClickException(missing)
        with database_session(config) as (database, schema):
            with plugin_faults():
                schema.create_missing_tables(database, collect_models([loaded]))
            click.get_current_context().obj = _context(loaded, config, database)
            return run(*args, **kwargs)

    command.callback = with_context
    return command


def plugin_findings(config: configuration.Config) -> tuple[list[str], list[str]]:
    """Return the findings of the enabled plugins for ``check-config``, with the names of their sections.

    :return: problems that prevent the start, and warnings.
    """
    from tornado_chat.plugins.discovery import find_doubtful_folders
    from tornado_chat.plugins.hook_methods import find_doubtful_methods
    from tornado_chat.plugins.registration import find_unused_policies

    loaded = load_plugins(config)
    doubts = find_doubtful_folders(config)
    for each in loaded:
        doubts += [str(each.found.problem(text)) for text in find_doubtful_methods(each.plugin)]
    doubts += find_unused_policies(loaded)
    problems, warnings = _call_checks(config, loaded)
    return problems, [*doubts, *warnings]


def _call_checks(
    config: configuration.Config, loaded: "Sequence[LoadedPlugin]"
) -> tuple[list[str], list[str]]:
    """Call ``find_problems`` and ``find_warnings`` of the plugins, with the database if there is one."""
    from tornado_chat.storage import schema

    try:
        if not missing_database_text(config):
            with database_session(config) as (database, _):
                if all(applied for _, applied in schema.migration_status(database)):
                    return _findings(loaded, lambda each: _context(each, config, database))
    except click.ClickException:  # the database cannot be read: other commands say why
        pass
    return _findings(loaded, lambda each: None)


def _findings(
    loaded: "Sequence[LoadedPlugin]", make_context: "Callable[[LoadedPlugin], CommandContext | None]"
) -> tuple[list[str], list[str]]:
    problems, warnings = list[str](), list[str]()
    for each in loaded:
        context = make_context(each)
        for method, texts in (("find_problems", problems), ("find_warnings", warnings)):
            if context is not None or method == "find_warnings":
                try:
                    found = _call_check(each, method, context)
                except _CheckFailed as error:
                    problems.append(f"[plugin:{each.name}] {method} failed: {error}")
                else:
                    texts += [f"[plugin:{each.name}] {text}" for text in found]
    return problems, warnings


class _CheckFailed(Exception):
    """A check of a plugin has failed. The argument is the description of its error."""


def _call_check(loaded: "LoadedPlugin", method: str, context: "CommandContext | None") -> list[str]:
    """Return the sentences of a plugin's ``find_problems`` or ``find_warnings``.

    :raises _CheckFailed: the plugin fails, otherwise than by an error of the database.
    """
    import peewee

    from tornado_chat.plugins.load_errors import CODE_ERRORS, describe_error

    try:
        found = getattr(loaded.plugin, method)(context)
        return [found] if isinstance(found, str) else list(found)
    except peewee.PeeweeException:
        raise
    except CODE_ERRORS as error:
        raise _CheckFailed(describe_error(error, loaded.found.place)) from error


def _context(loaded: "LoadedPlugin", config: configuration.Config, database: "peewee.Database") -> Any:
    from tornado_chat.data_management.operation_log import current_operator
    from tornado_chat.plugins.context import CommandContext

    return CommandContext(
        loaded.plugin.settings,
        database,
        config.server.language,
        config.server.timezone,
        config.state_dir,
        current_operator(),
    )
