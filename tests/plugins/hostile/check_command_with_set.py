"""A command with an option that the server adds."""

import click

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "has the option --set"


@click.command("shop")
@click.option("--set", "value")
def shop(value):
    click.echo(value)


class Hostile(Plugin):
    @hookimpl
    def register_commands(self):
        return [shop]
