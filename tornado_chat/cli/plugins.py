"""The command ``plugins``, and the commands that plugins register."""

import copy
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

    loaded = load_plugins(config)
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


class PluginCommandGroup(click.Group):
    """The server's commands, followed by those of the enabled plugins.

    The configuration says which plugins are enabled, so --config and --set are read from the arguments before
    the command is known. The server's own commands do not load plugins for this.
    """

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
    config = config_arguments.load()
    commands: dict[str, click.Command] = {}
    for loaded in load_plugins(config):
        register = getattr(loaded.plugin, "register_commands", None)
        for command in register() if register is not None else ():
            commands.setdefault(command.name or loaded.name, _with_common_options(command, loaded, config))
    return commands


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
        return command
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
    run = command.callback
    assert run is not None

    def with_context(*args: Any, **kwargs: Any) -> Any:
        missing = missing_database_text(config)
        if missing:
            raise click.ClickException(missing)
        with database_session(config) as (database, schema):
            register = getattr(loaded.plugin, "register_models", None)
            schema.create_missing_tables(database, list(register()) if register is not None else [])
            click.get_current_context().obj = _context(loaded, config, database)
            return run(*args, **kwargs)

    command.callback = with_context
    return command


def plugin_warnings(config: configuration.Config) -> list[str]:
    """Return the warnings of the enabled plugins for ``check-config``, with the names of their sections."""
    from tornado_chat.storage import schema

    loaded = load_plugins(config)
    try:
        if missing_database_text(config):
            return _warnings(loaded, lambda each: None)
        with database_session(config) as (database, _):
            if all(applied for _, applied in schema.migration_status(database)):
                return _warnings(loaded, lambda each: _context(each, config, database))
    except click.ClickException:  # the database cannot be read: other commands say why
        pass
    return _warnings(loaded, lambda each: None)


def _warnings(
    loaded: "Sequence[LoadedPlugin]", make_context: "Callable[[LoadedPlugin], CommandContext | None]"
) -> list[str]:
    return [
        f"[plugin:{each.name}] {warning}"
        for each in loaded
        for warning in each.plugin.find_warnings(make_context(each))
    ]


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
