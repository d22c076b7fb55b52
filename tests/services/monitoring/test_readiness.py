"""Readiness: problems of the database and of other parts."""

import asyncio

import pytest

from tests.delivery.conftest import turns
from tornado_chat.core.errors import Unavailable
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.monitoring.readiness import Readiness


class Database:
    """A store whose writes end when the test says so."""

    def __init__(self) -> None:
        self.writes: list[asyncio.Future[None]] = []

    def write(self, work: object) -> asyncio.Future[None]:
        self.writes.append(asyncio.get_running_loop().create_future())
        return self.writes[-1]


@pytest.mark.gen_test
async def test_a_server_without_problems_is_ready(store: Store) -> None:
    readiness = Readiness(store, asyncio.get_running_loop(), {"redis": lambda: ""})
    assert await readiness.problems() == {}
    assert readiness.ready == {"database": True, "redis": True}


@pytest.mark.gen_test
async def test_each_part_reports_its_own_problem(store: Store) -> None:
    problem = "connection refused"
    readiness = Readiness(store, asyncio.get_running_loop(), {"redis": lambda: problem, "server": lambda: ""})
    assert await readiness.problems() == {"redis": "connection refused"}
    assert readiness.ready == {"database": True, "redis": False, "server": True}
    problem = ""
    assert await readiness.problems() == {}


@pytest.mark.gen_test
async def test_the_cause_of_a_failed_write_is_the_problem() -> None:
    database = Database()
    readiness = Readiness(database, asyncio.get_running_loop(), {})  # type: ignore[arg-type]
    asking = asyncio.ensure_future(readiness.problems(60))
    await turns()
    error = Unavailable("not_stored")
    error.__cause__ = OSError("disk full")
    database.writes[0].set_exception(error)
    assert await asking == {"database": "disk full"}
    assert readiness.ready == {"database": False}


@pytest.mark.gen_test
async def test_a_database_that_hangs_is_probed_once_and_recovers() -> None:
    database = Database()
    readiness = Readiness(database, asyncio.get_running_loop(), {})  # type: ignore[arg-type]
    for _ in range(3):
        assert list(await readiness.problems(0)) == ["database"]
    assert "no answer within" in (await readiness.problems(0))["database"]
    assert len(database.writes) == 1
    database.writes[0].set_result(None)
    assert await readiness.problems(60) == {}
    asking = asyncio.ensure_future(readiness.problems(60))
    await turns()
    database.writes[1].set_result(None)
    assert await asking == {}
