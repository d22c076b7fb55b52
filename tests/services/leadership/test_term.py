"""Terms: the items buffered at the start, and the settling."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from scripts.simulation.clock import VirtualLoop
from tornado_chat.services.leadership.term import Term


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


def new(settle_seconds: float = 0.0) -> tuple[Term[str], list[float]]:
    """Return a term, and the times at which it settled."""
    loop = asyncio.get_running_loop()
    settled: list[float] = []
    return Term(loop, settle_seconds, lambda: settled.append(loop.time())), settled


def test_only_items_during_the_reading_are_buffered() -> None:
    async def story() -> None:
        term, _ = new()
        term.buffer("before")
        with term.starting() as buffered:
            term.buffer("meanwhile")
            assert not term.is_running
        term.buffer("later")
        assert buffered == ["meanwhile"]
        assert term.is_running
        term.end()
        with term.starting() as buffered:
            pass
        assert buffered == []

    live(story)


def test_a_term_whose_reading_fails_has_not_started() -> None:
    async def story() -> None:
        term, settled = new(settle_seconds=2)
        with pytest.raises(ValueError, match="away"), term.starting() as buffered:
            raise ValueError("away")
        term.buffer("later")
        await asyncio.sleep(10)
        assert buffered == []
        assert not term.is_running
        assert not term.is_settling
        assert settled == []

    live(story)


def test_a_term_settles_once_after_its_time() -> None:
    async def story() -> None:
        term, settled = new(settle_seconds=2)
        with term.starting():
            await asyncio.sleep(1)
            assert not term.is_settling
        assert term.is_settling
        await asyncio.sleep(10)
        assert not term.is_settling
        assert settled == [pytest.approx(3)]

    live(story)


def test_a_term_that_has_ended_does_not_settle() -> None:
    async def story() -> None:
        term, settled = new(settle_seconds=2)
        with term.starting():
            pass
        await asyncio.sleep(1)
        term.end()
        assert not term.is_running
        assert not term.is_settling
        await asyncio.sleep(10)
        assert settled == []

    live(story)


def test_a_single_process_needs_no_settling() -> None:
    async def story() -> None:
        term, settled = new()
        with term.starting():
            pass
        assert term.is_running
        assert not term.is_settling
        await asyncio.sleep(10)
        assert settled == []

    live(story)
