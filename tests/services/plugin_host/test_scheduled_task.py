"""The scheduled tasks of plugins, on two processes with one database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.delivery.conftest import Clock
from tornado_chat.aio.clock import now_microseconds
from tornado_chat.services.leadership.db_lease import LEASE_SECONDS, DatabaseLease
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.plugin_host import scheduled_task
from tornado_chat.services.plugin_host.scheduled_task import ScheduledTask
from tornado_chat.storage import leases
from tornado_chat.testing.clock import WallClock

DAY_SECONDS = 86400.0
MICROSECONDS = 1_000_000


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_SLEEP_SECONDS", "LEASE_RETRY_SECONDS", "WATCH_SECONDS"):
        monkeypatch.setattr(scheduled_task, name, 0.01)


class Machine:
    """The time of all processes, and the runs and failures of their tasks."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.wall_clock = WallClock()
        self.runs: asyncio.Queue[str] = asyncio.Queue()
        self.failures: asyncio.Queue[BaseException] = asyncio.Queue()

    def process(
        self,
        name: str,
        interval: float | None = DAY_SECONDS,
        work: Callable[[], Awaitable[None]] | None = None,
        *,
        shared: bool = True,
        clock: Clock | None = None,
    ) -> ScheduledTask:
        async def note() -> None:
            self.runs.put_nowait(name)

        clock = clock or Clock()
        lease = DatabaseLease("task", self.store, asyncio.get_running_loop(), shared=shared, clock=clock.time)
        return ScheduledTask(
            "task",
            work or note,
            interval,
            self.store,
            lease,
            on_failure=self.failures.put_nowait,
            clock=now_microseconds,
        )

    def advance_to(self, time: int) -> None:
        self.wall_clock.skip((time - now_microseconds()) / MICROSECONDS)

    def advance(self, seconds: float) -> None:
        self.wall_clock.skip(seconds)

    async def due(self) -> int:
        return await self.store.read(leases.reserved_until, "task")

    async def settled(self, earlier: int = 0) -> int:
        """Wait until the next run is stored, and return its time."""
        while (due := await self.due()) in (0, earlier):  # noqa: ASYNC110 - stored by the task
            await asyncio.sleep(0.01)
        return due


@pytest.fixture
def machine(store: Store) -> Iterator[Machine]:
    machine = Machine(store)
    yield machine
    machine.wall_clock.restore()


@asynccontextmanager
async def running(*tasks: ScheduledTask) -> AsyncIterator[None]:
    started = [asyncio.create_task(each.run()) for each in tasks]
    try:
        yield
    finally:
        for each in started:
            each.cancel()
        await asyncio.wait(started)


@pytest.mark.gen_test
async def test_each_run_of_a_scheduled_task_is_on_one_process(machine: Machine) -> None:
    async with running(machine.process("one"), machine.process("two")):
        due = 0
        for _ in range(3):
            await machine.runs.get()
            due = await machine.settled(due)
            machine.advance_to(due - 3600 * MICROSECONDS)
            await asyncio.sleep(0.05)  # both look at the schedule several times
            assert machine.runs.empty()
            machine.advance_to(due)


@pytest.mark.gen_test
@pytest.mark.parametrize("shared", [False, True])
async def test_a_restart_keeps_the_schedule(machine: Machine, shared: bool) -> None:
    async with running(machine.process("before", shared=shared)):
        assert await machine.runs.get() == "before"
        due = await machine.settled()
    async with running(machine.process("after", shared=shared)):
        await asyncio.sleep(0.05)
        assert machine.runs.empty()
    async with running(machine.process("shorter", 60, shared=shared)):
        assert await machine.settled(due) < due
        machine.advance(60)
        assert await machine.runs.get() == "shorter"


@pytest.mark.gen_test
async def test_a_run_of_a_process_that_stood_still_is_cancelled_and_not_counted(machine: Machine) -> None:
    stopped = asyncio.Event()

    async def hang() -> None:
        machine.runs.put_nowait("suspended")
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    suspended = Clock()
    async with running(machine.process("one", work=hang, clock=suspended)):
        assert await machine.runs.get() == "suspended"
        suspended.advance(LEASE_SECONDS)
        await stopped.wait()
        assert await machine.due() == 0  # the run is not done
        assert machine.failures.empty()
        assert await machine.runs.get() == "suspended"  # it holds the lease again


@pytest.mark.gen_test
async def test_a_run_that_is_interrupted_by_the_stop_is_begun_again(machine: Machine) -> None:
    async def hang() -> None:
        machine.runs.put_nowait("hanging")
        await asyncio.Event().wait()

    async with running(machine.process("one", None, hang)):
        assert await machine.runs.get() == "hanging"
    async with running(machine.process("two", None)):
        assert await machine.runs.get() == "two"


@pytest.mark.gen_test
@pytest.mark.parametrize("shared", [False, True])
async def test_a_task_that_has_returned_once_is_never_run_again(machine: Machine, shared: bool) -> None:
    errors = [ValueError("not yet")]

    async def work() -> None:
        machine.runs.put_nowait("run")
        if errors:
            raise errors.pop()

    one = machine.process("one", None, work, shared=shared)
    async with running(one, *([machine.process("two", None, work)] if shared else [])):
        await machine.runs.get()
        assert str(await machine.failures.get()) == "not yet"
        machine.advance_to(await machine.settled())
        await machine.runs.get()
        while await machine.due() != scheduled_task.FOREVER:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    machine.advance(1000 * DAY_SECONDS)
    await machine.process("again", None, work, shared=shared).run()
    assert machine.runs.empty()


@pytest.mark.gen_test
@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), ZeroDivisionError()])
async def test_a_run_that_fails_is_reported_and_the_next_one_comes_in_time(
    machine: Machine, error: BaseException
) -> None:
    async def fail() -> None:
        raise error

    async with running(machine.process("one", work=fail)):
        due = 0
        for _ in range(2):
            await machine.failures.get()
            due = await machine.settled(due)
            machine.advance_to(due)
