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
from tornado_chat.server.systemd import ServiceManager
from tornado_chat.server.workers.process_manager import ProcessManager

__all__ = ["run"]


def run(config: Config, read_config: Callable[[], Config]) -> int:
    """Keep ``[server] processes`` children serving until SIGTERM or SIGINT. Returns the worst exit code.

    :arg read_config: reads the configuration again, for SIGHUP and SIGUSR2.
    """
    os.umask(0o077)
    manager = ServiceManager.take(os.environ)
    try:
        return asyncio.run(_run(config, manager, read_config))
    except ValueError as error:  # nobody could connect
        print(f"tornado-chat: {error}", file=sys.stderr)  # noqa: T201 - for a person
        manager.notify(STATUS=str(error))
        return 1
    finally:
        manager.close()


async def _run(config: Config, manager: ServiceManager, read_config: Callable[[], Config]) -> int:
    return await ProcessManager(config, manager, read_config).run()
