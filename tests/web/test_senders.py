"""Whose words: the person that has sent a message, in history, live frames and the HTTP API."""

import json
from typing import Any

import pytest

from tests.conftest import Harness, Peer, on_both, token

pytestmark = on_both

VISITOR, COUNSELLOR = token("user", 1, "小林"), token("consultant", 2, "陈老师")
SUPERVISOR, HOST = token("supervisor", 3, "吴督导"), token("service", "host")
LIN = {"role": "user", "id": "1", "name": "小林"}
CHEN = {"role": "consultant", "id": "2", "name": "陈老师"}
ADA = {"role": "user", "id": "1", "name": "Ada"}
BOB, EVE = {"id": "7", "name": "Bob"}, {"id": "8", "name": "Eve"}


async def next_with(client: Any, key: str, value: object) -> Any:
    while (frame := await client.recv_json()).get(key) != value:
        pass
    return frame


async def get(harness: Harness, path: str, who: str = HOST) -> Any:
    answer = await harness.api("GET", f"/api/v1{path}", who)
    assert answer.code == 200, answer.body
    return json.loads(answer.body)


@pytest.mark.gen_test
async def test_chat_frames_history_and_transcripts_name_the_sender(harness: Harness) -> None:
    """The host has opened the session without names: those of the tokens count."""
    session = await harness.session()
    await harness.record(session)
    visitor = await harness.chat(VISITOR, session, features="sender,echo")
    counsellor = await harness.chat(COUNSELLOR, session, features="sender")
    plain = await harness.chat(COUNSELLOR, session)
    observer = await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={session}&features=sender,seq")
    await visitor.send_json({"msg": "from Lin"})
    for client in (visitor, counsellor, observer):
        assert (await next_with(client, "msg", "from Lin"))["sender"] == LIN
    assert "sender" not in await next_with(plain, "msg", "from Lin")
    await counsellor.send_json({"msg": "from Chen"})
    assert (await next_with(visitor, "msg", "from Chen"))["sender"] == CHEN
    reading = await harness.chat(VISITOR, session, features="history")
    page = await reading.recv_json()
    assert [line["sender"] for line in page["history"]] == [LIN, CHEN]
    listed = await get(harness, f"/sessions/{session}/messages")
    assert [line["sender"] for line in listed["items"]] == [LIN, CHEN]
    exported = await get(harness, f"/sessions/{session}/export?format=json")
    assert [line["sender"] for line in exported["messages"]] == [LIN, CHEN]
    text = await harness.api("GET", f"/api/v1/sessions/{session}/export?format=txt", HOST)
    assert "小林: from Lin\n" in text.body.decode()
    assert "陈老师: from Chen\n" in text.body.decode()


@pytest.mark.gen_test
async def test_ids_are_texts_and_people_without_a_name_have_none(harness: Harness) -> None:
    big = 9007199254740993
    session = await harness.session(user_id=big)
    visitor = await harness.chat(token("user", big), session, features="sender,echo")
    await visitor.send_json({"msg": "hi"})
    sender = {"role": "user", "id": str(big), "name": None}
    assert (await next_with(visitor, "msg", "hi"))["sender"] == sender
    assert (await get(harness, f"/sessions/{session}/messages"))["items"][0]["sender"] == sender


async def page(peer: Peer, **more: Any) -> Any:
    asked = await peer.send_frame("get_history", None, **more)
    frame = await peer.until("message_history")
    assert frame["reply_id"] == asked
    return frame["payload"]


async def talk(peer: Peer, text: str, **more: Any) -> None:
    await peer.send_frame("message_text", {"message": text}, **more)


@pytest.mark.gen_test
async def test_after_a_hand_over_each_line_is_of_its_own_agent(harness: Harness) -> None:
    bob = await harness.waiter(7, name="Bob", features=["sender", "echo", "seq"])
    ada = await harness.user(1, name="Ada", features=["sender", "seq"])
    plain = await harness.user(1, name="Ada")
    uuid = (await bob.until("new_connection"))["payload"]["uuid"]
    conversation = (await ada.until("connect_success"))["payload"]["conversation"]
    await plain.until("connect_success")
    await talk(ada, "help")
    assert (await bob.until("message_text"))["sender"] == ADA
    await talk(bob, "from Bob", to=uuid)
    assert (await bob.until("message_text"))["sender"] == {"role": "waiter", **BOB}
    assert (await ada.until("message_text"))["sender"] == {"role": "waiter", **BOB}
    assert "sender" not in await plain.until("message_text")

    eve = await harness.waiter(8, name="Eve", features=["sender", "echo", "seq", "ready"])
    await eve.until("ready_success")
    await bob.send_frame("transfer", {"waiter": 8}, to=uuid)
    await bob.until("transfer_success")
    handed_over = (await ada.until("handed_over"))["payload"]
    assert (handed_over["from"], handed_over["to"]) == (BOB, EVE)
    assert set(handed_over) == {"from", "to", "time"}
    await ada.until("connect_success")
    assert (await plain.get("connect_success"))["type"] == "connect_success"  # and no hand-over before it

    # The second agent gets the first one's lines with echo, and knows whose they are.
    await eve.until("new_connection")
    lines = [await eve.until("message_text") for _ in range(2)]
    assert [line["sender"] for line in lines] == [ADA, {"role": "waiter", **BOB}]
    await talk(eve, "from Eve", to=uuid)
    assert (await ada.until("message_text"))["sender"] == {"role": "waiter", **EVE}

    expected = [ADA, {"role": "waiter", **BOB}, {"role": "waiter", **EVE}]
    for peer, to in ((ada, {}), (eve, {"to": uuid})):
        history = await page(peer, **to)
        assert [line["sender"] for line in history["items"]] == expected
        assert history["handovers"] == [{**handed_over, "lost": False}]
    history = await page(plain)
    assert [line["sender"] for line in history["items"]] == ["user", "waiter", "waiter"]
    assert "handovers" not in history
    listed = await get(harness, f"/support/conversations/{conversation}/messages")
    assert [(line["sender"], line["sender_id"], line["sender_name"]) for line in listed["items"]] == [
        ("user", "1", "Ada"),
        ("waiter", "7", "Bob"),
        ("waiter", "8", "Eve"),
    ]
    assert listed["handovers"] == [{**handed_over, "lost": False}]

    # After a reload, and after the end.
    await ada.send_frame("disconnect")
    await ada.until("disconnected")
    late = await harness.user(1, connect=False, features=["sender"])
    history = await page(late)
    assert [line["sender"] for line in history["items"]] == expected
    assert [each["to"] for each in history["handovers"]] == [EVE]


@pytest.mark.gen_test
async def test_a_page_of_history_has_the_hand_overs_since_its_first_message(harness: Harness) -> None:
    bob = await harness.waiter(7, name="Bob", features=["sender"])
    ada = await harness.user(1, features=["sender", "ack"])
    uuid = (await bob.until("new_connection"))["payload"]["uuid"]
    await ada.until("connect_success")
    eve = await harness.waiter(8, name="Eve", features=["ready"])
    await eve.until("ready_success")
    await bob.send_frame("transfer", {"waiter": 8}, to=uuid)
    await ada.until("handed_over")
    for text in ("one", "two"):
        await talk(ada, text)
        await ada.until("message_text_success")
    newest = await ada.send_frame("get_history", {"limit": 1})
    frame = await ada.until("message_history")
    assert frame["reply_id"] == newest
    assert (frame["payload"]["next"], frame["payload"]["handovers"]) == (2, [])
    await ada.send_frame("get_history", {"before": 2})
    payload = (await ada.until("message_history"))["payload"]
    assert [each["from"] for each in payload["handovers"]] == [BOB]
