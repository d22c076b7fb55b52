"""The status of several processes of a machine, over their sockets."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.services.monitoring.test_aggregate_status import status
from tornado_chat.core.status import Status
from tornado_chat.observability.metrics import Metrics
from tornado_chat.services.monitoring import aggregate
from tornado_chat.services.monitoring.aggregate import StatusAggregator


class Reporter:
    """The status of one process, which may hang."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.hangs = False

    async def status(self) -> Status:
        if self.hangs:
            await asyncio.Event().wait()
        return status(self.number, 10 * self.number)

    async def probe_database(self) -> None:
        pass


def make_aggregator(directory: Path, number: int) -> tuple[StatusAggregator, Reporter]:
    reporter, metrics = Reporter(number), Metrics()
    metrics.endpoint_meters["chat"].open = number
    return StatusAggregator(reporter, metrics, number, directory), reporter  # type: ignore[arg-type]


@asynccontextmanager
async def running(directory: Path, *numbers: int) -> AsyncIterator[list[tuple[StatusAggregator, Reporter]]]:
    made = [make_aggregator(directory, number) for number in numbers]
    for aggregator, _ in made:
        await aggregator.start()
    yield made
    for aggregator, _ in made:
        await aggregator.stop()


@pytest.mark.gen_test
async def test_any_process_answers_for_all(tmp_path: Path) -> None:
    async with running(tmp_path, 1, 2, 3) as processes:
        for aggregator, _ in processes:
            merged = await aggregator.status()
            assert merged.sockets["chat"] == 60
            assert [each.number for each in merged.processes] == [1, 2, 3]
    assert os.listdir(tmp_path) == []


@pytest.mark.gen_test
async def test_metrics_have_the_number_of_their_process(tmp_path: Path) -> None:
    async with running(tmp_path, 1, 2) as processes:
        text = (await processes[1][0].metrics()).decode()
    for number in (1, 2):
        assert f'process="{number}"' in text


@pytest.mark.gen_test
async def test_a_single_process_opens_no_socket(tmp_path: Path) -> None:
    async with running(tmp_path, 0) as ((aggregator, _),):
        assert os.listdir(tmp_path) == []
        assert (await aggregator.status()).process.number == 0
        assert b"process=" not in await aggregator.metrics()


@pytest.mark.gen_test
async def test_a_process_that_was_killed_is_left_out(tmp_path: Path) -> None:
    async with running(tmp_path, 1, 2) as processes:
        killed, _ = processes.pop()
        assert killed._server is not None
        killed._server.close()  # its socket file stays, and refuses connections
        assert (tmp_path / "process-2.sock").exists()
        merged = await processes[0][0].status()
        assert [each.number for each in merged.processes] == [1]
        assert merged.problems == {}


@pytest.mark.gen_test
async def test_a_process_that_hangs_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    expected_logs.append("process 2 does not report its status: TimeoutError")
    monkeypatch.setattr(aggregate, "PROCESS_TIMEOUT_SECONDS", 0.05)
    async with running(tmp_path, 1, 2) as processes:
        processes[1][1].hangs = True
        merged = await processes[0][0].status()
        assert merged.problems == {"process 2": "does not answer"}
        assert [each.number for each in merged.processes] == [1]


@pytest.mark.gen_test
async def test_a_successor_keeps_its_socket_when_its_predecessor_stops(tmp_path: Path) -> None:
    async with running(tmp_path, 1):
        predecessor, _ = make_aggregator(tmp_path, 2)
        await predecessor.start()
        async with running(tmp_path, 2) as ((successor, _),):
            await predecessor.stop()
            assert [each.number for each in (await successor.status()).processes] == [1, 2]
            assert (tmp_path / "process-2.sock").exists()


@pytest.mark.gen_test
async def test_the_state_directory_may_have_a_long_path(tmp_path: Path) -> None:
    directory: Any = tmp_path / ("long" * 30)
    directory.mkdir()
    async with running(directory, 1, 2) as processes:
        assert (await processes[0][0].status()).sockets["chat"] == 30
