"""Who is awaited, for how long, and whether that is the end of it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from scripts.simulation.clock import VirtualLoop
from tornado_chat.services.leadership.grace_timers import RETRY_SECONDS, GraceTimers


class People:
    """Two who may be away, and of whom it may be known.

    :ivar lost: who has not come back, and when that was said.
    :ivar finding_out: seconds until it is known whether anything is sure.
    """

    def __init__(self, *away: str) -> None:
        self.away = set(away)
        self.sure = True
        self.finding_out = 0.0
        self.lost: list[tuple[str, float]] = []
        self.loop = asyncio.get_running_loop()
        self.graces: GraceTimers[str] = GraceTimers(self.loop, self._sure, self.away.__contains__, self._over)

    async def _sure(self) -> bool:
        await asyncio.sleep(self.finding_out)
        return self.sure

    async def _over(self, who: str) -> None:
        self.lost.append((who, self.loop.time()))


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


def test_who_does_not_come_back_is_lost_once_when_the_time_is_over() -> None:
    async def story() -> None:
        people = People("an", "bo")
        people.graces.start("an", 10)
        people.graces.start("bo", 20)
        assert "an" in people.graces
        await asyncio.sleep(100)
        assert people.lost == [("an", pytest.approx(10)), ("bo", pytest.approx(20))]
        assert "an" not in people.graces

    live(story)


def test_who_is_awaited_anew_has_all_of_its_time_again() -> None:
    async def story() -> None:
        people = People("an")
        people.graces.start("an", 10)
        await asyncio.sleep(9)
        people.graces.start("an", 10)
        await asyncio.sleep(100)
        assert people.lost == [("an", pytest.approx(19))]

    live(story)


def test_nobody_is_lost_who_is_awaited_no_longer() -> None:
    async def story() -> None:
        people = People("an", "bo", "chen")
        for who in sorted(people.away):
            people.graces.start(who, 10)
        people.graces.stop("an")
        people.graces.stop("an")
        assert "an" not in people.graces
        await asyncio.sleep(5)
        people.graces.stop_all()
        await asyncio.sleep(100)
        assert people.lost == []

    live(story)


def test_nobody_is_lost_while_nothing_is_sure() -> None:
    async def story() -> None:
        people = People("an")
        people.sure = False
        people.graces.start("an", 10)
        await asyncio.sleep(10 + 1.5 * RETRY_SECONDS)
        assert people.lost == []
        assert "an" in people.graces
        people.sure = True
        await asyncio.sleep(100)
        assert people.lost == [("an", pytest.approx(10 + 2 * RETRY_SECONDS))]

    live(story)


@pytest.mark.parametrize("sure", [True, False])
def test_who_comes_back_while_that_is_found_out_is_not_lost(sure: bool) -> None:
    async def story() -> None:
        people = People("an")
        people.sure, people.finding_out = sure, 3
        people.graces.start("an", 10)
        await asyncio.sleep(12)
        people.away.discard("an")
        await asyncio.sleep(100)
        assert people.lost == []
        assert "an" not in people.graces

    live(story)


def test_who_comes_and_goes_while_that_is_found_out_has_all_of_its_time_again() -> None:
    async def story() -> None:
        people = People("an")
        people.finding_out = 3
        people.graces.start("an", 10)
        await asyncio.sleep(12)
        people.graces.start("an", 10)
        await asyncio.sleep(100)
        assert people.lost == [("an", pytest.approx(12 + 10 + 3))]

    live(story)
