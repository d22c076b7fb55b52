"""Refusals of `/chat`, `/notify` and `/observe`: close codes with a reason, error frames, Origin."""

from typing import Any

import pytest

from tests.conftest import Harness, changed, token
from tornado_chat import config
from tornado_chat.client import ConnectionClosed
from tornado_chat.storage.messages import MessageAppender

VISITOR = token("user", 1, "小林")


TOKENS = {
    "visitor": VISITOR,
    "expired": token("user", 1, lifetime=-60),
    "stranger": token("user", 9),
    "helper": token("consultant", 1),
    "supervisor": token("supervisor", 3),
    "admin": token("admin", 1),
    "host": token("service", "host"),
}
"""Tokens by name: each worker has another token, and the token would be in the name of the test."""


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("address", "code", "reason"),
    [
        ("/chat?sessionId=1&type=0", 4401, "No token was given"),
        ("/chat?token=junk&sessionId=1", 4401, "not a well-formed JWT"),
        ("/chat?token={expired}&sessionId=1", 4401, "expired"),
        ("/chat?token={visitor}", 4400, "sessionId"),
        ("/chat?token={visitor}&sessionId=one", 4400, "sessionId"),
        ("/chat?token={visitor}&sessionId=1&type=2", 4400, "type"),
        ("/chat?token={visitor}&sessionId=%FF", 4400, "sessionId"),
        ("/chat?token={visitor}&sessionId=99", 4404, "There is no session 99"),
        ("/chat?token={visitor}&sessionId=99&type=1", 4404, "There is no supervision record 99"),
        ("/chat?token={stranger}&sessionId=1", 4403, "You take no part"),
        ("/chat?token={helper}&sessionId=1", 4403, "You take no part"),
        ("/chat?token={supervisor}&sessionId=1", 4403, "You take no part"),
        ("/notify", 4401, "No token"),
        ("/notify?token={host}", 4403, "service"),
        ("/observe?token={visitor}&sessionId=1", 4403, "You take no part"),
        ("/observe?token={supervisor}&sessionId=1", 4403, "You take no part"),
        ("/observe?token={admin}&sessionId=99", 4404, "There is no session 99"),
    ],
)
async def test_a_refused_socket_is_closed_with_code_and_reason(
    harness: Harness, address: str, code: int, reason: str
) -> None:
    assert await harness.session(user=1, consultant=2) == 1
    client = await harness.connect(address.format_map(TOKENS))
    closed = await client.wait_closed()
    assert closed.code == code
    assert reason in closed.reason


@pytest.mark.gen_test
async def test_the_tenth_malformed_frame_closes_the_socket(harness: Harness) -> None:
    client = await harness.chat(VISITOR, await harness.session())
    await client.recv_json()
    bad: list[tuple[str | bytes, str]] = [
        ("hello", "不是有效的 JSON"),
        ("", "不是有效的 JSON"),
        ("[]", "格式不正确"),
        ('"hello"', "格式不正确"),
        ("{}", '{"msg": "…"}'),
        ('{"msg": 1}', "$.msg"),
        ('{"msg": "a", "id": 5}', "$.id"),
        ('{"msg": "a", "id": "' + 65 * "x" + '"}', "$.id"),
        ('{"msg": "\\ud800"}', "不完整的字符"),
    ]
    for frame, text in bad:
        await client.send(frame)
        answer = await client.recv_json()
        assert answer["isSystem"] is True
        assert answer["msg"].startswith("错误: ")
        assert text in answer["msg"]
    await client.send("and again")
    assert "错误" in (await client.recv_json())["msg"]
    assert (await client.wait_closed()).code == 4400


@pytest.mark.gen_test
async def test_heartbeats_in_plain_text_are_ignored(harness: Harness) -> None:
    client = await harness.chat(VISITOR, await harness.session(), features="ack")
    await client.recv_json()
    for _ in range(10):
        await client.send("ping")
        await client.send("heartbeat")
    await client.send_json({"msg": "ping", "id": "a"})
    assert (await client.recv_json())["ack"] == "a"  # no frame before it
    assert harness.server.metrics.frames_ignored.counts == {("chat",): 20}


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [70_000, 3_000_000])
async def test_a_too_large_frame_closes_with_1009(harness: Harness, size: int) -> None:
    client = await harness.chat(VISITOR, await harness.session())
    await client.recv_json()
    await client.send_json({"msg": size * "x"})
    assert (await client.wait_closed()).code == 1009


@pytest.mark.gen_test
async def test_a_fault_of_the_program_does_not_ask_to_send_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    def fail(appender: MessageAppender, appends: object, now: int) -> None:
        raise KeyError("a fault")

    client = await harness.chat(VISITOR, await harness.session(), features="ack")
    await client.recv_json()
    expected_logs.append("the database refused a batch of 1")
    monkeypatch.setattr(MessageAppender, "append", fail)
    await client.send_json({"msg": "hello", "id": "a"})
    frame = await client.recv_json()
    assert frame["isSystem"]
    assert "服务器内部出错" in frame["msg"]
    monkeypatch.undo()
    await client.send_json({"msg": "hello", "id": "a"})
    assert (await client.recv_json())["ack"] == "a"


class TestLimits:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "limits", messages_per_second=0.001, burst=5, connections_per_identity=2)

    @pytest.mark.gen_test
    async def test_too_many_frames_close_with_4429_and_earlier_ones_are_stored(
        self, harness: Harness
    ) -> None:
        session = await harness.session()
        client = await harness.chat(VISITOR, session)
        for n in range(8):
            await client.send_json({"msg": str(n)})
        assert (await client.wait_closed()).code == 4429
        counsellor = await harness.chat(token("consultant", 2), session)
        texts: list[str] = []
        while len(texts) < 5:
            frame = await counsellor.recv_json()
            if not frame["isSystem"]:  # the line of the counsellor's entry may come before the last commit
                texts.append(frame["msg"])
        assert texts == list("01234")

    @pytest.mark.gen_test
    async def test_a_third_socket_of_a_person_is_refused(self, harness: Harness) -> None:
        first = await harness.connect(f"/notify?token={VISITOR}")
        await harness.connect(f"/notify?token={VISITOR}")
        third = await harness.connect(f"/notify?token={VISITOR}")
        assert (await third.wait_closed()).code == 4429
        await first.close()
        await (await harness.connect(f"/notify?token={VISITOR}")).send_json({})


class TestOrigins:
    @pytest.fixture(params=[(), ("https://good.example",), ("*",)], ids=["own", "good", "any"])
    def settings(self, settings: config.Config, request: pytest.FixtureRequest) -> config.Config:
        return changed(settings, "web", origins=request.param)

    @pytest.mark.gen_test
    async def test_only_pages_of_allowed_origins_connect(
        self, harness: Harness, settings: config.Config
    ) -> None:
        allowed = settings.web.origins

        async def is_accepted(origin: str | None) -> bool:
            headers: dict[str, Any] = {} if origin is None else {"Origin": origin}
            try:
                client = await harness.connect(f"/notify?token={VISITOR}", headers=headers)
            except ConnectionClosed as closed:
                return closed.code != 403
            await client.close()
            return True

        assert await is_accepted(None)
        assert await is_accepted(harness.http)
        assert await is_accepted("https://good.example") is bool(allowed)
        assert await is_accepted("https://evil.example") is (allowed == ("*",))
