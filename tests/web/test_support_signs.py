"""The features read and kickout of support, and the queue in the status."""

import json

import pytest

from tests.conftest import Harness, token


@pytest.mark.gen_test
async def test_read_positions_are_sent_and_stored(harness: Harness) -> None:
    waiter = await harness.waiter(7, features=["read"])
    user = await harness.user(1, features=["read", "ack"])
    await user.until("connect_success")
    address = (await waiter.until("new_connection"))["payload"]["uuid"]
    for n in range(2):
        await user.send_frame("message_text", {"message": f"{n}"})
        await user.until("message_text_success")
    await waiter.send_frame("read", {"seq": 2}, to=address)
    shown = await user.until("read")
    assert (shown["payload"], shown["from"]) == ({"seq": 2}, waiter.uuid)
    mine = await waiter.until("read")
    assert (mine["payload"], mine["from"]) == ({"seq": 2}, waiter.uuid)
    await user.close(1001)
    await waiter.close(1001)
    user, waiter = await harness.user(1, features=["read"]), await harness.waiter(7, features=["read"])
    assert (await user.until("read"))["payload"] == {"seq": 2}
    again = await waiter.until("read")
    assert (again["payload"], again["from"]) == ({"seq": 2}, waiter.uuid)
    await waiter.send_frame("read", {"seq": 1})
    assert "to" in (await waiter.until("error"))["payload"]["message"]


@pytest.mark.gen_test
async def test_a_new_sign_in_closes_sockets_with_the_feature_kickout(harness: Harness) -> None:
    plain = await harness.waiter(7)
    first = await harness.waiter(7, features=["kickout"])
    user = await harness.user(1)
    await user.until("connect_success")
    second = await harness.waiter(7, features=["kickout"])
    await first.until("kickout")
    assert (await first.client.wait_closed()).code == 4409
    address = (await second.until("new_connection"))["payload"]["uuid"]
    await second.send_frame("message_text", {"message": "here I am"}, to=address)
    assert (await user.until("message_text"))["payload"]["message"] == "here I am"
    await plain.send_frame("message_text", {"message": "me too"}, to=address)
    assert (await user.until("message_text"))["payload"]["message"] == "me too"


@pytest.mark.gen_test
async def test_of_many_sign_ins_before_ready_the_newest_remains(harness: Harness) -> None:
    peers = [await harness.waiter(7, ready=False, features=["kickout", "ack"]) for _ in range(5)]
    for older in peers[:-1]:
        await older.until("kickout")
        assert (await older.client.wait_closed()).code == 4409
    await peers[-1].until("auth_success")
    await peers[-1].send_frame("ready")
    await harness.user(1)
    await peers[-1].until("new_connection")


@pytest.mark.gen_test
async def test_the_status_names_the_first_waiting_users(harness: Harness) -> None:
    for id in (3, 1):
        peer = await harness.user(id, name=f"N{id}")
        await peer.get("connect_queue")
    answer = await harness.api("GET", "/api/v1/support/status", token("waiter", 7))
    queue = json.loads(answer.body)["queue"]
    assert queue["length"] == 2
    assert [(one["id"], one["name"]) for one in queue["first"]] == [("3", "N3"), ("1", "N1")]
    assert queue["first"][0]["since"] == queue["waiting_since"]
