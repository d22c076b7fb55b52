"""The worker of an outbox: failures, times, attempts at the same time, and several processes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.core.deliveries import Delivery, DeliveryError, GiveUp, NewDelivery, OutboxTimes, RetryLater
from tornado_chat.core.types import Person, Role
from tornado_chat.services.leadership.db_lease import DatabaseLease
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.plugin_host import outbox
from tornado_chat.services.plugin_host.outbox import OutboxWorker, Places
from tornado_chat.storage import deliveries
from tornado_chat.storage.deliveries import Box
from tornado_chat.storage.models import PluginDelivery

BOX = Box("mail", "letters")
SOON = OutboxTimes(retry_after=0.001, give_up_after=3600, timeout=WAIT_TIMEOUT_SECONDS)

Send = Callable[[Delivery], Awaitable[None]]


class Target:
    """A receiver.

    :ivar errors: raised by the next attempts, in turn.
    :ivar got: the items that it has accepted.
    """

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.got: asyncio.Queue[str] = asyncio.Queue()
        self.attempts = 0
        self.failures: list[BaseException] = []
        self.running: Counter[str] = Counter()
        self.most_running: Counter[str] = Counter()
        self.hangs = False
        self.released = asyncio.Event()

    async def send(self, delivery: Delivery) -> None:
        self.attempts += 1
        self.running[delivery.target] += 1
        self.most_running |= self.running
        try:
            await asyncio.sleep(0)
            if self.hangs:
                await self.released.wait()
            if self.errors:
                raise self.errors.pop(0)
            self.got.put_nowait(delivery.item)
        finally:
            self.running[delivery.target] -= 1

    async def get(self) -> str:
        return await asyncio.wait_for(self.got.get(), WAIT_TIMEOUT_SECONDS)


@asynccontextmanager
async def running(
    store: Store, target: Target, times: OutboxTimes = SOON, *, shared: bool = False, **more: Any
) -> AsyncIterator[OutboxWorker]:
    lease = DatabaseLease("outbox", store, asyncio.get_running_loop(), shared=shared)
    worker = OutboxWorker(BOX, target.send, times, store, lease, on_failure=target.failures.append, **more)
    task = asyncio.create_task(worker.run())
    yield worker
    task.cancel()
    await asyncio.wait({task})


async def put(store: Store, worker: OutboxWorker, *items: str, target: str = "t") -> None:
    new = [NewDelivery(target, item, "https://host", Person(Role.USER, "1")) for item in items]
    await store.write(lambda tx: worker.insert(tx, new))
    worker.wake()


async def until(store: Store, **wanted: int) -> list[Delivery]:
    """Wait until there are so many deliveries in each state, and return all."""
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while await store.read(deliveries.count_states, None) != wanted:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    query = PluginDelivery.select().order_by(PluginDelivery.id).dicts()
    return [Delivery(**row) for row in await store.read(lambda database: list(query.execute(database)))]


@pytest.mark.gen_test
async def test_a_delivery_that_fails_is_repeated_until_it_is_accepted(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    target = Target(DeliveryError("busy", "secret detail"), ValueError("secret"), RetryLater("full", 0.001))
    async with running(store, target) as worker:
        await put(store, worker, "1")
        assert await target.get() == "1"
        [row] = await until(store, delivered=1)
    assert row.attempts == target.attempts == 4
    [failure] = target.failures
    assert type(failure) is ValueError
    assert "1 for user:1 was not delivered to https://host, it is tried again: busy" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.gen_test
async def test_a_plugin_may_forbid_a_repetition(store: Store, expected_logs: list[str]) -> None:
    expected_logs.append(r"given up after 1 attempts: no such number \(`tornado-chat deliveries list`\)$")
    target = Target(GiveUp("no such number"))
    async with running(store, target) as worker:
        await put(store, worker, "1")
        [row] = await until(store, dead=1)
        assert row.last_error == "no such number"
        await store.write(lambda tx: deliveries.retry(tx.database, "mail", tx.now))
        worker.wake()
        assert await target.get() == "1"


@pytest.mark.gen_test
async def test_a_plugin_may_say_when_to_try_again(store: Store) -> None:
    target = Target(RetryLater("full", 600, "the box of user 1 is full"))
    async with running(store, target) as worker:
        await put(store, worker, "1")
        await until_attempted(store)
        [row] = await until(store, waiting=1)
    assert row.next_at - row.created >= 600_000_000
    assert row.last_error == "the box of user 1 is full"


async def until_attempted(store: Store) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while True:
            rows = await store.read(deliveries.undelivered, None, False, 9)
            if any(each.attempts for each in rows):
                return
            await asyncio.sleep(0.01)


@pytest.mark.gen_test
async def test_it_is_given_up_at_the_end_of_its_time(store: Store, expected_logs: list[str]) -> None:
    expected_logs.append("given up after")
    target = Target(*[DeliveryError("busy")] * 1000)
    async with running(store, target, OutboxTimes(0.001, 0.05)) as worker:
        await put(store, worker, "1")
        [row] = await until(store, dead=1)
    assert row.attempts == target.attempts
    assert row.last_error == "busy"


@pytest.mark.gen_test
@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(1), KeyboardInterrupt()])
async def test_no_exception_stops_the_worker(store: Store, error: BaseException) -> None:
    target = Target(error)
    async with running(store, target) as worker:
        await put(store, worker, "1", "2")
        assert {await target.get(), await target.get()} == {"1", "2"}
        await until(store, delivered=2)


@pytest.mark.gen_test
async def test_an_attempt_that_ignores_its_cancellation_times_out(store: Store) -> None:
    started, never = asyncio.Event(), asyncio.Event()
    target = Target()

    async def send(delivery: Delivery) -> None:
        if started.is_set():
            await Target.send(target, delivery)
            return
        started.set()
        while not never.is_set():
            try:
                await never.wait()
            except asyncio.CancelledError:
                continue

    target.send = send  # type: ignore[method-assign]
    async with running(store, target, OutboxTimes(0.001, 3600, timeout=0.05)) as worker:
        await put(store, worker, "1")
        assert await target.get() == "1"
        [row] = await until(store, delivered=1)
        assert row.attempts == 2
        never.set()


@pytest.mark.gen_test
async def test_a_target_that_hangs_delays_no_other(store: Store) -> None:
    slow, fast = Target(), Target()
    slow.hangs = True
    both = Target()

    async def send(delivery: Delivery) -> None:
        await (slow if delivery.target == "slow" else fast).send(delivery)

    both.send = send  # type: ignore[method-assign]
    async with running(store, both, places=Places(targets=2, per_target=4, extra=8)) as worker:
        await put(store, worker, *(str(n) for n in range(20)), target="slow")
        await put(store, worker, *(str(n) for n in range(20)), target="fast")
        assert {await fast.get() for _ in range(20)} == {str(n) for n in range(20)}
        assert slow.most_running["slow"] <= 4
        assert not slow.got.qsize()
        slow.released.set()
        await until(store, delivered=40)


@pytest.mark.gen_test
async def test_targets_that_the_plugin_does_not_know_are_given_up(
    store: Store, expected_logs: list[str]
) -> None:
    expected_logs.append(f"plugin mail: 1 delivery is given up: {outbox.UNKNOWN_TARGET}")
    target = Target(RetryLater("busy", 600))
    async with running(store, target) as worker:
        await put(store, worker, "1", target="old")
        await until_attempted(store)
        worker.reconfigure(SOON, ["new"])
        await put(store, worker, "2", target="new")
        assert await target.get() == "2"
        await until(store, dead=1, delivered=1)


@pytest.mark.gen_test
async def test_while_the_plugin_is_suspended_no_attempt_begins(store: Store) -> None:
    pause, asked = 600.0, asyncio.Event()

    def paused_for() -> float:
        asked.set()
        return pause

    target = Target()
    async with running(store, target, paused_for=paused_for) as worker:
        await put(store, worker, "1")
        asked.clear()
        await asyncio.wait_for(asked.wait(), WAIT_TIMEOUT_SECONDS)
        assert target.attempts == 0
        pause = 0
        worker.wake()
        assert await target.get() == "1"


@pytest.mark.gen_test
async def test_of_several_processes_one_makes_attempts_and_another_takes_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LEASE_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "POLL_INTERVAL_SECONDS", 0.01)
    first, second = Target(), Target()
    first.hangs = second.hangs = True
    async with running(store, second, shared=True) as other:
        async with running(store, first, shared=True) as worker:
            await put(store, worker, *(str(n) for n in range(5)))
            async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
                while first.attempts + second.attempts < 4:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)
            for _ in range(10):
                other.wake()
                worker.wake()
                await asyncio.sleep(0.01)
            assert sorted((first.attempts, second.attempts)) == [0, 4]
            first.released.set()
            second.released.set()
            rows = await until(store, delivered=5)
        assert {row.attempts for row in rows} == {1}
        assert first.attempts + second.attempts == 5
        await put(store, other, "last")  # the first process has gone, and has returned its lease
        await until(store, delivered=6)


@pytest.mark.gen_test
async def test_an_outbox_without_due_deliveries_holds_no_lease(store: Store) -> None:
    target = Target()
    async with running(store, target, shared=True) as worker:
        await put(store, worker, "1")
        await until(store, delivered=1)
        other = DatabaseLease("outbox", store, asyncio.get_running_loop(), shared=True)
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not await other.acquire():  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        await other.release()
