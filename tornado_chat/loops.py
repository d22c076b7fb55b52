"""The event loop of a server: which one, and its end with somebody else's tasks on it."""

import asyncio
import logging
import os
import sys
import threading
import time

log = logging.getLogger(__name__)

LEFT = 1.0  # seconds that tasks and threads get to end when all is done


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where that is installed (``tornado_chat[fast]``), else asyncio's own."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.new_event_loop()
    return new_event_loop()


def end(loop: asyncio.AbstractEventLoop, code: int) -> None:
    """Let what is left on the loop end, and the process end even if some of it does not.

    All work is done and stored by now. A plugin's task may ignore that it is cancelled, and a thread
    of its may wait for ever; ``asyncio.run`` and the interpreter would wait for them.

    :arg code: the exit code, if the process has to be ended here.
    """
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        _, left = loop.run_until_complete(asyncio.wait(left, timeout=LEFT))
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")]
    until = time.monotonic() + LEFT
    loop.run_until_complete(loop.shutdown_asyncgens())
    executor = getattr(loop, "_default_executor", None)
    if executor is not None:
        executor.shutdown(wait=False, cancel_futures=True)
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    if left or any(thread.is_alive() for thread in threads):
        log.info("something of a plugin does not end: it is left behind")
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    loop.close()
