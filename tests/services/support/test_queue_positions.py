"""Who hears of its place when, in lines of any length."""

import asyncio
from collections.abc import Iterator
from itertools import islice

import pytest

from scripts.simulation.clock import VirtualLoop
from tornado_chat.core.types import ExpectedWait
from tornado_chat.services.support.queue_positions import HEAD_LENGTH, QueuePositions


class One:
    def __init__(self, number: int) -> None:
        self.number = number
        self.published_position = self.published_serving = 0
        self.published_wait: ExpectedWait | None = None
        self.published_at = float("-inf")


class Line:
    """Moves as it is told to; everything that was said is counted."""

    def __init__(self, length: int) -> None:
        self.waiting = [One(number) for number in range(length)]
        self.said = 0
        self.serving = 0
        loop = asyncio.get_running_loop()
        self.teller = QueuePositions(
            loop, 1.0, self._between, lambda: len(self.waiting), lambda: self.serving, self._say
        )

    def move(self) -> None:
        del self.waiting[0]
        self.teller.changed()

    def _between(self, start: int, stop: int) -> Iterator[tuple[int, One]]:
        return enumerate(islice(self.waiting, start, stop), start + 1)

    def _say(self, one: One, place: int, serving: int, expected: ExpectedWait | None) -> None:
        assert self.waiting[place - 1] is one
        assert serving == self.serving
        self.said += 1

    @property
    def wrong(self) -> list[int]:
        return [
            place
            for place, one in enumerate(self.waiting, 1)
            if (one.published_position, one.published_serving) != (place, self.serving)
        ]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


@pytest.mark.parametrize("length", [2, HEAD_LENGTH, HEAD_LENGTH + 1, 3 * HEAD_LENGTH, 1000, 4321])
def test_when_the_line_stands_everybody_knows_its_place(runner: asyncio.Runner, length: int) -> None:
    async def stand() -> list[int]:
        line = Line(length)
        line.teller.changed()
        await asyncio.sleep(2 * length / HEAD_LENGTH + 2)
        line.move()
        line.move()
        await asyncio.sleep(2 * length / HEAD_LENGTH + 2)
        return line.wrong

    assert runner.run(stand()) == []


def test_the_first_hundred_hear_in_the_next_round(runner: asyncio.Runner) -> None:
    async def move() -> list[int]:
        line = Line(5000)
        line.teller.changed()
        await asyncio.sleep(200)
        line.move()
        await asyncio.sleep(1.1)
        return line.wrong

    wrong = runner.run(move())
    assert wrong
    assert min(wrong) > HEAD_LENGTH


def test_a_line_that_moves_all_the_time_is_told_little_and_never_forgets_anybody(
    runner: asyncio.Runner,
) -> None:
    async def move() -> None:
        line = Line(10_000)
        line.teller.changed()
        await asyncio.sleep(300)
        assert line.wrong == []
        before, rounds = line.said, 500
        for _ in range(rounds):
            for _ in range(5):
                line.move()
            await asyncio.sleep(1)
        assert line.said - before < rounds * 10 * HEAD_LENGTH  # all would be a hundred times HEAD_LENGTH
        now = asyncio.get_running_loop().time()
        for place, one in enumerate(line.waiting, 1):
            assert now - one.published_at <= max(2, 4 * place / HEAD_LENGTH + 2), (
                f"{place} has not heard for long"
            )

    runner.run(move())


def test_who_was_told_just_now_is_told_after_the_pause(runner: asyncio.Runner) -> None:
    async def ask() -> None:
        line = Line(2)
        asker = line.waiting[1]
        line.teller.changed()
        await asyncio.sleep(0.5)
        line.teller.publish(asker, 2)
        line.move()
        await asyncio.sleep(0.6)
        assert line.said == 1  # the round has come too early for the asker
        await asyncio.sleep(1)
        assert line.wrong == []

    runner.run(ask())


@pytest.mark.parametrize("length", [2, 3 * HEAD_LENGTH])
def test_a_change_of_the_serving_waiters_is_published_to_the_whole_queue(
    runner: asyncio.Runner, length: int
) -> None:
    async def change() -> None:
        line = Line(length)
        line.teller.changed()
        await asyncio.sleep(20)
        line.serving = 2
        line.teller.changed()
        await asyncio.sleep(1.1)
        assert [place for place in line.wrong if place <= HEAD_LENGTH] == []
        await asyncio.sleep(20)
        assert line.wrong == []

    runner.run(change())
