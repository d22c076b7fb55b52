"""First words over real sockets: what users write before their first agent, and what becomes of it."""

import asyncio
import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Harness, Peer, changed, on_both, token
from tests.web.test_support_queue import assert_no_frame
from tornado_chat import config
from tornado_chat.storage import models

pytestmark = on_both

FEATURES = ["early", "ack", "seq", "echo", "group"]
SECRET = "the first sentence"
ADMIN = token("admin", 1)
GROUPS = {
    "crisis": config.Group(roles=("consultant",), supervisors=("supervisor:3",)),
    "school": config.Group(early_words="discard"),
}


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    small = changed(settings, "support", early_messages=3, early_bytes=100, rejoin_grace=3600.0)
    return replace(small, groups=GROUPS)


async def caller(harness: Harness, id: int, group: str = "default", features: list[str] = FEATURES) -> Peer:
    peer = await harness.user(id, connect=False, features=features, name=f"user {id}")
    await peer.send_frame("connect", {"group": group})
    return peer


_ids = itertools.count()


async def post(peer: Peer, text: str, **more: Any) -> str:
    """Send a message, and return its id."""
    id = str(more.pop("id", f"m{next(_ids)}"))
    await peer.send_frame("message_text", {"message": text}, id=id, **more)
    return id


async def write(peer: Peer, text: str, **more: Any) -> dict[str, Any]:
    """Send a message, and return the payload of its acknowledgement."""
    await post(peer, text, **more)
    return dict((await peer.until("message_text_success"))["payload"])


async def leave(peer: Peer, payload: Any = None) -> None:
    await peer.send_frame("disconnect", payload)
    await peer.until("disconnected")


async def get(harness: Harness, path: str, who: str, status: int = 200) -> dict[str, Any]:
    answer = await harness.api("GET", f"/api/v1/support/{path}", who)
    assert answer.code == status, answer.body
    return dict(json.loads(answer.body))


async def left_messages(harness: Harness, who: str, query: str = "") -> list[dict[str, Any]]:
    return list((await get(harness, f"left-messages{query}", who))["items"])


def stored_texts(harness: Harness) -> list[str]:
    query = models.Message.select(models.Message.text).where(models.Message.kind > 0)
    rows = query.order_by(models.Message.seq).tuples().execute(harness.server._store._database)
    return [text for (text,) in rows]


async def reload(harness: Harness, **support: Any) -> None:
    harness.config = changed(harness.config, "support", **support)
    await harness.server.reload(harness.config)


@pytest.mark.gen_test
async def test_the_first_agent_gets_the_first_words_first_and_in_order(harness: Harness) -> None:
    user = await caller(harness, 1)
    assert (await user.get("auth_success"))["payload"]["type"] == "user"
    queued = (await user.get("connect_queue"))["payload"]
    assert (queued["early"], queued["location"]) == ("keep", 1)
    for number, text in enumerate(("one", "two"), 1):
        assert (await write(user, text, id=text))["seq"] == number
    again = await write(user, "two", id="two")  # the acknowledgement was lost
    assert again["seq"] == 2
    plain = await harness.waiter(7)
    assert (await plain.get("new_connection"))["payload"] == {"uuid": user.uuid}
    for text in ("one", "two"):
        assert (await plain.get("message_text"))["payload"] == {"message": text}
    await user.until("connect_success")
    assert (await write(user, "three"))["seq"] == 3
    assert (await plain.get("message_text"))["payload"] == {"message": "three"}
    await assert_no_frame(plain)


@pytest.mark.gen_test
async def test_first_words_are_kept_over_reconnects_of_the_user_and_of_the_agent(harness: Harness) -> None:
    user = await caller(harness, 1)
    await user.until("connect_queue")
    await write(user, "one")
    await user.close(1001)
    user = await caller(harness, 1)
    other_tab = await caller(harness, 1)
    await other_tab.until("connect_queue")
    await write(user, "two")
    while (await other_tab.until("message_text"))["payload"]["message"] != "two":
        pass  # "one", if the receipt of the first socket was not there yet
    await user.send_frame("get_history")
    items = (await user.until("message_history"))["payload"]["items"]
    assert [item["message"] for item in items] == ["one", "two"]
    agent = await harness.waiter(7, features=["ack", "seq"])
    texts = [(await agent.until("message_text"))["payload"]["message"] for _ in range(2)]
    await agent.send_frame("nonsense")
    await agent.until("error")  # its pong was answered before
    await agent.close(1001)
    agent = await harness.waiter(7, features=["ack", "seq"])
    await agent.until("new_connection")
    await write(user, "three")
    assert [*texts, (await agent.get("message_text"))["payload"]["message"]] == ["one", "two", "three"]


@pytest.mark.gen_test
async def test_a_plain_client_gets_the_error_of_the_seed(harness: Harness) -> None:
    user = await caller(harness, 1, features=["ack", "seq"])
    queued = (await user.until("connect_queue"))["payload"]
    assert "early" not in queued
    await user.send_frame("message_text", {"message": SECRET})
    assert (await user.get("error"))["payload"] == {"message": "正在排队, 请稍候"}
    await user.send_frame("disconnect", {"withdraw": "nonsense", "more": 1})
    await user.until("disconnected")
    assert stored_texts(harness) == []
    await reload(harness, early_messages=0)
    user = await caller(harness, 2)
    assert "early" not in (await user.until("connect_queue"))["payload"]
    await user.send_frame("message_text", {"message": SECRET})
    assert (await user.get("error"))["payload"] == {"message": "正在排队, 请稍候"}


@pytest.mark.gen_test
async def test_first_words_have_a_limit_until_the_agent_comes(harness: Harness) -> None:
    user, tab = await caller(harness, 1), await caller(harness, 1)
    await user.until("connect_queue")
    await tab.until("connect_queue")
    await write(user, "x" * 60)
    for peer, text in ((user, "x" * 41), (tab, "好" * 14)):
        await post(peer, text)
        assert "3 条消息、共 100 字节" in (await peer.until("error"))["payload"]["message"]
    await write(tab, "好" * 13)
    await write(user, "!")
    refused = await post(user, "?")
    assert (await user.until("error"))["reply_id"] == refused
    agent = await harness.waiter(7)
    await user.until("connect_success")
    assert (await write(user, "?", id=refused))["seq"] == 4
    assert [(await agent.until("message_text"))["payload"]["message"][0] for _ in range(4)] == list("x好!?")


@pytest.mark.gen_test
async def test_agents_of_the_group_supervisors_and_admins_see_the_beginning_in_the_line(
    harness: Harness,
) -> None:
    user = await caller(harness, 1, "crisis")
    await write(user, "hello\n\n")
    await (await caller(harness, 2)).until("connect_queue")
    await write(user, SECRET)
    readers = {
        "the counsellor": token("consultant", 5),
        "a supervisor": token("supervisor", 3),
        "a supervisor by its token": token("supervisor", 2, groups=["crisis"]),
        "an admin": ADMIN,
    }
    others = {
        "a waiter of another group": token("waiter", 7),
        "a supervisor of another group": token("supervisor", 4, groups=["school"]),
        "a supervisor of no group": token("supervisor", 5),
        "the host": token("service", "host"),
    }
    for name, who in (readers | others).items():
        first = {each["group"]: each for each in (await get(harness, "status", who))["queue"]["first"]}
        shown = first["crisis"].get("first_words")
        assert shown == (f"hello {SECRET}" if name in readers else None), name
        assert "first_words" not in first["default"]
    await get(harness, "status", token("user", 1), 403)
    await get(harness, "status", token("consultant", 5, groups=["nowhere"]), 403)
    helper = Peer(await harness.connect("/v1/ws/waiter/connect"))
    await helper.sign_in("consultant", 5)
    await helper.send_frame("ready")
    await helper.until("message_text")
    assert [each["group"] for each in (await get(harness, "status", ADMIN))["queue"]["first"]] == ["default"]


@pytest.mark.gen_test
async def test_a_user_who_gives_up_leaves_a_message_which_an_agent_handles(harness: Harness) -> None:
    user = await caller(harness, 1, "crisis")
    acknowledged = await write(user, SECRET)
    number = acknowledged["id"][1:].partition("-")[0]
    counsellor, waiter = token("consultant", 5), token("waiter", 7)
    assert await left_messages(harness, counsellor) == []
    await leave(user)
    (left,) = await left_messages(harness, counsellor)
    expected: Mapping[str, Any] = {
        "conversation": number,
        "user_id": "1",
        "user_name": "user 1",
        "group": "crisis",
        "messages": 1,
        "beginning": SECRET,
        "handled": None,
    }
    assert {name: left[name] for name in expected} == expected
    for who in (waiter, token("waiter", 8, groups="nowhere"), token("supervisor", 4, groups="nowhere")):
        assert await left_messages(harness, who) == []
    for who in (token("user", 1), token("consultant", 6, groups="nowhere")):
        await get(harness, "left-messages", who, 403)
    for who in (waiter, token("supervisor", 4, groups="school"), token("user", 1)):
        await get(harness, "left-messages?group=crisis", who, 403)
        done = await harness.api("POST", f"/api/v1/support/left-messages/{number}/handled", who, "")
        assert done.code == 403
    await get(harness, "left-messages?group=nowhere", ADMIN, 404)
    for who in (counsellor, token("supervisor", 3), ADMIN, token("service", "host")):
        assert len(await left_messages(harness, who, "?group=crisis")) == 1
        messages = await get(harness, f"conversations/{number}/messages", who)
        assert [each["message"] for each in messages["items"]] == [SECRET]
    await get(harness, f"conversations/{number}/messages", waiter, 403)
    for who in (counsellor, ADMIN):  # the first mark stays
        done = await harness.api("POST", f"/api/v1/support/left-messages/{number}/handled", who, "")
        handled = json.loads(done.body)["handled"]
        assert (handled["role"], handled["id"]) == ("consultant", "5")
    assert await left_messages(harness, counsellor) == []
    assert len(await left_messages(harness, counsellor, "?state=handled")) == 1
    await (await caller(harness, 1, "crisis")).until("connect_queue")  # a new conversation


@pytest.mark.gen_test
async def test_left_messages_come_page_by_page(harness: Harness) -> None:
    for id in (1, 2, 3):
        user = await caller(harness, id)
        await write(user, f"words {id}")
        await leave(user)
    page = await get(harness, "left-messages?limit=2", ADMIN)
    assert [each["beginning"] for each in page["items"]] == ["words 1", "words 2"]
    page = await get(harness, f"left-messages?limit=2&after={page['next']}", ADMIN)
    assert ([each["beginning"] for each in page["items"]], page["next"]) == (["words 3"], None)


@pytest.mark.gen_test
async def test_left_messages_of_a_removed_group_are_those_of_the_default_group(harness: Harness) -> None:
    user = await caller(harness, 1, "crisis")
    await write(user, SECRET)
    await leave(user)
    waiter = token("waiter", 7)
    assert await left_messages(harness, waiter) == []
    harness.config = replace(harness.config, groups={"school": GROUPS["school"]})
    await harness.server.reload(harness.config)
    (left,) = await left_messages(harness, waiter)
    assert (left["group"], left["beginning"]) == ("crisis", SECRET)
    assert await left_messages(harness, waiter, "?group=school") == []
    assert await left_messages(harness, token("waiter", 8, groups=["school"])) == []
    await get(harness, f"conversations/{left['conversation']}/messages", waiter)


@pytest.mark.parametrize(
    ("group", "payload", "is_kept"),
    [
        ("default", None, True),
        ("default", {"withdraw": False}, True),
        ("default", {"withdraw": True}, False),
        ("school", None, False),
    ],
)
@pytest.mark.gen_test
async def test_words_are_kept_or_deleted_when_their_user_gives_up(
    harness: Harness, group: str, payload: Any, is_kept: bool
) -> None:
    user = await caller(harness, 1, group)
    offered = (await user.until("connect_queue"))["payload"]["early"]
    assert offered == ("discard" if group == "school" else "keep")
    await write(user, SECRET)
    await leave(user, payload)
    assert len(await left_messages(harness, ADMIN)) == is_kept
    assert (SECRET in stored_texts(harness)) is is_kept
    await user.send_frame("get_history")
    items = (await user.until("message_history"))["payload"]["items"]
    assert [each["message"] for each in items] == [SECRET] * is_kept


@pytest.mark.gen_test
async def test_words_that_an_agent_has_are_not_taken_back(harness: Harness) -> None:
    user = await caller(harness, 1, "school")
    await write(user, SECRET)
    agent = await harness.waiter(7)
    await agent.until("message_text")
    await leave(user, {"withdraw": True})
    assert stored_texts(harness) == [SECRET]
    assert await left_messages(harness, ADMIN) == []


@pytest.mark.gen_test
async def test_words_of_a_user_who_does_not_come_back_are_left(harness: Harness) -> None:
    await reload(harness, rejoin_grace=0.0)
    user = await caller(harness, 1)
    await write(user, SECRET)
    silent = await caller(harness, 2)  # without words there is nothing to answer
    await silent.until("connect_queue")
    last = await caller(harness, 3)
    await silent.close(1001)
    await user.close(1001)
    while (await last.until("connect_queue"))["payload"]["location"] > 1:
        pass
    while not (left := await left_messages(harness, ADMIN)):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    assert [each["beginning"] for each in left] == [SECRET]
