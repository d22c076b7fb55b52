"""Tests of the bus between processes, with a real Redis."""

import asyncio
import logging
import re
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from tests.cluster.conftest import (
    LINK_TIMINGS,
    SHORT_LINK_TIMINGS,
    THREAD,
    USER,
    EventRecorder,
    LinkObserver,
    message,
    process,
    settings,
)
from tests.helpers.redis_server import RedisServer
from tornado_chat.cluster.redis_bus import RedisBus
from tornado_chat.core.events import ConversationAssigned, Event, TypingChanged
from tornado_chat.core.types import Conversation, ConversationState, Kind, Person, Role, Thread

LOST = "until it is back, the processes receive no events of each other"


async def wait_delivered(sender: RedisBus, *receivers: RedisBus) -> None:
    """Wait until all that ``sender`` has published has arrived at ``receivers``."""
    for receiver in receivers:
        mark = Thread(Kind.INBOX, id(receiver))
        arrived: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        receiver.add_handler(arrived.set_result, TypingChanged)
        await receiver.subscribe(mark)
        sender.publish(TypingChanged(mark, USER, True))
        await arrived
        receiver.unsubscribe(mark)


@pytest.mark.gen_test
async def test_a_subscriber_receives_all_events_in_order_and_once(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there, process(cluster) as elsewhere:
        own, recorder, others = EventRecorder(here), EventRecorder(there), EventRecorder(elsewhere)
        await there.subscribe(THREAD)
        await here.subscribe(THREAD)
        for seq in range(1, 2501):
            here.publish(message(seq))
            assert own.seqs[-1] == seq
        assert await recorder.until(2500) == list(range(1, 2501))
        await wait_delivered(here, there, elsewhere)
        assert recorder.seqs == own.seqs == list(range(1, 2501))
        assert others.seqs == []
        assert recorder.events[0] == message(1)


@pytest.mark.gen_test
async def test_an_event_published_right_after_subscribe_is_received(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there:
        recorder = EventRecorder(there)
        for id in range(1, 101):
            thread = Thread(Kind.SESSION, id)
            await there.subscribe(thread)
            here.publish(message(id, thread))
        assert await recorder.until(100) == list(range(1, 101))


@pytest.mark.gen_test
async def test_the_last_of_several_subscribe_and_unsubscribe_calls_in_one_turn_counts(
    redis: RedisServer,
) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there:
        recorder = EventRecorder(there)
        first = asyncio.ensure_future(there.subscribe(THREAD))
        await asyncio.sleep(0)
        there.unsubscribe(THREAD)
        second = asyncio.ensure_future(there.subscribe(THREAD))
        await asyncio.gather(first, second)
        here.publish(message(1))
        assert await recorder.until(1) == [1]
        there.unsubscribe(THREAD)
        await there.subscribe(THREAD)
        here.publish(message(2))
        assert await recorder.until(2) == [1, 2]
        await there.subscribe(THREAD)
        there.unsubscribe(THREAD)
        await wait_delivered(here, there)
        assert not await here.has_remote_subscriber(THREAD)


@pytest.mark.gen_test
async def test_many_channels_at_once(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there:
        recorder = EventRecorder(there)
        threads = [Thread(Kind.SUPPORT, id) for id in range(1, 2001)]
        await asyncio.gather(*(there.subscribe(thread) for thread in threads))
        for thread in threads:
            here.publish(message(thread.id, thread))
        assert await recorder.until(2000) == list(range(1, 2001))


@pytest.mark.gen_test
async def test_an_event_on_two_channels_is_received_once(redis: RedisServer) -> None:
    cluster = settings(redis)
    waiter = Person(Role.WAITER, "1")
    row = Conversation(
        id=1, user=USER, user_name=None, user_uuid="u", state=ConversationState.ACTIVE, last_seq=0, created=1,
        waiter=waiter,
    )  # fmt: skip
    async with process(cluster) as here, process(cluster) as there:
        received: list[Event] = []
        there.add_handler(received.append, ConversationAssigned)
        await asyncio.gather(there.subscribe(USER), there.subscribe(waiter))
        here.publish(ConversationAssigned(row, "the first free one"))
        await wait_delivered(here, there)
        assert received == [ConversationAssigned(row, "the first free one")]


@pytest.mark.gen_test
async def test_has_remote_subscriber(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there:
        assert not await here.has_remote_subscriber(THREAD)
        await here.subscribe(THREAD)
        assert not await here.has_remote_subscriber(THREAD)
        assert await there.has_remote_subscriber(THREAD)
        await there.subscribe(THREAD)
        assert await here.has_remote_subscriber(THREAD)


@pytest.mark.gen_test
async def test_two_installations_on_one_redis_are_separate(redis: RedisServer) -> None:
    async with process(settings(redis)) as here, process(settings(redis)) as there:
        await there.subscribe(THREAD)
        assert not await here.has_remote_subscriber(THREAD)


@pytest.mark.gen_test
async def test_a_redis_that_dies_and_comes_back_empty(
    own_redis: RedisServer, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append(LOST)
    caplog.set_level(logging.INFO, "tornado_chat.cluster")
    cluster, here_link, there_link = settings(own_redis), LinkObserver(), LinkObserver()
    async with process(cluster, here_link) as here, process(cluster, there_link) as there:
        recorder = EventRecorder(there)
        await there.subscribe(THREAD)
        own_redis.stop()
        await here_link.until(lambda: here_link.disconnect_count == 1)
        await there_link.until(lambda: there_link.disconnect_count == 1)
        assert not here.link.is_connected
        assert "cannot be reached: Connection refused" in here.problem or "Connection closed" in here.problem
        assert not await here.has_remote_subscriber(THREAD)
        # While disconnected, calls return immediately and raise no error.
        here.publish(message(1))
        other = Thread(Kind.SESSION, 5)
        await there.subscribe(other)
        own_redis.start()
        await here_link.until(lambda: here_link.reconnect_count > 0)
        await there_link.until(lambda: there_link.reconnect_count > 0)
        assert here.link.is_connected
        assert not here.problem
        here.publish(message(2))
        here.publish(message(3, other))
        assert await recorder.until(2) == [2, 3]
    lines = [
        record.getMessage() for record in caplog.records if record.name == "tornado_chat.cluster.redis_link"
    ]
    assert sum(LOST in line for line in lines) == 2  # one of each process
    assert sum("is back after" in line for line in lines) == 2


@pytest.mark.gen_test
async def test_a_redis_that_hangs_is_detected_and_no_call_waits_for_it(
    own_redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    cluster, observer = settings(own_redis), LinkObserver()
    async with process(cluster, observer, SHORT_LINK_TIMINGS) as here:
        own_redis.freeze()
        here.publish(message(1))
        subscribing = asyncio.ensure_future(here.subscribe(THREAD))
        has_subscriber = asyncio.ensure_future(here.has_remote_subscriber(THREAD))
        await observer.until(lambda: observer.disconnect_count == 1)
        await subscribing
        assert not await has_subscriber
        assert here.problem.endswith("does not answer")
        own_redis.resume()
        await observer.until(lambda: observer.reconnect_count == 1)


@pytest.mark.gen_test
async def test_a_process_that_has_dropped_events_makes_the_others_resync(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    cluster, here_link, there_link = settings(redis), LinkObserver(), LinkObserver()
    async with process(cluster, here_link) as here, process(cluster, there_link) as there:
        # Only the publisher's connections break.
        name = f"tornado_chat-{here.link.process}"
        clients = (await there.link.execute("CLIENT", "LIST")).decode().splitlines()
        for client in clients:
            fields = dict(field.split("=", 1) for field in client.split())
            if fields["name"] == name:
                await there.link.execute("CLIENT", "KILL", "ID", fields["id"])
        await here_link.until(lambda: here_link.disconnect_count == 1)
        here.publish(message(1))
        await there_link.until(lambda: there_link.reconnect_count == 1)
        assert not there_link.disconnect_count


@pytest.mark.gen_test
async def test_a_process_that_starts_without_redis_connects_later(
    own_redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    own_redis.stop()
    cluster, observer = settings(own_redis), LinkObserver()
    async with process(cluster, observer) as here:
        assert not here.link.is_connected
        assert here.problem.startswith("Redis at 127.0.0.1:")
        await here.subscribe(THREAD)
        own_redis.start()
        await observer.until(lambda: observer.reconnect_count == 1)
        async with process(cluster) as there:
            assert await there.has_remote_subscriber(THREAD)


@pytest.mark.gen_test
async def test_unknown_messages_are_ignored_and_logged_once(
    redis: RedisServer, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append("is not understood")
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there:
        recorder = EventRecorder(there)
        await there.subscribe(THREAD)
        channel = here.link.key(f"thread:{THREAD.kind:d}:{THREAD.id}")
        for _ in range(3):
            await here.link.execute("PUBLISH", channel, b"no envelope")
        here.publish(message(1))
        assert await recorder.until(1) == [1]
    assert sum("is not understood" in record.getMessage() for record in caplog.records) == 1


async def count_probes(bus: RedisBus) -> int:
    """Return how many probes the Redis server has answered: ECHO of senders, UNSUBSCRIBE of listeners."""
    stats = await bus.link.execute("INFO", "commandstats")
    return sum(int(calls) for calls in re.findall(rb"cmdstat_(?:echo|unsubscribe):calls=(\d+)", stats))


@pytest.mark.gen_test
async def test_a_redis_whose_disk_is_full_still_carries_events(memory: Path, tmp_path: Path) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    server = RedisServer(memory / f"redis-{tmp_path.name}", "--enable-protected-configs", "yes")
    with server:
        cluster = settings(server)
        async with (
            process(cluster, link_timings=LINK_TIMINGS) as here,
            process(cluster, link_timings=LINK_TIMINGS) as there,
        ):
            await here.link.execute("CONFIG", "SET", "dir", str(folder), "save", "3600 1")
            folder.rmdir()
            await here.link.execute("BGSAVE")
            while b"rdb_last_bgsave_status:err" not in await here.link.execute("INFO", "persistence"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            with pytest.raises(ResponseError, match="MISCONF"):
                await here.link.execute("PING")
            recorder = EventRecorder(there)
            await there.subscribe(THREAD)
            before = await count_probes(here)
            while await count_probes(here) < before + 4:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
            here.publish(message(1))
            assert await recorder.until(1) == [1]
            assert here.link.is_connected
