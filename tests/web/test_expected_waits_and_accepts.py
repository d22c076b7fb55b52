"""Over real sockets: the expected wait, users that an agent has to confirm, and scores."""

import json
from typing import Any

import pytest

from tests.conftest import Harness, Peer, changed, on_both, token
from tornado_chat import config

pytestmark = on_both

HOST = token("service", "host")
SOON_SECONDS = 0.3
LATE_SECONDS = 3600.0


async def confirmed(harness: Harness, waiter: Peer) -> str:
    """Return the address of the user that the waiter has got, after it has confirmed the user."""
    user = str((await waiter.until("new_connection"))["payload"]["uuid"])
    await waiter.send_frame("accept", to=user)
    await waiter.until("accept_success")
    return user


async def group(harness: Harness) -> dict[str, Any]:
    answer = await harness.api("GET", "/api/v1/groups", HOST)
    return dict(json.loads(answer.body)["items"][0])


class TestExpectedWait:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", capacity=1, queue_interval=0.05)

    @pytest.mark.gen_test
    async def test_clients_with_the_feature_are_told_once_there_is_enough_data(
        self, harness: Harness
    ) -> None:
        waiter = await harness.waiter(7)
        for id in range(1, 5):
            user = await harness.user(id)
            await user.until("connect_success")
            await user.send_frame("disconnect")
            await user.until("disconnected")
        served = await harness.user(5)
        await served.until("connect_success")
        asking, plain = await harness.user(6, features=["eta"]), await harness.user(7)
        assert (await asking.get("connect_queue"))["payload"] == {"location": 1}
        assert (await plain.get("connect_queue"))["payload"] == {"location": 2}
        assert (await group(harness))["expected_wait"] is None
        await served.send_frame("disconnect")  # the fifth conversation
        await asking.get("connect_success")
        assert (await plain.get("connect_queue"))["payload"] == {"location": 1}
        last = await harness.user(8, features=["eta"])
        estimate = {"seconds": 60.0, "based_on": 5, "places": 1}
        assert (await last.get("connect_queue"))["payload"] == {"location": 2, "eta": estimate}
        while (found := await group(harness))["expected_wait"] is None:
            pass
        assert (found["expected_wait"], found["based_on"]) == (60.0, 5)
        await waiter.send_frame("unready")
        await waiter.until("new_connection")
        await asking.send_frame("disconnect")
        while "eta" in (await last.get("connect_queue"))["payload"]:  # no agent is on duty any more
            pass


class TestAccept:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", capacity=2, queue_interval=0.05, accept_timeout=SOON_SECONDS)

    @pytest.mark.gen_test
    async def test_a_user_that_is_not_confirmed_goes_to_the_next_agent(self, harness: Harness) -> None:
        silent = await harness.waiter(7, features=["accept"])
        user = await harness.user(1)
        found = (await silent.get("new_connection"))["payload"]
        assert found == {"uuid": user.uuid, "accept_within": SOON_SECONDS}
        await user.until("connect_success")
        other = await harness.waiter(8, features=["accept"])
        lost = await silent.get("disconnected")
        assert (lost["from"], lost["payload"], lost["reason"]) == (user.uuid, None, "not_accepted")
        assert await confirmed(harness, other) == user.uuid
        # A plain client is told of its place in the line, and of the next agent; there is no error.
        frame = await user.client.recv_json()
        if frame["type"] == "connect_queue":
            assert frame["payload"] == {"location": 1}
            frame = await user.client.recv_json()
        assert (frame["type"], frame["payload"]["uuid"]) == ("connect_success", other.uuid)

    @pytest.mark.gen_test
    async def test_a_plain_agent_that_does_not_answer_is_paused_and_told(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        user = await harness.user(1)
        for _ in range(2):
            assert (await waiter.get("new_connection"))["payload"] == {"uuid": user.uuid}
            lost = await waiter.client.recv_json()
            if lost["type"] == "error":  # it is paused before the commit is known to its process
                assert "暂停接待" in lost["payload"]["message"]
                lost = await waiter.client.recv_json()
                assert set(lost) == {"id", "to", "type", "payload", "from"}
                break
            assert lost["type"] == "disconnected"
        else:
            assert "暂停接待" in (await waiter.get("error"))["payload"]["message"]
        status = json.loads((await harness.api("GET", "/api/v1/support/status", HOST)).body)
        assert [each["ready"] for each in status["waiters"]] == [False]
        assert status["queue"]["length"] == 1
        await waiter.send_frame("ready")
        await waiter.get("new_connection")


class TestConfirmation:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", accept_timeout=LATE_SECONDS)

    @pytest.mark.gen_test
    @pytest.mark.parametrize("sign", ["accept", "typing", "message_text"])
    async def test_a_sign_of_life_confirms(self, harness: Harness, sign: str) -> None:
        waiter = await harness.waiter(7, features=["accept"])
        user = await harness.user(1, features=["typing"])
        await waiter.get("new_connection")
        await waiter.send_frame(sign, {"message": "hi"} if sign == "message_text" else None, to=user.uuid)
        again: dict[str, Any] = {"accept_within": LATE_SECONDS}
        while again["accept_within"]:
            other = await harness.waiter(7, features=["accept"])
            again = (await other.get("new_connection"))["payload"]
            await other.close()
        await user.until("connect_success")


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return changed(settings, "support", capacity=1, queue_interval=0.05)


@pytest.mark.gen_test
async def test_a_score_moves_a_waiting_user(harness: Harness) -> None:
    line = [await harness.user(id, features=["seq"]) for id in (1, 2, 3)]
    numbers = [(await peer.get("connect_queue"))["payload"]["conversation"] for peer in line]
    path = f"/api/v1/support/conversations/{numbers[2]}/priority"
    answer = await harness.api("POST", path, HOST, {"score": 90, "reason": "at risk"})
    assert json.loads(answer.body) == {
        "conversation": numbers[2],
        "state": "waiting",
        "score": 90,
        "reason": "at risk",
    }
    assert (await line[2].get("connect_queue"))["payload"]["location"] == 1
    assert (await line[0].get("connect_queue"))["payload"]["location"] == 2
    for who in (token("user", 3), token("waiter", 7), token("consultant", 5)):
        assert (await harness.api("POST", path, who, {"score": 1})).code == 403
    for score in (-1, 101, "9"):
        assert (await harness.api("POST", path, HOST, {"score": score})).code == 400
    waiter = await harness.waiter(7)
    assert (await waiter.get("new_connection"))["payload"]["uuid"] == line[2].uuid
