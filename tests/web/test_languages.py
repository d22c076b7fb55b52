"""The language of errors and system messages: the one that the client asks for, else the server's."""

import json

import pytest

from tests.conftest import Harness, Peer, token
from tornado_chat.wire.parsing import parse_language

VISITOR = token("user", 1, "Lin")
COUNSELLOR = token("consultant", 2, "Chen")

EMPTY = {"zh_CN": "错误: 消息不能为空", "en": "Error: The message is empty"}
JOINED = {"zh_CN": "来访者 Lin已进入会话", "en": "Visitor Lin has joined the session"}


@pytest.mark.parametrize(
    ("asked", "language"),
    [("en", "en"), ("en-GB", "en"), (" ZH-cn", "zh_CN"), ("zh_TW", "zh_CN"), ("fr", None), ("", None)],
)
def test_the_languages_that_clients_ask_for(asked: str, language: str | None) -> None:
    assert parse_language(asked) == language


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("asked", "language"), [("en", "en"), ("zh-CN", "zh_CN"), ("fr", "zh_CN"), ("", "zh_CN")]
)
@pytest.mark.parametrize("features", ["", "&features=ack"])
async def test_a_participant_reads_its_language(
    harness: Harness, asked: str, language: str, features: str
) -> None:
    session = await harness.session()
    chat = await harness.connect(f"/chat?token={VISITOR}&sessionId={session}&language={asked}{features}")
    assert (await chat.recv_json())["msg"] == JOINED[language]
    await chat.send_json({"msg": " ", "id": "a"})
    assert (await chat.recv_json())["msg"] == EMPTY[language]


@pytest.mark.gen_test
async def test_participants_of_one_session_read_different_languages(harness: Harness) -> None:
    session = await harness.session()
    plain = await harness.chat(VISITOR, session)
    english = await harness.connect(f"/chat?token={COUNSELLOR}&sessionId={session}&language=en")
    await plain.recv_json()
    texts = {
        plain: ["咨询师 Chen已进入会话", "会话已开始"],
        english: ["Counsellor Chen has joined the session", "The session has started"],
    }
    for client, expected in texts.items():
        assert [(await client.recv_json())["msg"] for _ in expected] == expected
    await english.close(4000)
    assert (await plain.recv_json())["msg"] == "会话已结束"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("language", "reason"),
    [("zh", "会话 77 不存在"), ("en", "There is no session 77"), ("", "There is no session 77")],
)
async def test_the_reason_of_a_close_code(harness: Harness, language: str, reason: str) -> None:
    chat = await harness.connect(f"/chat?token={VISITOR}&sessionId=77&language={language}")
    closed = await chat.wait_closed()
    assert (closed.code, closed.reason) == (4404, reason)


@pytest.mark.gen_test
async def test_a_refused_newer_token(harness: Harness) -> None:
    listener = await harness.connect(f"/notify?token={COUNSELLOR}&features=token&language=en")
    await listener.send_json({"token": VISITOR})
    refused = await listener.recv_json()
    assert refused["msg"] == "Error: The new token has to be of the same person and role"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "Not connected to a waiter, send connect first"), (None, "尚未连接客服, 请先发送 connect")],
)
async def test_support(harness: Harness, language: str | None, text: str) -> None:
    user = Peer(await harness.connect("/v1/ws/user/connect"))
    await user.get("initialize")
    await user.send_frame("auth", {"token": VISITOR} | ({"language": language} if language else {}))
    await user.send_frame("message_text", {"message": "hello"})
    assert (await user.get("error"))["payload"]["message"] == text


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("accepted", "detail"),
    [
        (None, "There is no session 77"),
        ("en-GB", "There is no session 77"),
        ("zh-CN", "会话 77 不存在"),
        ("fr, zh;q=0.5", "会话 77 不存在"),
    ],
)
async def test_the_problems_of_the_api(harness: Harness, accepted: str | None, detail: str) -> None:
    headers = {} if accepted is None else {"Accept-Language": accepted}
    answer = await harness.api("GET", "/api/v1/sessions/77", VISITOR, **headers)
    assert answer.code == 404
    assert json.loads(answer.body)["detail"] == detail
