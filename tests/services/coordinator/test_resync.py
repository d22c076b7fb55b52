"""Resync: repeated during an outage, after it, and after an error."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.services.support.test_dispatcher import until
from tornado_chat.core.types import Thread
from tornado_chat.services.coordinator import resync
from tornado_chat.services.coordinator.resync import Resynchronizer


class Part:
    """All parts that the resynchronizer calls, in one; it counts the calls.

    :ivar resyncs: the number of calls of ``resync``; ``republished`` and ``flags_set`` count likewise.
    :ivar other_is_flagged: whether another process has set its partition flag.
    """

    is_coordinator = True
    threads: tuple[Thread, ...] = ()

    def __init__(self) -> None:
        self.resyncs = self.republished = self.flags_set = 0
        self.fault: Exception | None = None
        self.other_is_flagged = False

    async def resync(self) -> None:
        self.resyncs += 1
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault

    async def set(self) -> None:
        self.flags_set += 1

    async def is_set_by_any_process(self) -> bool:
        return self.other_is_flagged

    def republish(self) -> None:
        self.republished += 1


@asynccontextmanager
async def running(part: Part) -> AsyncIterator[Resynchronizer]:
    resynchronizer = Resynchronizer(part, part, part, part, part, part, part, part, part)  # type: ignore[arg-type]
    resynchronizer.start(asyncio.get_running_loop())
    yield resynchronizer
    await resynchronizer.stop()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync, "OUTAGE_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(resync, "CHECK_INTERVAL_SECONDS", 0.01)


def reaches(part: Part, count: int) -> Callable[[], bool]:
    return lambda: part.resyncs >= count


@pytest.mark.gen_test
async def test_resyncs_are_repeated_while_the_bus_is_away() -> None:
    part = Part()
    async with running(part) as resynchronizer:
        resynchronizer.on_disconnect()
        await until(reaches(part, 10))
        resynchronizer.request()  # a request does not mean that the bus is back
        await until(reaches(part, 70))
        assert part.flags_set >= 10  # the other processes learn of the outage
        assert part.republished == 0  # no other process would receive it
        resynchronizer.on_reconnect()
        await until(lambda: part.republished == 1)


@pytest.mark.gen_test
async def test_a_failed_resync_is_repeated(expected_logs: list[str]) -> None:
    expected_logs.append("missed events could not be read, trying again")
    part = Part()
    part.fault = ValueError("an error of the program")
    async with running(part) as resynchronizer:
        resynchronizer.request()
        await until(lambda: part.republished == 1)


@pytest.mark.gen_test
async def test_resyncs_are_repeated_while_another_process_has_lost_the_bus() -> None:
    part = Part()
    async with running(part):
        await asyncio.sleep(0.05)
        assert part.resyncs == 0
        part.other_is_flagged = True
        await until(reaches(part, 10))
