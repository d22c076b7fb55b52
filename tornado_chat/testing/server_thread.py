"""The thread in which the servers and clients of one test run.

Strategy: the servers and their clients share an event loop of their own, in a thread of their own. So a test
calls them with plain functions, whether it is a plain function itself or a coroutine of any asyncio plugin;
the clock of this loop can be moved on without touching the timeouts of the test; and everything is closed at
the end of the test, although the test's own loop may be closed by then.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop

from tornado_chat.testing.clock import MovableLoop, WallClock
from tornado_chat.testing.failures import FailureWatch

__tracebackhide__ = True  # pytest shows the line of the test instead

T = TypeVar("T")

TIMEOUT_SECONDS = 30.0
"""The time after which a call gives up: real time, and more than a busy machine needs."""

END_SECONDS = 5.0  # for the end of the thread

TURNS = 10  # of the loop: a frame and its answer pass a socket on this machine in two or three

MAX_STEPS = 200
"""The steps in which the clock moves on; timers of one step run together."""

MIN_STEP_SECONDS = 0.05


class Part(NamedTuple):
    """A server of the thread.

    :ivar flush: waits for the work that is queued. Returns a value that changes with each piece of work.
    :ivar stop: stops the server; a second call does nothing.
    """

    flush: Callable[[], Coroutine[Any, Any, object]]
    stop: Callable[[], Coroutine[Any, Any, None]]


class ServerThread:
    """An event loop in a thread, from the first object of a test to its end.

    :ivar failures: the failures of the plugins of all servers.
    """

    def __init__(self) -> None:
        self.failures = FailureWatch()
        self._loop = MovableLoop()
        self._wall_clock = WallClock()
        self._parts: list[Part] = []
        self._settled: list[object] = []  # the results of the last flushes
        self._thread = threading.Thread(target=self._run, name="chat servers", daemon=True)
        self._thread.start()

    def call(
        self,
        coroutine: Coroutine[Any, Any, T],
        what: str = "the server does not answer",
        *,
        watches: bool = True,
    ) -> T:
        """Run a coroutine in the thread, and return its result.

        :arg what: the begin of the error after a timeout.
        :arg watches: False: a failure of a plugin does not end the call.
        :raises PluginFailed: a plugin failed before the coroutine has ended.
        :raises TimeoutError: the coroutine has not ended within ``TIMEOUT_SECONDS``.
        :raises RuntimeError: the caller runs in this thread, as hooks do, and would wait for itself.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("call the server from the test, not from a plugin, which has its context")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        awaited: list[concurrent.futures.Future[Any]] = [future, *([self.failures.first] if watches else [])]
        try:
            concurrent.futures.wait(awaited, TIMEOUT_SECONDS, concurrent.futures.FIRST_COMPLETED)
            if future.done():
                return future.result()
        finally:
            future.cancel()
        if watches:
            self.failures.raise_first()
        raise TimeoutError(f"{what}, for {TIMEOUT_SECONDS:g} s")

    def add(self, part: Part) -> None:
        self._parts.append(part)

    async def settle(self) -> None:
        """Wait until all that the servers have been asked for is done, and all that follows from it."""
        while True:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            before, self._settled = self._settled, [await part.flush() for part in self._parts]
            if self._settled == before:
                return

    async def advance(self, seconds: float) -> None:
        """Move the clocks on, from timer to timer, and let the servers settle after each."""
        end = self._loop.time() + seconds
        least = max(MIN_STEP_SECONDS, seconds / MAX_STEPS)
        await self.settle()
        while (left := end - self._loop.time()) > 0:
            step = min(left, max(self._loop.seconds_to_next_timer(), least))
            self._wall_clock.skip(step)
            self._loop.skip(step)
            await self.settle()

    def stop(self) -> None:
        """Stop the servers, so that the plugins get the events that are left."""
        for part in self._parts:
            self.call(part.stop(), "the server does not stop", watches=False)

    def close(self) -> None:
        """Stop the servers, and end the thread."""
        try:
            self.stop()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(END_SECONDS)  # a plugin may block it
            self._wall_clock.restore()
            self.failures.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._finish())
        finally:
            # It also closes the listening sockets of fakes that tests have started by ``ChatServer.run``.
            IOLoop.current().close(all_fds=True)
            asyncio.set_event_loop(None)

    async def _finish(self) -> None:
        """Cancel what plugins and clients have left, and close what belongs to the loop."""
        AsyncHTTPClient().close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS / 2):
                await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
