"""Reports between processes that the database has gone back to an older copy, with a real Redis."""

import asyncio

import pytest

from tests.cluster.conftest import settings
from tests.helpers.redis_server import RedisServer
from tornado_chat.aio.clock import now_microseconds
from tornado_chat.server import cluster_mode
from tornado_chat.server.cluster_mode import Clustered


@pytest.mark.gen_test
async def test_a_process_starts_afresh_if_another_one_noticed_that_the_database_went_back(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append("reports that the database has gone back to an older copy")
    cluster, loop = settings(redis), asyncio.get_running_loop()
    before = now_microseconds()
    here, there = Clustered(cluster, loop), Clustered(cluster, loop)
    reported = asyncio.Event()
    there.on_other_went_back(reported.set)
    for each in (here, there):
        await each.bus.start()
    # It was noticed before that process has read the database.
    here.announce_went_back(before)
    await there.bus.link.synchronize()
    await here.bus.link.flush()
    await there.bus.link.synchronize()
    assert not reported.is_set()
    here.announce_went_back(now_microseconds())
    await reported.wait()
    for each in (here, there):
        await each.bus.stop()


@pytest.mark.gen_test
async def test_a_report_arrives_when_redis_is_back(
    own_redis: RedisServer, expected_logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_mode, "REPORT_INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(cluster_mode, "REPORT_COUNT", 1000)
    expected_logs += ["reports that the database has gone back", "until it is back"]
    cluster, loop = settings(own_redis), asyncio.get_running_loop()
    own_redis.stop()
    here, there = Clustered(cluster, loop), Clustered(cluster, loop)
    reported = asyncio.Event()
    there.on_other_went_back(reported.set)
    for each in (here, there):
        await each.bus.start()
    here.announce_went_back(now_microseconds())
    own_redis.start()
    await reported.wait()
    for each in (here, there):
        await each.bus.stop()
