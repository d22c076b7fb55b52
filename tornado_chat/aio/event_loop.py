"""The event loop of a server: which one, and its end with somebody else's tasks on it."""

import asyncio
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT_SECONDS = 1.0  # seconds that tasks and threads get to end when all is done


def new_loop(executor: ThreadPoolExecutor) -> asyncio.AbstractEventLoop:
    """uvloop's where that is installed (``tornado_chat[fast]``), else asyncio's own.

    :arg executor: for ``asyncio.to_thread`` and its like.
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
    """Let what is left on the loop end, and the process end even if some of it does not.

    All work is done and stored by now. A plugin's task may ignore that it is cancelled, and a thread
    of its may wait for ever; ``asyncio.run`` and the interpreter would wait for them.

    :arg executor: of ``new_loop``.
    :arg code: the exit code, if the process has to be ended here.
    """
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        _, left = loop.run_until_complete(asyncio.wait(left, timeout=SHUTDOWN_TIMEOUT_SECONDS))
    loop.run_until_complete(loop.shutdown_asyncgens())
    ending = threading.Thread(target=executor.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    ending.start()
    ending.join(SHUTDOWN_TIMEOUT_SECONDS)
    if left or ending.is_alive():
        log.info("something of a plugin does not end: it is left behind")
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    loop.close()
