"""Grace timers: expiry, restart, stop, and uncertain presence."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from scripts.simulation.clock import VirtualLoop
from tornado_chat.services.leadership.grace_timers import RETRY_SECONDS, GraceTimers


class People:
    """Participants who may be absent, and the certainty about it.

    :ivar lost: the participants whose timer has expired, with the time.
    :ivar check_seconds: the seconds that ``is_certain`` takes.
    """

    def __init__(self, *away: str) -> None:
        self.away = set(away)
        self.sure = True
        self.check_seconds = 0.0
        self.lost: list[tuple[str, float]] = []
        self.loop = asyncio.get_running_loop()
        self.timers: GraceTimers[str] = GraceTimers(self.loop, self._sure, self.away.__contains__, self._over)

    async def _sure(self) -> bool:
        await asyncio.sleep(self.check_seconds)
        return self.sure

    async def _over(self, who: str) -> None:
        self.lost.append((who, self.loop.time()))


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


def test_each_timer_expires_once_at_its_time() -> None:
    async def story() -> None:
        people = People("an", "bo")
        people.timers.start("an", 10)
        people.timers.start("bo", 20)
        assert "an" in people.timers
        await asyncio.sleep(100)
        assert people.lost == [("an", pytest.approx(10)), ("bo", pytest.approx(20))]
        assert "an" not in people.timers

    live(story)


def test_a_timer_that_is_started_again_has_its_full_time() -> None:
    async def story() -> None:
        people = People("an")
        people.timers.start("an", 10)
        await asyncio.sleep(9)
        people.timers.start("an", 10)
        await asyncio.sleep(100)
        assert people.lost == [("an", pytest.approx(19))]

    live(story)


def test_a_stopped_timer_does_not_expire() -> None:
    async def story() -> None:
        people = People("an", "bo", "chen")
        for who in sorted(people.away):
            people.timers.start(who, 10)
        people.timers.stop("an")
        people.timers.stop("an")
        assert "an" not in people.timers
        await asyncio.sleep(5)
        people.timers.stop_all()
        await asyncio.sleep(100)
        assert people.lost == []

    live(story)


def test_timers_are_extended_while_the_presence_is_uncertain() -> None:
    async def story() -> None:
        people = People("an")
        people.sure = False
        people.timers.start("an", 10)
        await asyncio.sleep(10 + 1.5 * RETRY_SECONDS)
        assert people.lost == []
        assert "an" in people.timers
        people.sure = True
        await asyncio.sleep(100)
        assert people.lost == [("an", pytest.approx(10 + 2 * RETRY_SECONDS))]

    live(story)


@pytest.mark.parametrize(
    ("seconds", "end"), [(0.0, 10.0), (0.5, 10.0), (3.5, 11.5 + 1.5), (30.0, 38.0 + RETRY_SECONDS)]
)
def test_a_standstill_of_the_process_leaves_time_to_return(seconds: float, end: float) -> None:
    async def story() -> None:
        people = People("an", "bo")
        people.timers.start("an", 10)
        people.timers.start("bo", 10)
        await asyncio.sleep(8)
        people.loop._selector_clock.now += seconds  # type: ignore[attr-defined]
        await asyncio.sleep(1)
        people.away.discard("bo")  # its connection has waited for the process
        await asyncio.sleep(100)
        assert people.lost == [("an", pytest.approx(end))]

    live(story)


def test_a_process_that_is_always_late_ends_graces_too() -> None:
    async def story() -> None:
        people = People("an")
        people.timers.start("an", 10)
        for _ in range(10):
            await asyncio.sleep(1)
            people.loop._selector_clock.now += 8.0  # type: ignore[attr-defined]
        assert [who for who, _ in people.lost] == ["an"]

    live(story)


@pytest.mark.parametrize("sure", [True, False])
def test_a_return_during_the_check_for_certainty_counts(sure: bool) -> None:
    async def story() -> None:
        people = People("an")
        people.sure, people.check_seconds = sure, 3
        people.timers.start("an", 10)
        await asyncio.sleep(12)
        people.away.discard("an")
        await asyncio.sleep(100)
        assert people.lost == []
        assert "an" not in people.timers

    live(story)


def test_a_timer_started_during_the_check_for_certainty_has_its_full_time() -> None:
    async def story() -> None:
        people = People("an")
        people.check_seconds = 3
        people.timers.start("an", 10)
        await asyncio.sleep(12)
        people.timers.start("an", 10)
        await asyncio.sleep(100)
        assert people.lost == [("an", pytest.approx(12 + 10 + 3))]

    live(story)


@pytest.mark.parametrize("fault", ["check", "expiry"])
def test_an_error_of_the_program_does_not_forget_the_timer(fault: str, expected_logs: list[str]) -> None:
    expected_logs.append("the end of a grace failed, trying again")

    async def story() -> None:
        people = People("an")
        failures = [ValueError("an error of the program")]

        async def fail(*arguments: object) -> bool:
            if failures:
                raise failures.pop()
            return True

        if fault == "check":
            people.timers._is_certain = fail
        else:
            over = people.timers._on_expired

            async def fail_first(who: str) -> None:
                await fail()
                await over(who)

            people.timers._on_expired = fail_first
        people.timers.start("an", 10)
        await asyncio.sleep(100)
        assert people.lost == [("an", pytest.approx(10 + RETRY_SECONDS))]

    live(story)
