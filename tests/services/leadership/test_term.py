"""What is heard while a term begins, and when it has settled."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from scripts.simulation.clock import VirtualLoop
from tornado_chat.services.leadership.term import Term


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


def new(settling: float = 0.0) -> tuple[Term[str], list[float]]:
    """A term, and when it settled."""
    loop = asyncio.get_running_loop()
    settled: list[float] = []
    return Term(loop, settling, lambda: settled.append(loop.time())), settled


def test_only_what_is_heard_while_it_reads_is_kept() -> None:
    async def story() -> None:
        term, _ = new()
        term.overhear("before")
        with term.beginning() as overheard:
            term.overhear("meanwhile")
            assert not term.running
        term.overhear("later")
        assert overheard == ["meanwhile"]
        assert term.running
        term.end()
        with term.beginning() as overheard:
            pass
        assert overheard == []

    live(story)


def test_a_term_that_could_not_read_has_not_begun() -> None:
    async def story() -> None:
        term, settled = new(settling=2)
        with pytest.raises(ValueError, match="away"), term.beginning() as overheard:
            raise ValueError("away")
        term.overhear("later")
        await asyncio.sleep(10)
        assert overheard == []
        assert not term.running
        assert not term.settling
        assert settled == []

    live(story)


def test_it_settles_once_after_its_time() -> None:
    async def story() -> None:
        term, settled = new(settling=2)
        with term.beginning():
            await asyncio.sleep(1)
            assert not term.settling
        assert term.settling
        await asyncio.sleep(10)
        assert not term.settling
        assert settled == [pytest.approx(3)]

    live(story)


def test_one_that_ends_never_settles() -> None:
    async def story() -> None:
        term, settled = new(settling=2)
        with term.beginning():
            pass
        await asyncio.sleep(1)
        term.end()
        assert not term.running
        assert not term.settling
        await asyncio.sleep(10)
        assert settled == []

    live(story)


def test_who_is_alone_needs_not_settle() -> None:
    async def story() -> None:
        term, settled = new()
        with term.beginning():
            pass
        assert term.running
        assert not term.settling
        await asyncio.sleep(10)
        assert settled == []

    live(story)
