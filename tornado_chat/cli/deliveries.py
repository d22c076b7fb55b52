"""The commands ``deliveries list``, ``retry`` and ``discard``: what plugins could not deliver."""

from collections.abc import Sequence

import click

from tornado_chat.cli.options import ConfigArguments, current_database, refuse_common_options, with_config
from tornado_chat.plugins import delivery_commands
from tornado_chat.plugins.delivery_commands import dead_option, ids_argument, last_option

plugin_option = click.option("--plugin", metavar="NAME", help="Only deliveries of this plugin.")


@refuse_common_options
@click.group()
def deliveries() -> None:
    """Show and retry deliveries of plugins, for example of notifications."""


@deliveries.command("list")
@dead_option
@last_option
@plugin_option
@with_config
def list_(config_arguments: ConfigArguments, dead: bool, last: int, plugin: str | None) -> None:
    """Show the deliveries that wait or were given up (dead), the oldest first."""
    with current_database(config_arguments, or_demo=True) as (config, database):
        delivery_commands.show(database, config.server.timezone, plugin, dead, last, command="deliveries")


@deliveries.command()
@ids_argument
@click.option("--all", "all_dead", is_flag=True, help="Retry all dead deliveries.")
@plugin_option
@with_config
def retry(config_arguments: ConfigArguments, ids: Sequence[int], all_dead: bool, plugin: str | None) -> None:
    """Make dead deliveries wait again, due at once. The exit code is 1 if a delivery is not dead."""
    with current_database(config_arguments, or_demo=True) as (_, database):
        delivery_commands.retry_dead(database, plugin, ids, all_dead, command="deliveries")


@deliveries.command()
@ids_argument
@click.option("--all", "all_dead", is_flag=True, help="Discard all dead deliveries.")
@plugin_option
@with_config
def discard(
    config_arguments: ConfigArguments, ids: Sequence[int], all_dead: bool, plugin: str | None
) -> None:
    """Remove dead deliveries. The exit code is 1 if a delivery is not dead."""
    with current_database(config_arguments, or_demo=True) as (_, database):
        delivery_commands.discard_dead(database, plugin, ids, all_dead, command="deliveries")
