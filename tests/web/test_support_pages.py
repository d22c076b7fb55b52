"""Support features for web pages: resuming only, the same frames in all windows, profiles."""

import pytest

from tests.conftest import Harness, changed
from tornado_chat.config.sections import Config
from tornado_chat.server.server import Server


@pytest.mark.gen_test
async def test_resume_does_not_join_the_queue(harness: Harness) -> None:
    user = await harness.user(1, connect=False)
    asked = await user.send_frame("connect", {"resume": True})
    answer = await user.until("disconnected")
    assert answer["reply_id"] == asked
    assert "from" not in answer
    waiter = await harness.waiter(7)
    await user.send_frame("connect")
    await user.until("connect_success")
    await waiter.until("new_connection")
    again = await harness.user(1, connect=False)
    await again.send_frame("connect", {"resume": True})
    await again.until("connect_success")


@pytest.mark.gen_test
async def test_a_queue_position_is_resumed(harness: Harness) -> None:
    user = await harness.user(1)
    await user.get("connect_queue")
    again = await harness.user(1, connect=False)
    await again.send_frame("connect", {"resume": True})
    assert (await again.get("connect_queue"))["payload"] == {"location": 1}


@pytest.mark.gen_test
async def test_a_returned_user_may_go_on_writing(settings: Config) -> None:
    server = Server(changed(settings, "support", rejoin_grace=0.05))
    await server.start()
    harness = Harness(server, settings, [])
    user = await harness.user(1, features=["seq", "ack"])
    waiting = (await user.until("connect_queue"))["payload"]
    assert waiting == {"location": 1, "conversation": 1, "returned": False, "serving": 0}
    waiter = await harness.waiter(7)
    await user.until("connect_success")
    await waiter.close(1001)
    assert (await user.until("connect_queue"))["payload"] == {**waiting, "returned": True}
    await user.send_frame("message_text", {"message": "Are you there?"})
    await user.until("message_text_success")
    again = await harness.user(1, connect=False, features=["seq"])
    await again.send_frame("connect", {"resume": True})
    assert (await again.until("connect_queue"))["payload"]["returned"] is True
    for client in harness.clients:
        await client.close()
    await server.stop()


@pytest.mark.gen_test
async def test_feature_seq_tells_a_waiting_user_how_many_waiters_serve(settings: Config) -> None:
    server = Server(changed(settings, "support", capacity=1, queue_interval=0.01))
    await server.start()
    harness = Harness(server, settings, [])
    plain = await harness.user(1)
    assert (await plain.get("connect_queue"))["payload"] == {"location": 1}
    user = await harness.user(2, features=["seq"])
    expected = {"location": 2, "conversation": 2, "returned": False, "serving": 0}
    assert (await user.until("connect_queue"))["payload"] == expected
    waiter = await harness.waiter(7)
    assert (await plain.until("connect_success"))["payload"] == {"uuid": waiter.uuid}
    position = (await user.until("connect_queue"))["payload"]
    while position["location"] == 2:  # before the match
        position = (await user.until("connect_queue"))["payload"]
    assert position == {**expected, "location": 1, "serving": 1}
    late = await harness.user(3)
    assert (await late.get("connect_queue"))["payload"] == {"location": 2}
    for type, serving in (("unready", 0), ("ready", 1)):
        await waiter.send_frame(type)
        assert (await user.until("connect_queue"))["payload"]["serving"] == serving
    await waiter.send_frame("disconnect", to=plain.uuid)
    await user.until("connect_success")
    # A client without the feature was told of the new position alone, not of the number of waiters.
    assert (await late.get("connect_queue"))["payload"] == {"location": 1}
    for client in harness.clients:
        await client.close()
    await server.stop()


@pytest.mark.gen_test
async def test_the_last_conversation_can_be_read_after_its_end(harness: Harness) -> None:
    user, waiter = await harness.user(1), await harness.waiter(7, features=["ack"])
    address = (await waiter.until("new_connection"))["payload"]["uuid"]
    await user.until("connect_success")
    await user.close(1001)
    await waiter.send_frame("message_text", {"message": "Take the stairs"}, to=address)
    await waiter.until("message_text_success")
    await waiter.send_frame("disconnect", to=address)
    await waiter.until("disconnected")
    user = await harness.user(1, connect=False)
    await user.send_frame("get_history")
    items = (await user.until("message_history"))["payload"]["items"]
    assert [item["message"] for item in items] == ["Take the stairs"]


@pytest.mark.gen_test
async def test_a_user_without_conversations_has_no_history(harness: Harness) -> None:
    user = await harness.user(1, connect=False)
    await user.send_frame("get_history")
    await user.until("error")


@pytest.mark.gen_test
async def test_echo_reaches_all_windows_of_one_side(harness: Harness) -> None:
    features = ["seq", "echo", "ack", "read"]
    user, waiter = await harness.user(1, features=features), await harness.waiter(7, features=features)
    other = await harness.waiter(7, features=features)
    plain = await harness.waiter(7)
    connection = (await other.until("new_connection"))["payload"]
    address, number = connection["uuid"], connection["conversation"]
    await user.until("connect_success")
    await waiter.until("new_connection")
    await plain.until("new_connection")
    await waiter.send_frame("message_text", {"message": "Hello"}, to=address)
    shown = await other.until("message_text")
    assert shown["payload"] == {"message": "Hello"}
    assert (shown["from"], shown["seq"], shown["conversation"]) == (other.uuid, 1, number)
    heard = await user.until("message_text")
    assert heard["time"] == shown["time"] == (await waiter.until("message_text_success"))["payload"]["time"]
    await user.send_frame("message_text", {"message": "Hi"})
    mine = await user.until("message_text")
    assert (mine["from"], mine["seq"]) == (user.uuid, 2)
    only = await plain.get("message_text")  # the seed has no frames for messages of the own side
    assert (only["payload"], set(only)) == ({"message": "Hi"}, {"id", "to", "type", "payload", "from"})
    await waiter.send_frame("read", {"seq": 2}, to=address)
    seen = await other.until("read")
    assert (seen["from"], seen["conversation"]) == (other.uuid, number)


@pytest.mark.gen_test
async def test_profiles_describe_the_other_side(harness: Harness) -> None:
    user = await harness.user(1, name="Lin", features=["profile"])
    waiter = await harness.waiter(7, name="Chen", features=["profile"])
    found = (await user.until("connect_success"))["payload"]
    assert (found["name"], found["uuid"]) == ("Chen", waiter.uuid)
    came = (await waiter.until("new_connection"))["payload"]
    assert (came["name"], came["id"]) == ("Lin", "1")
    assert came["since"].startswith("20")


@pytest.mark.gen_test
async def test_ready_success_follows_the_open_conversations(harness: Harness) -> None:
    waiter, user = await harness.waiter(7, features=["ready", "ack"]), await harness.user(1)
    await waiter.until("ready_success")
    await user.until("connect_success")
    await waiter.until("new_connection")
    await waiter.close(1001)
    back = await harness.waiter(7, features=["ready", "ack"], ready=False)
    asked = await back.send_frame("unready")
    await back.get("auth_success")
    await back.get("new_connection")
    answer = await back.get("ready_success")
    assert (answer["reply_id"], answer["payload"]) == (asked, {"ready": False})
