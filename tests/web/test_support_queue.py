"""Who is told which place in the line, who is next, and which waiter it gets."""

import asyncio

import pytest

from tests.conftest import House, Peer, changed, on_both
from tornado_chat import config

pytestmark = on_both


async def place(peer: Peer) -> int:
    frame = await peer.get("connect_queue")
    assert set(frame) == {"id", "to", "type", "payload"}
    assert set(frame["payload"]) == {"location"}
    return int(frame["payload"]["location"])


async def line_of(house: House, *ids: int) -> list[Peer]:
    """Users who wait, in this order, each told its place."""
    line = [await house.user(id) for id in ids]
    assert [await place(peer) for peer in line] == list(range(1, len(ids) + 1))
    return line


async def nothing_more(peer: Peer) -> None:
    """What the peer hears next is the answer to what it asks now."""
    asked = await peer.tell("nonsense")
    assert (await peer.get("error"))["reply_id"] == asked


async def new_user(waiter: Peer) -> str:
    return str((await waiter.get("new_connection"))["payload"]["uuid"])


async def served_by(user: Peer) -> str:
    return str((await user.until("connect_success"))["payload"]["uuid"])


async def at_work(house: House, *ids: int) -> list[Peer]:
    """Waiters whose ``ready`` has been heard."""
    waiters = [await house.waiter(id) for id in ids]
    for waiter in waiters:
        await nothing_more(waiter)
    return waiters


class TestOneAtATime:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", capacity=1)

    @pytest.mark.gen_test
    async def test_everybody_moves_up_when_the_first_is_matched(self, house: House) -> None:
        line = await line_of(house, 1, 2, 3)
        waiter = await house.waiter(7)
        assert await new_user(waiter) == line[0].uuid
        assert [await place(line[1]), await place(line[2])] == [1, 2]
        await line[0].get("connect_success")

    @pytest.mark.gen_test
    async def test_only_those_behind_move_up_when_one_leaves(self, house: House) -> None:
        line = await line_of(house, 1, 2, 3)
        await line[1].tell("disconnect")
        await line[1].get("disconnected")
        assert await place(line[2]) == 2
        await nothing_more(line[0])
        await nothing_more(line[1])

    @pytest.mark.gen_test
    async def test_who_leaves_and_joins_again_goes_to_the_end(self, house: House) -> None:
        line = await line_of(house, 1, 2)
        await line[0].tell("disconnect")
        await line[0].tell("connect")
        await line[0].get("disconnected")
        assert await place(line[0]) == 2
        assert await place(line[1]) == 1

    @pytest.mark.gen_test
    async def test_asking_again_is_answered_and_changes_nothing(self, house: House) -> None:
        line = await line_of(house, 1, 2)
        await line[0].tell("connect")
        assert await place(line[0]) == 1
        await nothing_more(line[1])
        waiter = await house.waiter(7)
        assert await new_user(waiter) == line[0].uuid
        assert await served_by(line[0]) == waiter.uuid
        await line[0].tell("connect")
        assert await served_by(line[0]) == waiter.uuid
        await waiter.tell("ready")
        await nothing_more(waiter)

    @pytest.mark.gen_test
    async def test_first_come_first_served(self, house: House) -> None:
        line = await line_of(house, 5, 3, 4, 1, 2)
        waiter = await house.waiter(7)
        for user in line:
            assert await new_user(waiter) == user.uuid
            assert await served_by(user) == waiter.uuid
            await user.tell("message_text", {"message": "hello"})
            await waiter.get("message_text")
            await user.tell("disconnect")
            assert (await waiter.get("disconnected"))["from"] == user.uuid
        await nothing_more(waiter)

    @pytest.mark.gen_test
    async def test_a_second_tab_does_not_keep_the_first_in_the_dark(self, house: House) -> None:
        line = await line_of(house, 1, 2)
        await line[0].tell("disconnect")
        await line[0].get("disconnected")
        tab = await house.user(2)
        assert await place(tab) == 1
        assert await place(line[1]) == 1


class TestAtMostOften:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", queue_interval=0.4)

    @pytest.mark.gen_test
    async def test_many_changes_make_one_update_and_the_next_one_waits(self, house: House) -> None:
        line = await line_of(house, 1, 2, 3, 4, 5)
        for user in line[:2]:
            await user.tell("disconnect")
            await user.get("disconnected")
        assert await place(line[4]) == 3  # not 4 first
        told = asyncio.get_running_loop().time()
        await line[2].tell("disconnect")
        assert await place(line[4]) == 2
        assert asyncio.get_running_loop().time() - told > 0.35


class TestTwoAtATime:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", capacity=2)

    @pytest.mark.gen_test
    async def test_a_waiter_gets_as_many_as_the_capacity_and_the_next_when_one_leaves(
        self, house: House
    ) -> None:
        line = await line_of(house, 1, 2, 3, 4)
        waiter = await house.waiter(7)
        assert [await new_user(waiter), await new_user(waiter)] == [line[0].uuid, line[1].uuid]
        assert [await place(line[2]), await place(line[3])] == [1, 2]
        await nothing_more(waiter)
        # Until a conversation has been looked through for what was said before, its end waits.
        await line[1].get("connect_success")
        await line[1].tell("message_text", {"message": "hello"})
        await waiter.get("message_text")
        await waiter.tell("disconnect", to=line[1].uuid)
        await waiter.get("disconnected")
        assert await new_user(waiter) == line[2].uuid
        assert await place(line[3]) == 1

    @pytest.mark.gen_test
    async def test_the_waiter_with_the_fewest_users_gets_the_next_one(self, house: House) -> None:
        (busy,) = await at_work(house, 7)
        assert await served_by(await house.user(1)) == busy.uuid
        (idle,) = await at_work(house, 8)
        assert await served_by(await house.user(2)) == idle.uuid
        (newest,) = await at_work(house, 9)
        assert await served_by(await house.user(3)) == newest.uuid

    @pytest.mark.gen_test
    async def test_among_equals_it_is_the_turn_of_who_has_waited_longest(self, house: House) -> None:
        waiters = await at_work(house, 7, 8, 9)
        turns = []
        for id in range(1, 7):
            user = await house.user(id)
            turns.append(await served_by(user))
            await user.tell("disconnect")
            await user.get("disconnected")
        assert set(turns[:3]) == {waiter.uuid for waiter in waiters}
        assert turns[3:] == turns[:3]

    @pytest.mark.gen_test
    async def test_a_waiter_that_is_not_ready_gets_nobody(self, house: House) -> None:
        waiter = await house.waiter(7, ready=False)
        (user,) = await line_of(house, 1)
        await nothing_more(waiter)
        await waiter.tell("ready")
        assert await new_user(waiter) == user.uuid
        await user.get("connect_success")

    @pytest.mark.gen_test
    async def test_after_unready_a_waiter_keeps_its_users_and_gets_no_more(self, house: House) -> None:
        waiter = await house.waiter(7)
        first = await house.user(1)
        assert await new_user(waiter) == first.uuid
        await first.until("connect_success")
        await waiter.tell("unready")
        await nothing_more(waiter)
        (second,) = await line_of(house, 2)
        await first.tell("message_text", {"message": "still there?"})
        assert (await waiter.get("message_text"))["payload"] == {"message": "still there?"}
        await waiter.tell("message_text", {"message": "yes"}, to=first.uuid)
        assert (await first.get("message_text"))["payload"] == {"message": "yes"}
        await waiter.tell("disconnect", to=first.uuid)
        await waiter.get("disconnected")
        await nothing_more(waiter)
        await nothing_more(second)
        await waiter.tell("ready")
        assert await new_user(waiter) == second.uuid

    @pytest.mark.gen_test
    async def test_a_waiter_that_is_away_gets_nobody_until_it_is_back(self, house: House) -> None:
        waiter = await house.waiter(7)
        await nothing_more(waiter)
        await waiter.close(1001)
        (user,) = await line_of(house, 1)
        back = await house.waiter(7)
        assert await new_user(back) == user.uuid
        await user.get("connect_success")
