"""The bus between processes, over a real Redis."""

import asyncio
import logging
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from tests.cluster.conftest import QUICK, THREAD, USER, Ears, Signs, message, process, settings
from tests.helpers.redis_server import RedisServer
from tornado_chat.cluster.redis_bus import RedisBus
from tornado_chat.core.events import ConversationAssigned, Event, TypingChanged
from tornado_chat.core.types import Conversation, ConversationState, Kind, Person, Role, Thread

LOST = "until it is back, the processes do not hear of each other"


async def gone_through(sender: RedisBus, *receivers: RedisBus) -> None:
    """Whatever ``sender`` has published is where it has to be."""
    for receiver in receivers:
        mark = Thread(Kind.INBOX, id(receiver))
        arrived: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        receiver.add_handler(arrived.set_result, TypingChanged)
        await receiver.subscribe(mark)
        sender.publish(TypingChanged(mark, USER, True))
        await arrived
        receiver.unsubscribe(mark)


@pytest.mark.gen_test
async def test_who_has_tuned_in_hears_everything_in_order_and_once(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there, process(cluster) as elsewhere:
        own, ears, others = Ears(here), Ears(there), Ears(elsewhere)
        await there.subscribe(THREAD)
        await here.subscribe(THREAD)
        for seq in range(1, 2501):
            here.publish(message(seq))
            assert own.seqs[-1] == seq
        assert await ears.until(2500) == list(range(1, 2501))
        await gone_through(here, there, elsewhere)
        assert ears.seqs == own.seqs == list(range(1, 2501))
        assert others.seqs == []
        assert ears.heard[0] == message(1)


@pytest.mark.gen_test
async def test_what_is_published_right_after_tuning_in_is_heard(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there:
        ears = Ears(there)
        for id in range(1, 101):
            thread = Thread(Kind.SESSION, id)
            await there.subscribe(thread)
            here.publish(message(id, thread))
        assert await ears.until(100) == list(range(1, 101))


@pytest.mark.gen_test
async def test_tuning_in_and_out_within_a_turn_ends_as_said_last(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there:
        ears = Ears(there)
        first = asyncio.ensure_future(there.subscribe(THREAD))
        await asyncio.sleep(0)
        there.unsubscribe(THREAD)
        second = asyncio.ensure_future(there.subscribe(THREAD))
        await asyncio.gather(first, second)
        here.publish(message(1))
        assert await ears.until(1) == [1]
        there.unsubscribe(THREAD)
        await there.subscribe(THREAD)
        here.publish(message(2))
        assert await ears.until(2) == [1, 2]
        await there.subscribe(THREAD)
        there.unsubscribe(THREAD)
        await gone_through(here, there)
        assert not await here.has_remote_subscriber(THREAD)


@pytest.mark.gen_test
async def test_many_channels_at_once(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there:
        ears = Ears(there)
        threads = [Thread(Kind.SUPPORT, id) for id in range(1, 2001)]
        await asyncio.gather(*(there.subscribe(thread) for thread in threads))
        for thread in threads:
            here.publish(message(thread.id, thread))
        assert await ears.until(2000) == list(range(1, 2001))


@pytest.mark.gen_test
async def test_an_event_for_two_people_comes_once(redis: RedisServer) -> None:
    cluster = settings(redis)
    waiter = Person(Role.WAITER, "1")
    row = Conversation(
        id=1, user=USER, user_name=None, user_uuid="u", state=ConversationState.ACTIVE, last_seq=0, created=1,
        waiter=waiter,
    )  # fmt: skip
    async with process(cluster) as here, process(cluster) as there:
        heard: list[Event] = []
        there.add_handler(heard.append, ConversationAssigned)
        await asyncio.gather(there.subscribe(USER), there.subscribe(waiter))
        here.publish(ConversationAssigned(row, "the first free one"))
        await gone_through(here, there)
        assert heard == [ConversationAssigned(row, "the first free one")]


@pytest.mark.gen_test
async def test_whether_somebody_listens_elsewhere(redis: RedisServer) -> None:
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there:
        assert not await here.has_remote_subscriber(THREAD)
        await here.subscribe(THREAD)
        assert not await here.has_remote_subscriber(THREAD)
        assert await there.has_remote_subscriber(THREAD)
        await there.subscribe(THREAD)
        assert await here.has_remote_subscriber(THREAD)


@pytest.mark.gen_test
async def test_two_installations_on_one_redis_do_not_hear_each_other(redis: RedisServer) -> None:
    async with process(settings(redis)) as here, process(settings(redis)) as there:
        await there.subscribe(THREAD)
        assert not await here.has_remote_subscriber(THREAD)


@pytest.mark.gen_test
async def test_a_redis_that_dies_and_comes_back_empty(
    own_redis: RedisServer, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append(LOST)
    caplog.set_level(logging.INFO, "tornado_chat.cluster")
    cluster, here_signs, there_signs = settings(own_redis), Signs(), Signs()
    async with process(cluster, here_signs) as here, process(cluster, there_signs) as there:
        ears = Ears(there)
        await there.subscribe(THREAD)
        own_redis.stop()
        await here_signs.until(lambda: here_signs.away == 1)
        await there_signs.until(lambda: there_signs.away == 1)
        assert not here.link.is_connected
        assert "cannot be reached: Connection refused" in here.problem or "Connection closed" in here.problem
        assert not await here.has_remote_subscriber(THREAD)
        # Nothing waits for it, and nobody is told of an error.
        here.publish(message(1))
        other = Thread(Kind.SESSION, 5)
        await there.subscribe(other)
        own_redis.start()
        await here_signs.until(lambda: here_signs.back > 0)
        await there_signs.until(lambda: there_signs.back > 0)
        assert here.link.is_connected
        assert not here.problem
        here.publish(message(2))
        here.publish(message(3, other))
        assert await ears.until(2) == [2, 3]
    lines = [
        record.getMessage() for record in caplog.records if record.name == "tornado_chat.cluster.redis_link"
    ]
    assert sum(LOST in line for line in lines) == 2  # one of each process
    assert sum("is back after" in line for line in lines) == 2


@pytest.mark.gen_test
async def test_a_redis_that_hangs_is_noticed_and_nobody_waits_for_it(
    own_redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    cluster, signs = settings(own_redis), Signs()
    async with process(cluster, signs, QUICK) as here:
        own_redis.freeze()
        here.publish(message(1))
        tuning_in = asyncio.ensure_future(here.subscribe(THREAD))
        listens = asyncio.ensure_future(here.has_remote_subscriber(THREAD))
        await signs.until(lambda: signs.away == 1)
        await tuning_in
        assert not await listens
        assert here.problem.endswith("does not answer")
        own_redis.resume()
        await signs.until(lambda: signs.back == 1)


@pytest.mark.gen_test
async def test_who_could_not_say_something_asks_the_others_to_look(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    cluster, here_signs, there_signs = settings(redis), Signs(), Signs()
    async with process(cluster, here_signs) as here, process(cluster, there_signs) as there:
        # Only the publisher's connections break.
        name = f"tornado_chat-{here.link.process}"
        clients = (await there.link.execute("CLIENT", "LIST")).decode().splitlines()
        for client in clients:
            fields = dict(field.split("=", 1) for field in client.split())
            if fields["name"] == name:
                await there.link.execute("CLIENT", "KILL", "ID", fields["id"])
        await here_signs.until(lambda: here_signs.away == 1)
        here.publish(message(1))
        await there_signs.until(lambda: there_signs.back == 1)
        assert not there_signs.away


@pytest.mark.gen_test
async def test_a_process_that_starts_without_redis_finds_it_later(
    own_redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    own_redis.stop()
    cluster, signs = settings(own_redis), Signs()
    async with process(cluster, signs) as here:
        assert not here.link.is_connected
        assert here.problem.startswith("Redis at 127.0.0.1:")
        await here.subscribe(THREAD)
        own_redis.start()
        await signs.until(lambda: signs.back == 1)
        async with process(cluster) as there:
            assert await there.has_remote_subscriber(THREAD)


@pytest.mark.gen_test
async def test_what_another_version_says_is_passed_over_and_told_once(
    redis: RedisServer, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append("is not understood")
    cluster = settings(redis)
    async with process(cluster) as here, process(cluster) as there:
        ears = Ears(there)
        await there.subscribe(THREAD)
        channel = here.link.key(f"thread:{THREAD.kind:d}:{THREAD.id}")
        for _ in range(3):
            await here.link.execute("PUBLISH", channel, b"no envelope")
        here.publish(message(1))
        assert await ears.until(1) == [1]
    assert sum("is not understood" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.gen_test
async def test_a_redis_whose_disk_is_full_goes_on_carrying_events(memory: Path, tmp_path: Path) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    server = RedisServer(memory / f"redis-{tmp_path.name}", "--enable-protected-configs", "yes")
    with server:
        cluster = settings(server)
        async with (
            process(cluster, link_timings=QUICK) as here,
            process(cluster, link_timings=QUICK) as there,
        ):
            await here.link.execute("CONFIG", "SET", "dir", str(folder), "save", "3600 1")
            folder.rmdir()
            await here.link.execute("BGSAVE")
            while b"rdb_last_bgsave_status:err" not in await here.link.execute("INFO", "persistence"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            with pytest.raises(ResponseError, match="MISCONF"):
                await here.link.execute("PING")
            ears = Ears(there)
            await there.subscribe(THREAD)
            await asyncio.sleep(4 * QUICK.ping_seconds)  # some signs of life
            here.publish(message(1))
            assert await ears.until(1) == [1]
            assert here.link.is_connected
