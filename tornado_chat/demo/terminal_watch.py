"""Notices that the terminal of this process was closed, also if the process gets no SIGHUP."""

import asyncio
import os
import select
from collections.abc import Callable

STANDARD_DESCRIPTORS = (0, 1, 2)


def watch_terminal(on_closed: Callable[[], object]) -> None:
    """Call ``on_closed`` once on the running loop when the terminal is closed.

    Does nothing without a terminal, and on systems without epoll(7), where SIGHUP has to suffice: the kernel
    sends it only to the processes whose controlling terminal this is.
    """
    terminal = next((each for each in STANDARD_DESCRIPTORS if os.isatty(each)), None)
    if terminal is None or not hasattr(select, "epoll"):
        return
    loop = asyncio.get_running_loop()
    epoll = select.epoll()
    # Without events to wait for, epoll reports EPOLLHUP only. Waiting for input would report all that is
    # typed, and reading it would stop a process in the background.
    epoll.register(terminal, 0)

    def close() -> None:
        loop.remove_reader(epoll.fileno())
        epoll.close()
        on_closed()

    loop.add_reader(epoll.fileno(), close)
