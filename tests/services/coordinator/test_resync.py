"""Looking for what the bus did not bring."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.services.support.test_dispatcher import until
from tornado_chat.core.types import Thread
from tornado_chat.services.coordinator import resync
from tornado_chat.services.coordinator.resync import Resynchronizer


class Part:
    """All that is asked to look, and counts it."""

    is_coordinator = True
    threads: tuple[Thread, ...] = ()

    def __init__(self) -> None:
        self.looked = self.told = self.signs = 0
        self.fault: Exception | None = None
        self.somebody = False

    async def resync(self) -> None:
        self.looked += 1
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault

    async def set(self) -> None:
        self.signs += 1

    async def is_set_by_any_process(self) -> bool:
        return self.somebody

    def republish(self) -> None:
        self.told += 1


@asynccontextmanager
async def looking(part: Part) -> AsyncIterator[Resynchronizer]:
    looking = Resynchronizer(part, part, part, part, part, part, part)  # type: ignore[arg-type]
    looking.start(asyncio.get_running_loop())
    yield looking
    await looking.stop()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync, "OUTAGE_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(resync, "CHECK_INTERVAL_SECONDS", 0.01)


def reaches(part: Part, looks: int) -> Callable[[], bool]:
    return lambda: part.looked >= looks


@pytest.mark.gen_test
async def test_while_the_bus_is_away_there_is_one_look_after_the_other() -> None:
    part = Part()
    async with looking(part) as looks:
        looks.on_disconnect()
        await until(reaches(part, 10))
        looks.request()  # one has asked for it just before: that does not bring the bus back
        await until(reaches(part, 30))
        assert part.signs >= 10  # that others may know
        assert part.told == 0  # nobody elsewhere would hear it
        looks.on_reconnect()
        await until(lambda: part.told == 1)


@pytest.mark.gen_test
async def test_a_look_that_fails_is_not_the_last(expected_logs: list[str]) -> None:
    expected_logs.append("missed events could not be read, trying again")
    part = Part()
    part.fault = ValueError("an error of the program")
    async with looking(part) as looks:
        looks.request()
        await until(lambda: part.told == 1)


@pytest.mark.gen_test
async def test_while_another_process_is_cut_off_there_is_one_look_after_the_other() -> None:
    part = Part()
    async with looking(part):
        await asyncio.sleep(0.05)
        assert part.looked == 0
        part.somebody = True
        await until(reaches(part, 10))
