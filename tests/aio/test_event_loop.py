"""Tests of the server's event loop, and of its shutdown with a task or thread that does not end."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.aio.event_loop import new_loop, shut_down

STUCK_TASK = """
async def stuck():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""
STUCK_THREAD = """
async def stuck():
    await asyncio.to_thread(threading.Event().wait)
"""
PROGRAM = """
import asyncio, logging, threading
from concurrent.futures import ThreadPoolExecutor
from tornado_chat.aio.event_loop import new_loop, shut_down
{stuck}
async def main():
    task = asyncio.create_task(stuck())
    await asyncio.sleep(0)
    return task

logging.basicConfig(level="INFO")
executor = ThreadPoolExecutor()
loop = new_loop(executor)
task = loop.run_until_complete(main())
shut_down(loop, executor, 7)
"""


@pytest.mark.parametrize("stuck", [STUCK_TASK, STUCK_THREAD], ids=["a task", "a thread"])
def test_a_process_exits_with_its_code_though_a_task_or_thread_does_not_end(stuck: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(stuck=stuck)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_TIMEOUT_SECONDS, check=False)
    assert done.returncode == 7, done.stderr
    assert "a task or thread of a plugin does not end" in done.stderr


def test_the_shutdown_does_not_wait_for_other_executors() -> None:
    other, release = ThreadPoolExecutor(thread_name_prefix="asyncio"), threading.Event()
    waiting = other.submit(release.wait)
    executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop = new_loop(executor)
    assert loop.run_until_complete(loop.run_in_executor(None, threading.get_ident)) != threading.get_ident()
    shut_down(loop, executor, 7)
    assert loop.is_closed()
    release.set()
    assert waiting.result(WAIT_TIMEOUT_SECONDS)
    other.shutdown()
