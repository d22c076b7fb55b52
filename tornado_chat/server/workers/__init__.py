"""Many equal processes on one machine: a parent that holds the listening sockets and sees to its children.

Strategy: each child is the server as it is when it runs alone, started anew by its command line. To it the
parent is what systemd is to a single one: it passes the sockets, is told READY, RELOADING, STOPPING and how
many people are there, and wants to hear regularly that the loop is not stuck. So the parent needs no
database, no configuration but its own few options and none of the server's code, and what it runs on can stay while
the files of the program are replaced: children that are started later run the new ones.
"""

import asyncio
import os
import sys
from collections.abc import Callable

from tornado_chat.config.sections import Config
from tornado_chat.server.systemd import Manager
from tornado_chat.server.workers.process_manager import Parent

__all__ = ["run"]


def run(config: Config, reread: Callable[[], Config]) -> int:
    """Keep ``[server] processes`` children serving until SIGTERM or SIGINT. Returns the worst exit code.

    :arg reread: reads the configuration again, for SIGHUP and SIGUSR2.
    """
    os.umask(0o077)
    manager = Manager.take(os.environ)
    try:
        return asyncio.run(_live(config, manager, reread))
    except ValueError as error:  # nobody could connect
        print(f"tornado-chat: {error}", file=sys.stderr)  # noqa: T201 - for a person
        manager.tell(STATUS=str(error))
        return 1
    finally:
        manager.close()


async def _live(config: Config, manager: Manager, reread: Callable[[], Config]) -> int:
    return await Parent(config, manager, reread).live()
