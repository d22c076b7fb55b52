"""Clients of the published protocols that leave, come back late, or give up."""

import json
from datetime import datetime
from typing import Any

import pytest

from tests.conftest import Harness, changed, on_both, token
from tests.helpers.faults import FaultyProxy
from tornado_chat import config
from tornado_chat.client import ConnectionClosed, RawClient
from tornado_chat.core.types import Kind, Person, Role, Thread

pytestmark = on_both

VISITOR = token("user", 1, "小林")
COUNSELLOR = token("consultant", 2, "陈老师")
SUPERVISOR = token("supervisor", 3, "周督导")
HOST = token("service", "host")
ENDED = "会话已结束"


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    """Graces that do not run out during a test."""
    counselling = {
        "rejoin_grace": 3600.0,
        "leave_grace": 600.0,
        "ready_grace": 1800.0,
        "longest_grace": 7200.0,
    }
    return changed(changed(settings, "counselling", **counselling), "support", rejoin_grace=3600.0)


async def frame_with(client: RawClient, key: str) -> dict[str, Any]:
    """Return the next frame that has ``key``."""
    while True:
        frame: dict[str, Any] = await client.recv_json()
        if key in frame:
            return frame


async def text(client: RawClient, wanted: str) -> dict[str, Any]:
    """Return the next frame with the text ``wanted``."""
    while True:
        frame = await frame_with(client, "msg")
        if frame["msg"] == wanted:
            return frame


async def rest(client: RawClient) -> tuple[list[str], int]:
    """Return the remaining texts, and the close code."""
    texts = []
    while True:
        try:
            texts.append((await client.recv_json())["msg"])
        except ConnectionClosed:
            return texts, (await client.wait_closed()).code


async def awaited_seconds(observing: RawClient, role: str) -> float:
    """Return for how long an absent participant is awaited, from the next presence frame that says so."""
    while True:
        frame = await frame_with(observing, "presence")
        if role in frame.get("until", {}):
            until, now = (datetime.fromisoformat(text) for text in (frame["until"][role], frame["time"]))
            return (until - now).total_seconds()


def close_bare(client: RawClient) -> None:
    """Close a socket as ``close()`` of a browser does: with a close frame without a code."""
    client._socket.begin_close(None)  # type: ignore[arg-type]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("features", "code", "seconds"),
    [
        ("", None, 600),
        ("", 1000, 600),
        ("", 1001, 600),
        ("", 4001, 3600),
        ("", 3000, 3600),
        ("ack", None, 3600),
        ("ack", 1001, 3600),
    ],
)
async def test_a_plain_client_that_closes_has_the_leave_grace(
    harness: Harness, features: str, code: int | None, seconds: float
) -> None:
    session = await harness.session()
    counsellor = await harness.chat(COUNSELLOR, session, features="presence")
    visitor = await harness.chat(VISITOR, session, features=features)
    await text(counsellor, "会话已开始")
    if code is None:
        close_bare(visitor)
    else:
        await visitor.close(code)
    assert await awaited_seconds(counsellor, "user") == pytest.approx(seconds, abs=1)


@pytest.mark.gen_test
async def test_a_lost_connection_and_a_close_by_the_server_have_the_rejoin_grace(harness: Harness) -> None:
    session = await harness.session()
    counsellor = await harness.chat(COUNSELLOR, session, features="presence")
    address = f"/chat?token={VISITOR}&sessionId={session}"
    async with FaultyProxy(int(harness.http.rsplit(":", 1)[1])) as proxy:
        await RawClient.connect(proxy.url + address)
        await text(counsellor, "会话已开始")
        proxy.cut()
        assert await awaited_seconds(counsellor, "user") == pytest.approx(3600, abs=1)
    visitor = await harness.chat(VISITOR, session)
    await visitor.send("x" * 100_000)
    assert (await visitor.wait_closed()).code == 1009
    assert await awaited_seconds(counsellor, "user") == pytest.approx(3600, abs=1)


class TestShortLeaveGrace:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        for section in ("counselling", "support"):
            settings = changed(settings, section, leave_grace=0.1)
        return settings

    @pytest.mark.gen_test
    async def test_the_other_one_is_told_soon_that_a_plain_client_has_left(self, harness: Harness) -> None:
        session = await harness.session()
        visitor = await harness.chat(VISITOR, session)
        counsellor = await harness.chat(COUNSELLOR, session)
        modern = await harness.chat(COUNSELLOR, session, features="presence")
        await text(counsellor, "会话已开始")
        close_bare(visitor)
        assert "reason" not in await text(counsellor, ENDED)
        assert (await counsellor.wait_closed()).code == 1000
        assert (await text(modern, ENDED))["reason"] == "left"
        assert (await session_of(harness, session))["end_reason"] == "left"

    @pytest.mark.gen_test
    async def test_a_user_that_closes_frees_its_place_soon(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        user = await harness.user(1)
        address = (await waiter.get("new_connection"))["payload"]["uuid"]
        await user.until("connect_success")
        close_bare(user.client)
        assert (await waiter.until("disconnected"))["from"] == address
        modern = await harness.user(2, features=["ack"])
        await waiter.until("new_connection")
        await modern.until("connect_success")
        close_bare(modern.client)
        await modern.client.wait_closed()
        await waiter.send_frame("message_text", {"message": "are you there?"}, to="nobody")
        assert await waiter.get("error")  # no `disconnected` before it

    @pytest.mark.gen_test
    async def test_users_of_a_waiter_that_closes_return_to_the_queue_soon(self, harness: Harness) -> None:
        waiter = await harness.waiter(7)
        user = await harness.user(1)
        await user.until("connect_success")
        close_bare(waiter.client)
        assert (await user.until("connect_queue"))["payload"]["location"] == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("features", ["", "seq,presence"])
async def test_a_return_after_the_end_gets_what_was_missed_then_the_end_once(
    harness: Harness, features: str
) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features=features)
    counsellor = await harness.chat(COUNSELLOR, session)
    await text(visitor, "会话已开始")
    await visitor.close(1001)
    for n in range(3):
        await counsellor.send_json({"msg": f"missed {n}"})
    await counsellor.close(4000)
    await harness.api("POST", f"/api/v1/sessions/{session}/end", HOST)  # wait for the end
    late = await harness.chat(VISITOR, session, features=features)
    assert await rest(late) == (["missed 0", "missed 1", "missed 2", ENDED], 4409)
    for _ in range(2):
        late = await harness.chat(VISITOR, session, features=features)
        if features:
            assert (await late.recv_json())["reason"] == "ended"
        else:
            assert await late.recv_json() == {
                "isSystem": True,
                "system": True,
                "msg": ENDED,
                "time": (await session_of(harness, session))["ended"].removesuffix("+08:00"),
            }
        assert (await late.wait_closed()).code == 4409


async def session_of(harness: Harness, session: int) -> dict[str, Any]:
    body = (await harness.api("GET", f"/api/v1/sessions/{session}", HOST)).body
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.gen_test
async def test_the_last_words_before_the_end_count_as_received(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    counsellor = await harness.chat(COUNSELLOR, session)
    await text(counsellor, "会话已开始")
    for n in range(20):
        await visitor.send_json({"msg": f"last words {n}"})
    await visitor.close(4000)
    assert (await rest(counsellor))[1] == 1000
    late = await harness.chat(COUNSELLOR, session)
    assert await rest(late) == ([ENDED], 4409)


@pytest.mark.gen_test
async def test_an_observer_that_returns_after_the_end_gets_what_it_missed_once(harness: Harness) -> None:
    session = await harness.session()
    await harness.record(session)
    address = f"/observe?token={SUPERVISOR}&sessionId={session}"
    visitor = await harness.chat(VISITOR, session)
    observer = await harness.connect(address)
    await visitor.send_json({"msg": "one"})
    assert (await observer.recv_json())["msg"] == "one"
    await harness.receipt(Person(Role.SUPERVISOR, "3"), Thread(Kind.SESSION, session), 1)
    await observer.close()
    await visitor.send_json({"msg": "two"})
    await visitor.close(4000)
    await harness.api("POST", f"/api/v1/sessions/{session}/end", HOST)
    late = await harness.connect(address)
    assert (await late.recv_json())["msg"] == "two"
    last = await late.recv_json()
    assert (last["msg"], last["senderType"]) == (ENDED, None)
    assert (await late.wait_closed()).code == 4409
    assert await rest(await harness.connect(address)) == ([ENDED], 4409)


class TestShortReadyGrace:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "counselling", ready_grace=0.1)

    @pytest.mark.gen_test
    async def test_the_waiting_and_the_later_consultant_learn_that_the_visitor_gave_up(
        self, harness: Harness
    ) -> None:
        session = await harness.session()
        visitor = await harness.chat(VISITOR, session)
        close_bare(visitor)
        await visitor.wait_closed()
        waiting = await harness.chat(COUNSELLOR, session)
        assert (await rest(waiting))[0][-1] == ENDED
        assert await rest(await harness.chat(COUNSELLOR, session)) == ([ENDED], 4409)
        modern = await harness.chat(COUNSELLOR, session, features="presence")
        assert (await modern.recv_json())["reason"] == "not_started"
        found = await session_of(harness, session)
        assert (found["state"], found["end_reason"]) == ("cancelled", "not_started")

    @pytest.mark.gen_test
    @pytest.mark.parametrize("features", ["", "&features=seq"])
    async def test_the_notification_of_a_session_that_is_over_is_not_delivered_any_more(
        self, harness: Harness, features: str
    ) -> None:
        over, open = await harness.session(), await harness.session()
        visitor = await harness.chat(VISITOR, over)
        close_bare(visitor)
        await visitor.wait_closed()
        assert (await rest(await harness.chat(COUNSELLOR, over)))[1] in (1000, 4409)
        await harness.api(
            "POST", "/api/v1/notifications", HOST, {"role": "consultant", "id": 2, "type": 0, "msg": "later"}
        )
        notified = await harness.connect(f"/notify?token={COUNSELLOR}{features}")
        first = await notified.recv_json()
        assert (first["type"], first["data"]) == (2, {"sessionId": str(open) if features else open})
        assert (await notified.recv_json())["msg"] == "later"


@pytest.mark.gen_test
async def test_a_participant_lets_the_session_wait_longer(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    counsellor = await harness.chat(COUNSELLOR, session, features="presence")
    await text(counsellor, "会话已开始")
    tab = await harness.chat(COUNSELLOR, session, features="presence")
    plain = await harness.chat(COUNSELLOR, session)
    await counsellor.send_json({"wait": 60})
    refused = await frame_with(counsellor, "wait")
    assert (refused["wait"], refused["msg"]) == (False, "错误: 没有需要等待的参与者")
    close_bare(visitor)
    for client in (counsellor, tab):
        assert await awaited_seconds(client, "user") == pytest.approx(600, abs=1)
    await counsellor.send_json({"wait": 60})
    for client in (counsellor, tab):
        while (seconds := await awaited_seconds(client, "user")) < 601:  # the frame before may come twice
            pass
        assert seconds == pytest.approx(660, abs=5)
    await counsellor.send_json({"wait": 86400})
    assert await awaited_seconds(counsellor, "user") == pytest.approx(7200, abs=5)
    await counsellor.send_json({"wait": 1})
    assert (await frame_with(counsellor, "wait"))["msg"] == "错误: 等待时间已达上限"
    again = await harness.chat(VISITOR, session)
    await again.send_json({"msg": "back"})
    await text(counsellor, "back")
    assert (await plain.recv_json())["msg"] == "back"  # a plain client gets nothing of all that
