"""Creation and shutdown of the server's event loop, which may also run tasks of plugins."""

import asyncio
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT_SECONDS = 1.0
"""The time that remaining tasks and threads have to end after all work of the server is done."""


def new_loop(executor: ThreadPoolExecutor) -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop if it is installed (``tornado_chat[fast]``), else asyncio's own loop.

    :arg executor: the default executor, for ``asyncio.to_thread`` and similar functions.
    """
    loop: asyncio.AbstractEventLoop
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    loop.set_default_executor(executor)
    return loop


def shut_down(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor, code: int) -> None:
    """Cancel the remaining tasks, shut down ``executor`` and close ``loop``; exit the process if they hang.

    All work of the server is done and stored when this is called. A task of a plugin may ignore its
    cancellation, and a thread of a plugin may wait for ever; ``asyncio.run`` and the interpreter would wait
    for them. Therefore, if tasks or threads have not ended after ``SHUTDOWN_TIMEOUT_SECONDS``, the process
    exits with ``os._exit``.

    :arg executor: the executor that was given to ``new_loop``.
    :arg code: the exit code, for the case that the process exits here.
    """
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        _, tasks = loop.run_until_complete(asyncio.wait(tasks, timeout=SHUTDOWN_TIMEOUT_SECONDS))
    loop.run_until_complete(loop.shutdown_asyncgens())
    shutdown_thread = threading.Thread(target=executor.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    shutdown_thread.start()
    shutdown_thread.join(SHUTDOWN_TIMEOUT_SECONDS)
    if tasks or shutdown_thread.is_alive():
        log.info("a task or thread of a plugin does not end: the process exits without waiting for it")
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    loop.close()
