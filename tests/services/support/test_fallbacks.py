"""The times of fallback groups: one timer for all of them."""

import asyncio
from collections.abc import Iterator

import pytest

from scripts.simulation.clock import VirtualLoop
from tornado_chat.services.support.fallbacks import FallbackTimes


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


def test_each_conversation_is_due_at_its_time(runner: asyncio.Runner) -> None:
    async def wait() -> list[tuple[float, int]]:
        loop, due = asyncio.get_running_loop(), list[tuple[float, int]]()
        start = loop.time()
        times = FallbackTimes(loop, lambda number: due.append((loop.time() - start, number)))
        for number, seconds in ((1, 30.0), (2, 10.0), (3, 10.0), (4, 20.0)):
            times.add(number, start + seconds)
        await asyncio.sleep(15)
        times.add(5, start + 18.0)
        await asyncio.sleep(85)
        return due

    assert runner.run(wait()) == [(10.0, 2), (10.0, 3), (18.0, 5), (20.0, 4), (30.0, 1)]


def test_after_clear_nothing_is_due(runner: asyncio.Runner) -> None:
    async def wait() -> list[int]:
        loop, due = asyncio.get_running_loop(), list[int]()
        times = FallbackTimes(loop, due.append)
        times.add(1, loop.time() + 10)
        times.clear()
        times.add(2, loop.time() + 20)
        await asyncio.sleep(60)
        return due

    assert runner.run(wait()) == [2]


def test_a_conversation_may_be_due_again(runner: asyncio.Runner) -> None:
    async def wait() -> list[int]:
        loop, due = asyncio.get_running_loop(), list[int]()

        def on_due(number: int) -> None:
            due.append(number)
            if len(due) < 3:
                times.add(number, loop.time() + 5)

        times = FallbackTimes(loop, on_due)
        times.add(7, loop.time() + 5)
        await asyncio.sleep(60)
        return due

    assert runner.run(wait()) == [7, 7, 7]
