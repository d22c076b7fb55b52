"""Support features beyond the seed; only clients that use or request them get their frames."""

import asyncio
import re
import threading
from typing import Any

import pytest

from tests.conftest import Harness, Peer, changed, on_both
from tornado_chat import config

pytestmark = on_both

IMAGE = "https://shop.example/a.png"


async def matched(
    harness: Harness,
    user: int = 1,
    waiter: int = 7,
    *,
    user_features: list[str] | None = None,
    waiter_features: list[str] | None = None,
) -> tuple[Peer, Peer]:
    helper = await harness.waiter(waiter, features=waiter_features)
    asker = await harness.user(user, features=user_features)
    await helper.until("new_connection")
    await asker.until("connect_success")
    return asker, helper


async def refused(peer: Peer, type: str, payload: Any = None, **more: Any) -> str:
    asked = await peer.send_frame(type, payload, **more)
    frame = await peer.get("error")
    assert frame["reply_id"] == asked
    return str(frame["payload"]["message"])


async def message(peer: Peer) -> str:
    frame = await peer.get("message_text")
    assert set(frame) == {"id", "from", "to", "type", "payload"}
    assert set(frame["payload"]) == {"message"}
    return str(frame["payload"]["message"])


# --- transfer ---


class TestTransfer:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", capacity=1)

    @pytest.mark.gen_test
    async def test_a_transferred_user_keeps_its_messages(self, harness: Harness) -> None:
        user, source = await matched(harness)
        await user.send_frame("message_text", {"message": "a hard question"})
        assert await message(source) == "a hard question"
        target = await harness.waiter("expert")
        await refused(target, "nonsense")
        asked = await source.send_frame("transfer", {"waiter": "expert"}, to=user.uuid)
        assert (await source.get("disconnected"))["from"] == user.uuid
        assert (await source.get("transfer_success"))["reply_id"] == asked
        assert (await target.get("new_connection"))["payload"] == {"uuid": user.uuid}
        assert await message(target) == "a hard question"
        assert (await user.get("connect_success"))["payload"] == {"uuid": target.uuid}
        await refused(source, "message_text", {"message": "hi"}, to=user.uuid)
        await target.send_frame("message_text", {"message": "let me see"}, to=user.uuid)
        heard = await user.get("message_text")
        assert (heard["from"], heard["payload"]) == (target.uuid, {"message": "let me see"})
        await harness.user(2)
        await source.get("new_connection")  # the waiter has capacity again

    @pytest.mark.gen_test
    async def test_a_transfer_needs_a_waiter_with_capacity(self, harness: Harness) -> None:
        user, source = await matched(harness)
        for payload in ({"waiter": 9}, {"waiter": 7}, {"waiter": None}, {}, None):
            await refused(source, "transfer", payload, to=user.uuid)
        paused = await harness.waiter(8, ready=False)
        await paused.send_frame("unready")
        await refused(paused, "nonsense")
        assert "8" in await refused(source, "transfer", {"waiter": 8}, to=user.uuid)
        await paused.send_frame("ready")
        other = await harness.user(2)
        await paused.get("new_connection")
        assert "8" in await refused(source, "transfer", {"waiter": 8}, to=user.uuid)  # the waiter is full
        await refused(source, "transfer", {"waiter": 8}, to=other.uuid)  # not a user of this waiter
        await refused(source, "transfer", {"waiter": 8})
        await user.send_frame("message_text", {"message": "still yours"})
        assert await message(source) == "still yours"

    @pytest.mark.gen_test
    async def test_a_new_user_gets_the_waiter_that_a_transfer_frees(self, harness: Harness) -> None:
        user, source = await matched(harness)
        waiting = await harness.user(2)
        await waiting.get("connect_queue")
        await waiting.close(1001)
        target = await harness.waiter(8)
        await refused(target, "nonsense")
        held = threading.Event()
        held_back = harness.server._store.write(lambda tx: held.wait(5))
        await source.send_frame("transfer", {"waiter": 8}, to=user.uuid)
        back = await harness.user(2)
        assert (await back.get("connect_queue"))["payload"] == {"location": 1}
        held.set()
        await held_back
        assert (await back.until("connect_success"))["payload"] == {"uuid": source.uuid}


# --- typing, images, rating ---


@pytest.mark.gen_test
async def test_typing_requires_its_feature(harness: Harness) -> None:
    user, waiter = await matched(harness, waiter_features=["typing"])
    for payload, shown in [({"typing": True}, True), ({"typing": False}, False), (None, True)]:
        await user.send_frame("typing", payload)
        frame = await waiter.get("typing")
        assert (frame["from"], frame["payload"]) == (user.uuid, {"typing": shown})
    await refused(waiter, "typing")
    await waiter.send_frame("typing", {"typing": True}, to=user.uuid)
    await waiter.send_frame("message_text", {"message": "plain"}, to=user.uuid)
    assert await message(user) == "plain"
    await refused(waiter, "nonsense")  # no typing frame of the own side before it


@pytest.mark.gen_test
async def test_an_image_is_a_text_without_the_feature_image(harness: Harness) -> None:
    user, waiter = await matched(harness, user_features=["image"])
    await user.send_frame("message_image", {"url": IMAGE})
    assert await message(waiter) == IMAGE
    await waiter.send_frame("message_image", {"url": "data:image/png;base64,AA=="}, to=user.uuid)
    frame = await user.get("message_image")
    assert frame["payload"] == {"url": "data:image/png;base64,AA=="}
    assert frame["from"] == waiter.uuid
    for bad in ("javascript:alert(1)", "data:text/html,x", "a.png", ""):
        await refused(user, "message_image", {"url": bad})
    await refused(user, "message_image")
    await refused(waiter, "message_image", {"url": IMAGE})


@pytest.mark.gen_test
async def test_a_conversation_is_rated_also_after_its_end(harness: Harness) -> None:
    newcomer = await harness.user(9, connect=False)
    await refused(newcomer, "rate", {"rate": 5})
    user, waiter = await matched(harness)
    for bad in ({"rate": 0}, {"rate": 6}, {"rate": 4.5}, {"rate": "5"}, {}, None):
        await refused(user, "rate", bad)
    await refused(user, "rate", {"rate": 5, "feedback": "x" * 2001})
    await refused(waiter, "rate", {"rate": 5})
    for payload in ({"rate": 1}, {"rate": 5, "feedback": "quick"}):
        asked = await user.send_frame("rate", payload)
        frame = await user.get("rate_success")
        assert (frame["reply_id"], frame["payload"]) == (asked, {"rate": payload["rate"]})
    await waiter.send_frame("disconnect", to=user.uuid)
    await user.get("disconnected")
    await user.send_frame("rate", {"rate": 4})
    assert (await user.get("rate_success"))["payload"] == {"rate": 4}


# --- history ---


@pytest.mark.gen_test
async def test_history_comes_in_pages_from_the_newest_to_the_oldest(harness: Harness) -> None:
    user, waiter = await matched(harness)
    await refused(waiter, "get_history")
    for n in range(1, 6):
        if n % 2:
            await user.send_frame("message_text", {"message": str(n)})
            assert await message(waiter) == str(n)
        else:
            await waiter.send_frame("message_text", {"message": str(n)}, to=user.uuid)
            assert await message(user) == str(n)

    async def page(peer: Peer, payload: Any, **more: Any) -> tuple[list[int], int | None]:
        asked = await peer.send_frame("get_history", payload, **more)
        frame = await peer.get("message_history")
        assert frame["reply_id"] == asked
        for item in frame["payload"]["items"]:
            by_user = item["seq"] % 2
            assert item == {
                "id": item["id"],
                "seq": item["seq"],
                "from": user.uuid if by_user else waiter.uuid,
                "sender": "user" if by_user else "waiter",
                "type": "message_text",
                "message": str(item["seq"]),
                "time": item["time"],
            }
        return [item["seq"] for item in frame["payload"]["items"]], frame["payload"]["next"]

    for peer, more in ((user, {}), (waiter, {"to": user.uuid})):
        assert await page(peer, None, **more) == ([1, 2, 3, 4, 5], None)
        assert await page(peer, {"limit": 5}, **more) == ([1, 2, 3, 4, 5], None)
        assert await page(peer, {"limit": 2}, **more) == ([4, 5], 4)
        assert await page(peer, {"before": 4, "limit": 2}, **more) == ([2, 3], 2)
        assert await page(peer, {"before": 2, "limit": 2}, **more) == ([1], None)
        assert await page(peer, {"before": 1}, **more) == ([], None)
        for bad in ({"limit": 0}, {"limit": 101}, {"before": 0}, {"before": 2**63}, {"before": "x"}):
            await refused(peer, "get_history", bad, **more)


@pytest.mark.gen_test
async def test_history_requires_a_conversation(harness: Harness) -> None:
    await refused(await harness.user(1, connect=False), "get_history")


# --- ack and seq ---


@pytest.mark.gen_test
async def test_ack_answers_auth_and_stored_messages(harness: Harness) -> None:
    waiter = await harness.waiter(7, features=["ack", "no-such-feature"], name="Bob")
    profile = await waiter.get("auth_success")
    assert profile["reply_id"] == "f1"
    assert profile["payload"] == {"id": "7", "type": "waiter", "name": "Bob"}
    user = await harness.user(1)
    await waiter.get("new_connection")
    await user.until("connect_success")
    asked = await waiter.send_frame("message_text", {"message": "hi"}, to=user.uuid)
    success = await waiter.get("message_text_success")
    assert set(success) == {"id", "to", "type", "payload", "reply_id"}
    assert success["reply_id"] == asked
    assert set(success["payload"]) == {"id", "seq", "time"}
    assert success["payload"]["seq"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+08:00", success["payload"]["time"])
    heard = await user.get("message_text")
    assert heard["id"] == success["payload"]["id"]
    await user.send_frame("message_text", {"message": "hello"})  # no acknowledgement without the feature
    await refused(user, "nonsense")
    assert await message(waiter) == "hello"
    await refused(waiter, "message_text", {"message": " "}, to=user.uuid)
    await waiter.send_frame("message_image", {"url": IMAGE}, to=user.uuid)
    assert (await waiter.get("message_text_success"))["payload"]["seq"] == 3


@pytest.mark.gen_test
async def test_acknowledgements_keep_the_order_of_the_messages(harness: Harness) -> None:
    user, waiter = await matched(harness, user_features=["ack"])
    asked = [await user.send_frame("message_text", {"message": str(n)}) for n in range(200)]
    successes = [await user.get("message_text_success") for _ in asked]
    assert [frame["reply_id"] for frame in successes] == asked
    assert [frame["payload"]["seq"] for frame in successes] == list(range(1, 201))
    assert [await message(waiter) for _ in asked] == [str(n) for n in range(200)]


@pytest.mark.gen_test
async def test_seq_numbers_the_messages_of_a_conversation_without_gaps(harness: Harness) -> None:
    waiter = await harness.waiter(7, features=["seq"])
    user = await harness.user(1, features=["seq", "ack"])
    first = (await user.until("connect_success"))["payload"]
    assert (await waiter.get("new_connection"))["payload"] == {
        "uuid": user.uuid,
        "conversation": first["conversation"],
    }
    numbers = []
    for n in range(6):
        if n % 3:
            await user.send_frame("message_text", {"message": str(n)})
            numbers.append((await user.get("message_text_success"))["payload"]["seq"])
            assert (await waiter.get("message_text"))["seq"] == numbers[-1]
        else:
            await waiter.send_frame("message_text", {"message": str(n)}, to=user.uuid)
            numbers.append((await user.get("message_text"))["seq"])
    assert numbers == [1, 2, 3, 4, 5, 6]
    await user.send_frame("disconnect")
    await user.get("disconnected")
    await user.send_frame("connect")
    again = (await user.until("connect_success"))["payload"]
    assert again["conversation"] != first["conversation"]
    await user.send_frame("message_text", {"message": "new"})
    assert (await user.get("message_text_success"))["payload"]["seq"] == 1


@pytest.mark.gen_test
async def test_a_repeated_message_has_the_same_id_and_seq(harness: Harness) -> None:
    user, waiter = await matched(harness, user_features=["seq"])
    tab = await harness.user(1, features=["seq"])
    await tab.get("connect_success")
    await waiter.send_frame("message_text", {"message": "hi"}, to=user.uuid)
    one, other = await user.get("message_text"), await tab.get("message_text")
    assert (one["id"], one["seq"]) == (other["id"], other["seq"])


@pytest.mark.gen_test
@pytest.mark.parametrize("id", ["m", "x" * 65, "号" * 10_000])
async def test_a_resent_id_is_acknowledged_again_and_not_repeated(harness: Harness, id: str) -> None:
    user, waiter = await matched(harness, user_features=["ack"])
    frame = {"id": id, "type": "message_text", "payload": {"message": "once"}}
    answers = []
    for _ in range(3):
        await user.client.send_json(frame)
    for _ in range(3):
        answers.append(await user.get("message_text_success"))
    await user.close(1001)
    back = await harness.user(1, features=["ack"])
    await back.until("connect_success")
    await back.client.send_json(frame)
    answers.append(await back.get("message_text_success"))
    assert all(answer["reply_id"] == id for answer in answers)
    assert all(answer["payload"] == answers[0]["payload"] for answer in answers)
    await back.send_frame("message_text", {"message": "then"})
    assert [await message(waiter), await message(waiter)] == ["once", "then"]


@pytest.mark.gen_test
async def test_ids_that_restart_after_a_reload_lose_no_message(harness: Harness) -> None:
    user, waiter = await matched(harness)
    for text in ("one", "two", "three"):
        await user.send_frame("message_text", {"message": text})
        assert await message(waiter) == text
    await user.close(1001)
    back = await harness.user(1)
    await back.get("connect_success")
    for text in ("four", "five", "six", "seven"):  # f3, f4, ... again
        await back.send_frame("message_text", {"message": text})
    assert [await message(waiter) for _ in range(4)] == ["four", "five", "six", "seven"]


@pytest.mark.gen_test
async def test_the_same_id_of_two_persons_is_two_messages(harness: Harness) -> None:
    user, waiter = await matched(harness, user_features=["ack"], waiter_features=["ack"])
    frame = {"id": "same", "type": "message_text", "payload": {"message": "hi"}}
    await user.client.send_json(frame)
    assert (await user.get("message_text_success"))["payload"]["seq"] == 1
    await waiter.get("message_text")
    await waiter.client.send_json({**frame, "to": user.uuid})
    assert (await waiter.get("message_text_success"))["payload"]["seq"] == 2
    assert await message(user) == "hi"
    await asyncio.gather(refused(user, "nonsense"), refused(waiter, "nonsense"))
