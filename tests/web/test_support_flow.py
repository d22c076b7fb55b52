"""Support over real sockets: authentication, messages, the end, and refused frames."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.conftest import Harness, Peer, changed, on_both, token
from tornado_chat import config
from tornado_chat.core.events import SequencedItem
from tornado_chat.core.types import Person, Role, Thread
from tornado_chat.storage import conversations

pytestmark = on_both


async def matched(harness: Harness, user: int = 1, waiter: int = 7, **more: list[str]) -> tuple[Peer, Peer]:
    """Connect a user and a waiter, and wait until both know the match."""
    helper = await harness.waiter(waiter, **more)
    asker = await harness.user(user, **more)
    await helper.until("new_connection")
    await asker.until("connect_success")
    return asker, helper


async def error(peer: Peer, reply_to: str | None) -> str:
    frame = await peer.get("error")
    assert frame.get("reply_id") == reply_to
    assert set(frame["payload"]) == {"message"}
    return str(frame["payload"]["message"])


class TestPatience:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", auth_timeout=0.2)

    @pytest.mark.gen_test
    async def test_a_missing_auth_closes_with_4401(self, harness: Harness) -> None:
        late = await harness.connect("/v1/ws/user/connect")
        assert (await late.wait_closed()).code == 4401
        in_time = await harness.user(1)
        await in_time.get("connect_queue")
        await late.wait_closed()
        assert in_time.client.close_code is None


@pytest.mark.gen_test
async def test_frames_before_auth_are_errors_and_a_bad_token_closes(harness: Harness) -> None:
    peer = Peer(await harness.connect("/v1/ws/user/connect"))
    await peer.get("initialize")
    assert "auth" in await error(peer, await peer.send_frame("connect"))
    assert "auth" in await error(peer, await peer.send_frame("message_text", {"message": "hi"}))
    assert "token" in await error(peer, await peer.send_frame("auth", {}))
    assert "令牌无效" in await error(peer, await peer.send_frame("auth", {"token": "junk"}))
    assert (await peer.client.wait_closed()).code == 4401


@pytest.mark.gen_test
@pytest.mark.parametrize(("endpoint", "role"), [("user", "waiter"), ("waiter", "user"), ("user", "admin")])
async def test_the_wrong_role_is_closed_with_4403(harness: Harness, endpoint: str, role: str) -> None:
    peer = Peer(await harness.connect(f"/v1/ws/{endpoint}/connect"))
    await peer.get("initialize")
    assert role in await error(peer, await peer.send_frame("auth", {"token": token(role, 1)}))
    assert (await peer.client.wait_closed()).code == 4403


@pytest.mark.gen_test
async def test_errors_leave_the_socket_open(harness: Harness) -> None:
    user = await harness.user(1, connect=False)
    assert "同一人" in await error(user, await user.send_frame("auth", {"token": token("user", 2)}))
    assert "connect" in await error(user, await user.send_frame("message_text", {"message": "hi"}))
    assert "nonsense" in await error(user, await user.send_frame("nonsense"))
    assert "unready" in await error(user, await user.send_frame("unready"))  # a type of the waiter's endpoint
    await user.client.send("no json")
    assert "JSON" in await error(user, None)
    for _ in range(12):
        await user.client.send_json({"type": 5})
        await error(user, None)
    await user.send_frame("connect")
    assert (await user.get("connect_queue"))["payload"] == {"location": 1}
    assert "排队" in await error(user, await user.send_frame("message_text", {"message": "hi"}))
    waiter = await harness.waiter(7)
    await waiter.get("new_connection")
    await user.get("connect_success")
    assert "`message`" in await error(user, await user.send_frame("message_text", {}))
    assert "空" in await error(user, await user.send_frame("message_text", {"message": " "}))
    assert "to" in await error(waiter, await waiter.send_frame("message_text", {"message": "hi"}))
    not_mine = await waiter.send_frame("message_text", {"message": "hi"}, to="somebody")
    assert "somebody" in await error(waiter, not_mine)


@pytest.mark.gen_test
async def test_a_waiter_reaches_its_own_users_only(harness: Harness) -> None:
    user, waiter = await matched(harness, 1, 7)
    stranger = await harness.waiter(8)
    refused = await stranger.send_frame("message_text", {"message": "hi"}, to=user.uuid)
    assert user.uuid in await error(stranger, refused)
    await waiter.send_frame("message_text", {"message": "mine"}, to=user.uuid)
    assert (await user.get("message_text"))["payload"] == {"message": "mine"}


@pytest.mark.gen_test
async def test_addresses_and_keys_of_all_frames(harness: Harness) -> None:
    user, waiter = await matched(harness)
    await user.send_frame("message_text", {"message": "hi"})
    heard = await waiter.get("message_text")
    assert heard == {
        "id": heard["id"],
        "from": user.uuid,
        "to": waiter.uuid,
        "type": "message_text",
        "payload": {"message": "hi"},
    }
    await waiter.send_frame("disconnect", to=user.uuid)
    parted = await user.get("disconnected")
    assert parted == {
        "id": parted["id"],
        "from": waiter.uuid,
        "to": user.uuid,
        "type": "disconnected",
        "payload": None,
    }
    await waiter.get("disconnected")
    assert "不是" in await error(
        waiter, await waiter.send_frame("message_text", {"message": "hi"}, to=user.uuid)
    )
    assert "connect" in await error(user, await user.send_frame("message_text", {"message": "hi"}))
    await user.send_frame("connect")  # a new conversation with the same socket
    assert (await user.until("connect_success"))["payload"] == {"uuid": waiter.uuid}


@pytest.mark.gen_test
async def test_a_resent_id_is_acknowledged_and_not_repeated(harness: Harness) -> None:
    user, waiter = await matched(harness, features=["ack", "seq"])
    frame = {"id": "m", "type": "message_text", "payload": {"message": "once"}}
    await user.client.send_json(frame)
    first = await user.get("message_text_success")
    assert first["reply_id"] == "m"
    assert set(first["payload"]) == {"id", "seq", "time"}
    await user.client.send_json(frame)
    assert (await user.get("message_text_success"))["payload"] == first["payload"]
    await user.send_frame("message_text", {"message": "then"})
    heard = [await waiter.get("message_text") for _ in range(2)]
    assert [(f["payload"]["message"], f["seq"]) for f in heard] == [("once", 1), ("then", 2)]
    assert heard[0]["id"] == first["payload"]["id"]


@pytest.mark.gen_test
async def test_a_reused_id_of_a_seed_client_loses_no_message(harness: Harness) -> None:
    user, waiter = await matched(harness)
    for text in ("one", "two", "two", "three"):
        await user.client.send_json({"id": "1" * 100, "type": "message_text", "payload": {"message": text}})
    heard = [(await waiter.get("message_text"))["payload"]["message"] for _ in range(4)]
    assert heard == ["one", "two", "two", "three"]


@pytest.mark.gen_test
async def test_types_beyond_the_seed_are_answered(harness: Harness) -> None:
    user, waiter = await matched(harness, features=["ack", "typing", "image"])
    await user.send_frame("typing", {"typing": True})
    typing = await waiter.get("typing")
    assert (typing["payload"], typing["from"]) == ({"typing": True}, user.uuid)
    await user.send_frame("message_image", {"url": "https://shop.example/a.png"})
    await user.get("message_text_success")
    assert (await waiter.get("message_image"))["payload"] == {"url": "https://shop.example/a.png"}
    assert "$.url" in await error(user, await user.send_frame("message_image", {"url": "javascript:x"}))
    await waiter.send_frame("message_text", {"message": "nice"}, to=user.uuid)
    await user.get("message_text")
    await user.send_frame("get_history", {"limit": 1})
    page = (await user.get("message_history"))["payload"]
    assert [(item["seq"], item["message"], item["from"]) for item in page["items"]] == [
        (2, "nice", waiter.uuid)
    ]
    await user.send_frame("get_history", {"before": page["next"]})
    page = (await user.get("message_history"))["payload"]
    assert [(item["seq"], item["type"]) for item in page["items"]] == [(1, "message_image")]
    assert page["next"] is None
    assert "$.rate" in await error(user, await user.send_frame("rate", {"rate": 6}))
    asked = await user.send_frame("rate", {"rate": 5, "feedback": "quick"})
    assert (await user.get("rate_success"))["reply_id"] == asked


@pytest.mark.gen_test
async def test_a_client_without_the_feature_gets_an_image_as_text_and_no_typing(harness: Harness) -> None:
    user, waiter = await matched(harness)
    await user.send_frame("typing", {"typing": True})
    await user.send_frame("message_image", {"url": "https://shop.example/a.png"})
    assert (await waiter.get("message_text"))["payload"] == {"message": "https://shop.example/a.png"}


@pytest.mark.gen_test
async def test_the_end_is_sent_before_the_next_match(harness: Harness) -> None:
    user = await harness.user(1)
    waiter = await harness.waiter(7, ready=False)
    hub = harness.server._hub
    fetch, slow = hub._fetch, asyncio.Event()

    async def fetch_slowly(thread: Thread, seq: int, limit: int) -> Sequence[SequencedItem]:
        await slow.wait()
        return await fetch(thread, seq, limit)

    hub._fetch = fetch_slowly
    await waiter.send_frame("ready")
    await waiter.get("new_connection")
    await user.until("connect_success")
    await user.send_frame("message_text", {"message": "never mind"})
    await user.send_frame("disconnect")
    while await harness.server._store.look_up(conversations.active_of_waiter, Person(Role.WAITER, "7")):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    following = await harness.user(2)
    await following.until("connect_success")
    slow.set()
    said = await waiter.get("message_text")
    assert (said["from"], said["payload"]["message"]) == (user.uuid, "never mind")
    assert (await waiter.get("disconnected"))["from"] == user.uuid
    assert (await waiter.get("new_connection"))["payload"]["uuid"] == following.uuid
    await following.send_frame("message_text", {"message": "good day"})
    assert (await waiter.get("message_text"))["from"] == following.uuid
