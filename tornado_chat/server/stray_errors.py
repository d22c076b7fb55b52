"""Errors that leave the code of plugins where no call of the server catches them: tasks, callbacks, threads.

Strategy: a plugin may start tasks and threads of its own. Their errors reach the handlers of the event loop
and of ``threading``, and are recorded for the plugin whose lines of code are in the traceback.

``sys.exit()`` in a task or a callback leaves the loop, and ``loop.stop()`` stops it. Neither may end the
server, so ``run_to_end`` runs the loop again. Work of the same turn of the loop stays in its queue meanwhile.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from tornado_chat.plugins.faults import BACKGROUND_TASK, THREAD

log = logging.getLogger(__name__)

RecordStrayFailure = Callable[[str, BaseException], bool]
"""Records an error for the plugin that caused it; returns False if that was no plugin."""


def run_to_end(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None], record: RecordStrayFailure
) -> None:
    """Run ``coroutine`` until it has ended, whatever plugins raise in tasks and callbacks.

    :raises BaseException: as ``coroutine``; or ``SystemExit`` and ``KeyboardInterrupt`` of no plugin.
    """
    task = loop.create_task(coroutine)
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            if task.done() or not record(BACKGROUND_TASK, error):
                raise
        except RuntimeError:
            if task.done():
                raise
            log.error("the event loop was stopped, which only a plugin can do: it goes on")


def handle_loop_errors(loop: asyncio.AbstractEventLoop, record: RecordStrayFailure) -> None:
    """Record the errors of tasks and callbacks of plugins; those of others are logged as by asyncio."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, BaseException) and record(BACKGROUND_TASK, error)):
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)


def handle_thread_errors(loop: asyncio.AbstractEventLoop, record: RecordStrayFailure) -> None:
    """Record the errors that end the threads of plugins; those of others go to the present handler."""
    before = threading.excepthook

    def handle(args: threading.ExceptHookArgs) -> None:
        error = args.exc_value
        if error is None or isinstance(error, SystemExit):
            before(args)
            return

        def record_or_log() -> None:
            if not record(THREAD, error):
                before(args)

        try:
            loop.call_soon_threadsafe(record_or_log)  # the counters belong to the loop
        except RuntimeError:  # the loop is closed
            before(args)

    threading.excepthook = handle
