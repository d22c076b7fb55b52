"""The queue, reconnects, and the loss of a waiter, over real sockets."""

import pytest

from tests.conftest import Harness, Peer, changed
from tornado_chat import config
from tornado_chat.server.server import Server


async def next_position(peer: Peer) -> int:
    return int((await peer.get("connect_queue"))["payload"]["location"])


async def text(peer: Peer) -> str:
    return str((await peer.until("message_text"))["payload"]["message"])


class TestOneAtATime:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", capacity=1, rejoin_grace=5.0)

    @pytest.mark.gen_test
    async def test_positions_advance_when_a_user_is_served_or_leaves(self, harness: Harness) -> None:
        users = [await harness.user(id) for id in range(1, 5)]
        assert [await next_position(user) for user in users] == [1, 2, 3, 4]
        await users[1].send_frame("disconnect")
        assert (await users[1].get("disconnected"))["payload"] is None
        assert [await next_position(user) for user in users[2:]] == [2, 3]
        waiter = await harness.waiter(7)
        assert (await waiter.get("new_connection"))["payload"] == {"uuid": users[0].uuid}
        assert [await next_position(user) for user in users[2:]] == [1, 2]
        await waiter.send_frame("disconnect", to=users[0].uuid)
        assert (await waiter.until("new_connection"))["payload"] == {"uuid": users[2].uuid}
        assert await next_position(users[3]) == 1

    @pytest.mark.gen_test
    async def test_a_dropped_user_keeps_its_position_and_is_not_matched(self, harness: Harness) -> None:
        first, second = await harness.user(1), await harness.user(2)
        assert [await next_position(first), await next_position(second)] == [1, 2]
        await first.close(1001)
        assert await next_position(second) == 1  # until the first user returns
        back = await harness.user(1)
        assert await next_position(back) == 1
        assert await next_position(second) == 2
        await back.close(1001)
        assert await next_position(second) == 1
        waiter = await harness.waiter(7)
        assert (await waiter.get("new_connection"))["payload"] == {"uuid": second.uuid}

    @pytest.mark.gen_test
    async def test_the_least_loaded_ready_waiter_gets_the_next_user(self, harness: Harness) -> None:
        busy, paused = await harness.waiter(7), await harness.waiter(8)
        await paused.send_frame("unready")
        one, two = await harness.user(1), await harness.user(2)
        await busy.get("new_connection")
        assert (await one.until("connect_success"))["payload"] == {"uuid": busy.uuid}
        assert await next_position(two) == 1
        idle = await harness.waiter(9)
        assert (await idle.get("new_connection"))["payload"] == {"uuid": two.uuid}


class TestReconnect:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", rejoin_grace=5.0)

    @pytest.mark.gen_test
    async def test_a_returning_user_gets_its_waiter_and_missed_messages(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        user = await harness.user(1)
        address = (await waiter.get("new_connection"))["payload"]["uuid"]
        await user.until("connect_success")
        await user.close(1001)
        for n in range(3):
            await waiter.send_frame("message_text", {"message": str(n)}, to=address)
        back = await harness.user(1)
        assert back.uuid != address
        assert (await back.get("connect_success"))["payload"] == {"uuid": waiter.uuid}
        assert [await text(back) for _ in range(3)] == ["0", "1", "2"]
        await back.send_frame("message_text", {"message": "here"})
        heard = await waiter.get("message_text")  # no frames about the loss and the return
        assert heard["from"] == address
        await waiter.send_frame("message_text", {"message": "good"}, to=address)
        assert await text(back) == "good"

    @pytest.mark.gen_test
    async def test_a_returning_waiter_gets_its_users_with_the_same_addresses(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        users = [await harness.user(id) for id in (1, 2)]
        known = {(await waiter.get("new_connection"))["payload"]["uuid"] for _ in users}
        for user in users:
            await user.until("connect_success")
        await waiter.close(1001)
        await users[0].send_frame("message_text", {"message": "are you there?"})
        back = await harness.waiter(7)
        assert {(await back.get("new_connection"))["payload"]["uuid"] for _ in users} == known
        heard = await back.get("message_text")
        assert (heard["from"], heard["payload"]["message"]) == (users[0].uuid, "are you there?")
        await back.send_frame("message_text", {"message": "yes"}, to=users[0].uuid)
        said = await users[0].get("message_text")
        assert said["from"] == waiter.uuid  # the address that the user knows is unchanged

    @pytest.mark.gen_test
    async def test_two_tabs_of_a_user_share_the_conversation(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        user = await harness.user(1)
        await waiter.get("new_connection")
        tab = await harness.user(1)
        await tab.until("connect_success")
        await waiter.send_frame("message_text", {"message": "both"}, to=user.uuid)
        assert await text(user) == await text(tab) == "both"
        await user.close()
        await tab.send_frame("message_text", {"message": "one is enough"})
        assert await text(waiter) == "one is enough"

    @pytest.mark.gen_test
    async def test_queue_and_conversations_survive_a_restart(
        self, harness: Harness, settings: config.Config
    ) -> None:
        waiter = await harness.waiter(7)
        user = await harness.user(1)
        await waiter.get("new_connection")
        await user.until("connect_success")
        await waiter.send_frame("unready")
        waiting = [await harness.user(id) for id in (2, 3)]
        assert [await next_position(peer) for peer in waiting] == [1, 2]
        await user.close(1001)
        await waiter.send_frame("message_text", {"message": "before the restart"}, to=user.uuid)
        await harness.server.stop()
        assert (await waiting[0].client.wait_closed()).code == 1006  # plain clients are cut

        harness.server = Server(settings)
        await harness.server.start()
        again = await harness.user(3)
        assert await next_position(again) == 1
        assert await next_position(await harness.user(2)) == 1  # user 2 joined first, so it is first
        assert await next_position(again) == 2
        user_again = await harness.user(1)
        assert (await user_again.get("connect_success"))["payload"] == {"uuid": waiter.uuid}
        assert await text(user_again) == "before the restart"
        waiter_again = await harness.waiter(7, ready=False)
        await waiter_again.send_frame("unready")
        assert (await waiter_again.get("new_connection"))["payload"] == {"uuid": user.uuid}


class TestLoss:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", rejoin_grace=0.3, capacity=1)

    @pytest.mark.gen_test
    async def test_the_user_of_a_lost_waiter_goes_first_with_its_messages(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        user = await harness.user(1)
        await waiter.get("new_connection")
        await user.until("connect_success")
        await user.send_frame("message_text", {"message": "my parcel"})
        assert await text(waiter) == "my parcel"
        other = await harness.user(2)
        assert await next_position(other) == 1
        await waiter.close()
        assert await next_position(user) == 1
        assert await next_position(other) == 2
        await user.send_frame("message_text", {"message": "anybody?"})
        next_one = await harness.waiter(8)
        assert (await next_one.get("new_connection"))["payload"] == {"uuid": user.uuid}
        assert [await text(next_one), await text(next_one)] == ["my parcel", "anybody?"]
        assert (await user.until("connect_success"))["payload"] == {"uuid": next_one.uuid}
        assert await next_position(other) == 1

    @pytest.mark.gen_test
    async def test_a_user_that_does_not_return_frees_its_waiter(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        user = await harness.user(1)
        await waiter.get("new_connection")
        other = await harness.user(2)
        assert await next_position(other) == 1
        await user.close()
        gone = await waiter.get("disconnected")
        assert gone["from"] == user.uuid
        assert (await waiter.get("new_connection"))["payload"] == {"uuid": other.uuid}

    @pytest.mark.gen_test
    async def test_a_user_is_transferred(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        user = await harness.user(1)
        await waiter.get("new_connection")
        await user.until("connect_success")
        await user.send_frame("message_text", {"message": "a hard question"})
        await text(waiter)
        nobody = await waiter.send_frame("transfer", {"waiter": 8}, to=user.uuid)
        assert (await waiter.get("error"))["reply_id"] == nobody
        expert = await harness.waiter(8)
        await expert.send_frame("get_history", to="x")  # answered after ready is handled
        await expert.get("error")
        asked = await waiter.send_frame("transfer", {"waiter": 8}, to=user.uuid)
        assert (await waiter.get("disconnected"))["from"] == user.uuid
        assert (await waiter.get("transfer_success"))["reply_id"] == asked
        assert (await expert.get("new_connection"))["payload"] == {"uuid": user.uuid}
        assert await text(expert) == "a hard question"
        assert (await user.get("connect_success"))["payload"] == {"uuid": expert.uuid}
        await expert.send_frame("message_text", {"message": "let me see"}, to=user.uuid)
        assert (await user.get("message_text"))["from"] == expert.uuid
