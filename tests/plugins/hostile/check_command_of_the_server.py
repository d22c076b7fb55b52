"""A command that the server has."""

import click

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = 'the server has a command "backup" already'


@click.command("backup")
def backup():
    click.echo("done")


class Hostile(Plugin):
    @hookimpl
    def register_commands(self):
        return [backup]
