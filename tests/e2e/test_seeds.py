"""The flows of the two published protocols, frame by frame, against the real process."""

import pytest

from tests.conftest import token
from tests.e2e.conftest import Process

VISITOR = token("user", 1, "小林")
COUNSELLOR = token("consultant", 2, "陈老师")
SUPERVISOR = token("supervisor", 3, "王督导")


def without_time(frame: dict[str, object]) -> dict[str, object]:
    assert isinstance(frame.pop("time"), str)
    return frame


def system(text: str) -> dict[str, object]:
    return {"isSystem": True, "system": True, "msg": text}


def said(text: str) -> dict[str, object]:
    return {"isSystem": False, "system": False, "msg": text}


@pytest.mark.gen_test
async def test_counselling_from_the_request_to_the_end(process: Process) -> None:
    harness = (await process.start()).harness

    # 弹窗通知: the consultant is notified of the new conversation.
    at_work = await harness.connect(f"/notify?token={COUNSELLOR}")
    session = await harness.session(user=1, consultant=2)
    assert without_time(await at_work.recv_json()) == {
        "type": 2,
        "msg": "您有新的对话",
        "data": {"sessionId": session},
    }

    # 在线聊天
    visitor = await harness.chat(VISITOR, session)
    assert without_time(await visitor.recv_json()) == system("来访者 小林已进入会话")
    counsellor = await harness.chat(COUNSELLOR, session)
    for client in (visitor, counsellor):
        assert without_time(await client.recv_json()) == system("咨询师 陈老师已进入会话")
        assert without_time(await client.recv_json()) == system("会话已开始")
    await visitor.send_json({"msg": "hello"})
    assert without_time(await counsellor.recv_json()) == said("hello")

    # The consultant asks a supervisor, who observes the session and answers in the record's chat.
    on_call = await harness.connect(f"/notify?token={SUPERVISOR}")
    record = await harness.record(session, supervisor=3)
    assert without_time(await on_call.recv_json()) == {
        "type": 2,
        "msg": "您有新的对话",
        "data": {"sessionId": record, "observeSessionId": session},
    }
    listening = await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={session}")
    beside = await harness.chat(COUNSELLOR, record, type=1)
    assert without_time(await beside.recv_json()) == system("咨询师 陈老师已进入会话")
    supervisor = await harness.chat(SUPERVISOR, record, type=1)
    for client in (beside, supervisor):
        assert without_time(await client.recv_json()) == system("督导 王督导已进入会话")
        assert without_time(await client.recv_json()) == system("会话已开始")
    await supervisor.send_json({"msg": "ask about sleep"})
    assert without_time(await beside.recv_json()) == said("ask about sleep")
    await counsellor.send_json({"msg": "how do you sleep?"})
    assert without_time(await visitor.recv_json()) == said("how do you sleep?")
    assert without_time(await listening.recv_json()) == {"msg": "how do you sleep?", "senderType": True}
    await visitor.send_json({"msg": "badly"})
    assert without_time(await counsellor.recv_json()) == said("badly")
    assert without_time(await listening.recv_json()) == {"msg": "badly", "senderType": False}

    # Ending the session closes all its sockets, but not the record.
    await visitor.close(4000)
    assert without_time(await counsellor.recv_json()) == system("会话已结束")
    assert (await counsellor.wait_closed()).code == 1000
    assert without_time(await listening.recv_json()) == {"msg": "会话已结束", "senderType": None}
    assert (await listening.wait_closed()).code == 1000
    await beside.send_json({"msg": "thank you"})
    assert without_time(await supervisor.recv_json()) == said("thank you")


@pytest.mark.gen_test
async def test_support_from_the_queue_to_the_departure(process: Process) -> None:
    harness = (await process.start("support.rejoin_grace=0.3")).harness

    # 用户端: the frames are the seed's own examples, which leave the id out.
    user = await harness.connect("/v1/ws/user/connect")
    hello = await user.recv_json()
    assert hello == {"id": hello["id"], "to": hello["to"], "type": "initialize", "payload": None}
    await user.send_json({"type": "auth", "payload": {"token": token("user", 4)}})
    await user.send_json({"type": "connect"})
    queued = await user.recv_json()
    assert queued == {
        "id": queued["id"],
        "to": hello["to"],
        "type": "connect_queue",
        "payload": {"location": 1},
    }

    # 客服端
    waiter = await harness.connect("/v1/ws/waiter/connect")
    welcome = await waiter.recv_json()
    assert welcome == {"id": welcome["id"], "to": welcome["to"], "type": "initialize", "payload": None}
    await waiter.send_json({"type": "auth", "payload": {"token": token("waiter", 5)}})
    await waiter.send_json({"type": "ready"})
    connection = await waiter.recv_json()
    assert connection == {
        "id": connection["id"],
        "from": hello["to"],
        "to": welcome["to"],
        "type": "new_connection",
        "payload": {"uuid": hello["to"]},
    }
    connected = await user.recv_json()
    assert connected == {
        "id": connected["id"],
        "from": welcome["to"],
        "to": hello["to"],
        "type": "connect_success",
        "payload": {"uuid": welcome["to"]},
    }

    await user.send_json({"type": "message_text", "payload": {"message": "你好，这是一条信息!"}})
    message = await waiter.recv_json()
    assert message == {
        "id": message["id"],
        "from": hello["to"],
        "to": welcome["to"],
        "type": "message_text",
        "payload": {"message": "你好，这是一条信息!"},
    }
    await waiter.send_json(
        {"to": hello["to"], "type": "message_text", "payload": {"message": "你好，这是一条信息!"}}
    )
    message = await user.recv_json()
    assert message == {
        "id": message["id"],
        "from": welcome["to"],
        "to": hello["to"],
        "type": "message_text",
        "payload": {"message": "你好，这是一条信息!"},
    }

    await user.close()
    parted = await waiter.recv_json()
    assert parted == {
        "id": parted["id"],
        "from": hello["to"],
        "to": welcome["to"],
        "type": "disconnected",
        "payload": None,
    }
