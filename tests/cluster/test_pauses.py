"""Redis or this process stands still for a while and goes on."""

import asyncio
import time

import pytest
import redis as redis_py

from tests.cluster.conftest import (
    LINK_TIMINGS,
    SHORT_LINK_TIMINGS,
    THREAD,
    EventRecorder,
    LinkObserver,
    message,
    process,
    settings,
)
from tests.cluster.test_bus import LOST
from tests.cluster.test_leader_election import ELECTION_TIMINGS, Node, until
from tests.helpers.redis_server import RedisServer
from tornado_chat.aio.clock import boot_seconds
from tornado_chat.cluster.codec import EVENTS, Codec
from tornado_chat.cluster.lease import RedisLease
from tornado_chat.cluster.redis_bus import channel_name

TTL_SECONDS = 0.3


async def wait_for_the_end_of_a_lease() -> None:
    end = boot_seconds() + TTL_SECONDS
    await until(lambda: boot_seconds() > end)


@pytest.mark.gen_test
async def test_a_lease_counts_from_before_the_request(own_redis: RedisServer) -> None:
    cluster = settings(own_redis)
    async with process(cluster) as here:
        lease = RedisLease(here.link, asyncio.get_running_loop(), TTL_SECONDS)
        own_redis.freeze()
        acquiring = asyncio.create_task(lease.acquire(renew=False))
        await wait_for_the_end_of_a_lease()
        own_redis.resume()
        assert await acquiring is None  # Redis has given it, but that is too long ago
        assert not lease.is_held
        assert await lease.acquire(renew=False) == here.link.process
        assert lease.is_held


@pytest.mark.gen_test
async def test_a_lease_has_ended_as_soon_as_a_suspended_process_goes_on(redis: RedisServer) -> None:
    async with process(settings(redis)) as here:
        lease = RedisLease(here.link, asyncio.get_running_loop(), TTL_SECONDS)
        assert await lease.acquire(renew=False) == here.link.process
        # The same turn of the loop goes on after the suspension, as with SIGSTOP and SIGCONT.
        time.sleep(TTL_SECONDS + 0.05)  # noqa: ASYNC251
        assert not lease.is_held


@pytest.mark.gen_test
async def test_a_process_whose_begin_takes_longer_than_its_lease_does_not_coordinate(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append("its lease has expired while it began")
    node = Node(settings(redis), ELECTION_TIMINGS)
    node.coordinator.may_begin.clear()
    await node.bus.start()
    starting = asyncio.create_task(node.member.start())
    await until(lambda: node.member.status()["part"] == "beginning")
    time.sleep(ELECTION_TIMINGS.ttl_seconds + 0.1)  # noqa: ASYNC251 - the process is suspended
    node.coordinator.may_begin.set()
    await starting
    assert not node.member.is_coordinator
    assert not node.coordinator.active
    await until(lambda: node.member.is_coordinator)  # by a new lease
    await node.stop()


@pytest.mark.gen_test
async def test_synchronize_receives_what_was_published_while_the_process_stood_still(
    redis: RedisServer,
) -> None:
    codec = Codec(EVENTS)
    async with process(settings(redis)) as here:
        recorder = EventRecorder(here)
        await here.subscribe(THREAD)
        with redis_py.Redis(port=redis.port) as other:
            for seq in range(1, 501):  # blocks the loop
                payload = codec.encode("other", seq, message(seq))
                other.publish(here.link.key(channel_name(THREAD)), payload)
        assert not recorder.seqs
        assert await here.link.synchronize()
        assert recorder.seqs == list(range(1, 501))
        assert all(await asyncio.gather(*(here.link.synchronize() for _ in range(50))))


@pytest.mark.gen_test
async def test_synchronize_fails_while_redis_stands_still(
    own_redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    observer = LinkObserver()
    async with process(settings(own_redis), observer, SHORT_LINK_TIMINGS) as here:
        own_redis.freeze()
        assert not await here.link.synchronize()
        await observer.until(lambda: observer.disconnect_count == 1)
        assert not await here.link.synchronize()
        own_redis.resume()
        await observer.until(lambda: observer.reconnect_count == 1)
        assert await here.link.synchronize()


@pytest.mark.parametrize("seconds", [0.1, 0.8])
@pytest.mark.gen_test
async def test_a_short_pause_of_redis_loses_nothing_and_ends_no_connection(
    seconds: float, own_redis: RedisServer
) -> None:
    cluster, observer = settings(own_redis), LinkObserver()
    async with (
        process(cluster, link_timings=LINK_TIMINGS) as here,
        process(cluster, observer, LINK_TIMINGS) as there,
    ):
        recorder = EventRecorder(there)
        await there.subscribe(THREAD)
        own_redis.freeze()
        for seq in range(1, 101):
            here.publish(message(seq))
        await asyncio.sleep(seconds)
        own_redis.resume()
        assert await recorder.until(100) == list(range(1, 101))
        assert not observer.disconnect_count
