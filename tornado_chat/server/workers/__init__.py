"""Several equal server processes on one machine: a parent with the listening sockets, and its workers.

Strategy: each worker is the same server as a single process, started with the command line of the parent. To
it the parent is what systemd is to a single process: it passes the sockets, receives READY, RELOADING,
STOPPING and the number of connections, and expects regular watchdog notifications. So the parent needs no
database, no configuration but its own few options and none of the server's code. It can run on while the
files of the program are replaced: workers that are started later run the new files.
"""

import asyncio
import os
import sys
from collections.abc import Callable

from tornado_chat.aio import descriptors
from tornado_chat.config.sections import Config
from tornado_chat.server.systemd import ServiceManager
from tornado_chat.server.workers.process_manager import ProcessManager

__all__ = ["run"]


def run(config: Config, read_config: Callable[[], Config]) -> int:
    """Keep ``[server] processes`` workers serving until SIGTERM or SIGINT. Returns the worst exit code.

    :arg read_config: reads the configuration again, for SIGHUP and SIGUSR2.
    """
    descriptors.raise_limit()  # the workers inherit it
    os.umask(0o077)
    manager = ServiceManager.from_environ(os.environ)
    try:
        return asyncio.run(_run(config, manager, read_config))
    except ValueError as error:  # there are no listening sockets
        print(f"tornado-chat: {error}", file=sys.stderr)  # noqa: T201 - for a person
        manager.notify(STATUS=str(error))
        return 1
    finally:
        manager.close()


async def _run(config: Config, manager: ServiceManager, read_config: Callable[[], Config]) -> int:
    return await ProcessManager(config, manager, read_config).run()
