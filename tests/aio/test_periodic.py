"""Periodic work: it goes on after a failure, which is logged once."""

import asyncio
import logging

import pytest

from scripts.simulation.clock import VirtualLoop
from tornado_chat.aio.periodic import PeriodicTimer, run_forever, run_until_done


def failures(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.levelno == logging.ERROR for record in caplog.records)


def test_a_timer_goes_on_after_failures_and_stops(
    expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append("the count failed, it is repeated")
    calls: list[float] = []

    def count(late: float) -> None:
        calls.append(late)
        if len(calls) in (2, 3, 5):
            raise ValueError("an error of the program")

    async def story() -> None:
        timer = PeriodicTimer(asyncio.get_running_loop(), lambda: 1.0, count, "the count")
        timer.start()
        timer.start()
        assert timer.is_running
        await asyncio.sleep(6.5)
        timer.stop()
        assert not timer.is_running
        await asyncio.sleep(5)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())
    assert calls == [0.0] * 6
    assert failures(caplog) == 2  # each series of failures is logged once


def test_a_function_may_stop_its_timer() -> None:
    calls = []

    async def story() -> None:
        timer = PeriodicTimer(asyncio.get_running_loop(), lambda: 1.0, lambda late: stop(), "")

        def stop() -> None:
            calls.append(1)
            timer.stop()

        timer.start()
        await asyncio.sleep(5)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())
    assert calls == [1]


def test_a_loop_goes_on_after_a_pause(expected_logs: list[str], caplog: pytest.LogCaptureFixture) -> None:
    expected_logs.append("the work failed, it is repeated")
    times = []

    async def story() -> None:
        loop = asyncio.get_running_loop()

        async def step() -> None:
            times.append(loop.time())
            if len(times) in (1, 2):
                raise ValueError("an error of the program")
            await asyncio.sleep(1)

        task = loop.create_task(run_forever(step, "the work", 10.0))
        await asyncio.sleep(22.5)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())
    assert times == pytest.approx([0, 10, 20, 21, 22])
    assert failures(caplog) == 1


def test_work_is_repeated_until_it_is_done(
    expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append("the check failed, it is repeated")
    calls: list[float] = []

    async def check() -> bool:
        calls.append(asyncio.get_running_loop().time())
        if len(calls) in (1, 2):
            raise ValueError("an error of the program")
        return len(calls) == 4

    async def story() -> None:
        await run_until_done(check, "the check", 60.0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())
    assert [later - calls[0] for later in calls] == [0.0, 60.0, 120.0, 180.0]
    assert failures(caplog) == 1
