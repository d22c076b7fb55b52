"""Queue positions, the order of users, and the choice of waiters."""

import asyncio

import pytest

from tests.conftest import Harness, Peer, changed, on_both
from tornado_chat import config

pytestmark = on_both


async def next_position(peer: Peer) -> int:
    frame = await peer.get("connect_queue")
    assert set(frame) == {"id", "to", "type", "payload"}
    assert set(frame["payload"]) == {"location"}
    return int(frame["payload"]["location"])


async def queued_users(harness: Harness, *ids: int) -> list[Peer]:
    """Connect users that wait in this order, and wait for the position of each."""
    line = [await harness.user(id) for id in ids]
    assert [await next_position(peer) for peer in line] == list(range(1, len(ids) + 1))
    return line


async def assert_no_frame(peer: Peer) -> None:
    """Check that the peer's next frame is the answer to a new request."""
    asked = await peer.send_frame("nonsense")
    assert (await peer.get("error"))["reply_id"] == asked


async def new_user(waiter: Peer) -> str:
    return str((await waiter.get("new_connection"))["payload"]["uuid"])


async def assigned_user(user: Peer) -> str:
    return str((await user.until("connect_success"))["payload"]["uuid"])


async def ready_waiters(harness: Harness, *ids: int) -> list[Peer]:
    """Connect waiters, and wait until their ``ready`` is handled."""
    waiters = [await harness.waiter(id) for id in ids]
    for waiter in waiters:
        await assert_no_frame(waiter)
    return waiters


class TestOneAtATime:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", capacity=1)

    @pytest.mark.gen_test
    async def test_all_positions_advance_after_a_match(self, harness: Harness) -> None:
        line = await queued_users(harness, 1, 2, 3)
        waiter = await harness.waiter(7)
        assert await new_user(waiter) == line[0].uuid
        assert [await next_position(line[1]), await next_position(line[2])] == [1, 2]
        await line[0].get("connect_success")

    @pytest.mark.gen_test
    async def test_only_later_positions_advance_after_a_leave(self, harness: Harness) -> None:
        line = await queued_users(harness, 1, 2, 3)
        await line[1].send_frame("disconnect")
        await line[1].get("disconnected")
        assert await next_position(line[2]) == 2
        await assert_no_frame(line[0])
        await assert_no_frame(line[1])

    @pytest.mark.gen_test
    async def test_a_user_that_joins_again_is_last(self, harness: Harness) -> None:
        line = await queued_users(harness, 1, 2)
        await line[0].send_frame("disconnect")
        await line[0].send_frame("connect")
        await line[0].get("disconnected")
        assert await next_position(line[0]) == 2
        assert await next_position(line[1]) == 1

    @pytest.mark.gen_test
    async def test_a_second_connect_changes_nothing(self, harness: Harness) -> None:
        line = await queued_users(harness, 1, 2)
        await line[0].send_frame("connect")
        assert await next_position(line[0]) == 1
        await assert_no_frame(line[1])
        waiter = await harness.waiter(7)
        assert await new_user(waiter) == line[0].uuid
        assert await assigned_user(line[0]) == waiter.uuid
        await line[0].send_frame("connect")
        assert await assigned_user(line[0]) == waiter.uuid
        await waiter.send_frame("ready")
        await assert_no_frame(waiter)

    @pytest.mark.gen_test
    async def test_first_come_first_served(self, harness: Harness) -> None:
        line = await queued_users(harness, 5, 3, 4, 1, 2)
        waiter = await harness.waiter(7)
        for user in line:
            assert await new_user(waiter) == user.uuid
            assert await assigned_user(user) == waiter.uuid
            await user.send_frame("message_text", {"message": "hello"})
            await waiter.get("message_text")
            await user.send_frame("disconnect")
            assert (await waiter.get("disconnected"))["from"] == user.uuid
        await assert_no_frame(waiter)

    @pytest.mark.gen_test
    async def test_both_tabs_of_a_user_get_positions(self, harness: Harness) -> None:
        line = await queued_users(harness, 1, 2)
        await line[0].send_frame("disconnect")
        await line[0].get("disconnected")
        tab = await harness.user(2)
        assert await next_position(tab) == 1
        assert await next_position(line[1]) == 1


class TestUpdateInterval:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", queue_interval=0.4)

    @pytest.mark.gen_test
    async def test_position_updates_are_rate_limited(self, harness: Harness) -> None:
        line = await queued_users(harness, 1, 2, 3, 4, 5)
        for user in line[:2]:
            await user.send_frame("disconnect")
            await user.get("disconnected")
        assert await next_position(line[4]) == 3  # without a frame for position 4 before it
        told = asyncio.get_running_loop().time()
        await line[2].send_frame("disconnect")
        assert await next_position(line[4]) == 2
        assert asyncio.get_running_loop().time() - told > 0.35


class TestTwoAtATime:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", capacity=2)

    @pytest.mark.gen_test
    async def test_a_waiter_gets_users_up_to_its_capacity(self, harness: Harness) -> None:
        line = await queued_users(harness, 1, 2, 3, 4)
        waiter = await harness.waiter(7)
        assert [await new_user(waiter), await new_user(waiter)] == [line[0].uuid, line[1].uuid]
        assert [await next_position(line[2]), await next_position(line[3])] == [1, 2]
        await assert_no_frame(waiter)
        # The end of a conversation waits until its earlier messages are read.
        await line[1].get("connect_success")
        await line[1].send_frame("message_text", {"message": "hello"})
        await waiter.get("message_text")
        await waiter.send_frame("disconnect", to=line[1].uuid)
        await waiter.get("disconnected")
        assert await new_user(waiter) == line[2].uuid
        assert await next_position(line[3]) == 1

    @pytest.mark.gen_test
    async def test_the_waiter_with_the_fewest_users_gets_the_next_user(self, harness: Harness) -> None:
        (busy,) = await ready_waiters(harness, 7)
        assert await assigned_user(await harness.user(1)) == busy.uuid
        (idle,) = await ready_waiters(harness, 8)
        assert await assigned_user(await harness.user(2)) == idle.uuid
        (newest,) = await ready_waiters(harness, 9)
        assert await assigned_user(await harness.user(3)) == newest.uuid

    @pytest.mark.gen_test
    async def test_among_equals_the_longest_idle_waiter_is_next(self, harness: Harness) -> None:
        waiters = await ready_waiters(harness, 7, 8, 9)
        turns = []
        for id in range(1, 7):
            user = await harness.user(id)
            turns.append(await assigned_user(user))
            await user.send_frame("disconnect")
            await user.get("disconnected")
        assert set(turns[:3]) == {waiter.uuid for waiter in waiters}
        assert turns[3:] == turns[:3]

    @pytest.mark.gen_test
    async def test_a_waiter_that_is_not_ready_gets_no_user(self, harness: Harness) -> None:
        waiter = await harness.waiter(7, ready=False)
        (user,) = await queued_users(harness, 1)
        await assert_no_frame(waiter)
        await waiter.send_frame("ready")
        assert await new_user(waiter) == user.uuid
        await user.get("connect_success")

    @pytest.mark.gen_test
    async def test_unready_keeps_users_and_stops_new_ones(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        first = await harness.user(1)
        assert await new_user(waiter) == first.uuid
        await first.until("connect_success")
        await waiter.send_frame("unready")
        await assert_no_frame(waiter)
        (second,) = await queued_users(harness, 2)
        await first.send_frame("message_text", {"message": "still there?"})
        assert (await waiter.get("message_text"))["payload"] == {"message": "still there?"}
        await waiter.send_frame("message_text", {"message": "yes"}, to=first.uuid)
        assert (await first.get("message_text"))["payload"] == {"message": "yes"}
        await waiter.send_frame("disconnect", to=first.uuid)
        await waiter.get("disconnected")
        await assert_no_frame(waiter)
        await assert_no_frame(second)
        await waiter.send_frame("ready")
        assert await new_user(waiter) == second.uuid

    @pytest.mark.gen_test
    async def test_a_disconnected_waiter_gets_no_user_until_it_returns(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        await assert_no_frame(waiter)
        await waiter.close(1001)
        (user,) = await queued_users(harness, 1)
        back = await harness.waiter(7)
        assert await new_user(back) == user.uuid
        await user.get("connect_success")
