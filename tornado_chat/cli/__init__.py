"""The commands of ``tornado-chat``.

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration. An expected error prints a sentence,
never a traceback.

Each command imports its modules when it is called, so that ``token`` does not load those of ``serve``.
"""

import click

from tornado_chat.cli.backup import backup, restore
from tornado_chat.cli.bench import bench
from tornado_chat.cli.configuration import check_config, samples, token
from tornado_chat.cli.database import db
from tornado_chat.cli.deliveries import deliveries
from tornado_chat.cli.erase import erase
from tornado_chat.cli.export import export
from tornado_chat.cli.import_sqlite import import_
from tornado_chat.cli.maintenance import compact, operations, prune
from tornado_chat.cli.output_encoding import replace_unprintable
from tornado_chat.cli.plugins import PluginCommandGroup, plugins
from tornado_chat.cli.revocations import list_revocations, revoke, unrevoke
from tornado_chat.cli.serving import demo, serve, talk
from tornado_chat.cli.staff import staff
from tornado_chat.cli.status import status


@click.group(cls=PluginCommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tornado_chat")
def main() -> None:
    """A self-hosted conversation server for counselling and support.

    The configuration is read from the ini files given with --config, else from those in
    $TORNADO_CHAT_CONFIG, else from /etc/tornado-chat/tornado-chat.ini and
    /etc/tornado-chat/conf.d/*.ini.
    """
    replace_unprintable()


for command in (
    serve,
    demo,
    talk,
    status,
    token,
    check_config,
    samples,
    db,
    backup,
    restore,
    export,
    erase,
    staff,
    revoke,
    unrevoke,
    list_revocations,
    plugins,
    deliveries,
    bench,
):
    main.add_command(command)
for command in (prune, compact, operations, import_):
    db.add_command(command)
