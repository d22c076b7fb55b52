"""Sent, delivered, seen are three things: what a sender's client is told of each, in both dialects."""

import json
from typing import Any

import pytest

from tests.conftest import Harness, Peer, on_both, token
from tornado_chat.client import RawClient
from tornado_chat.core.types import Kind, Person, Role, Thread

pytestmark = on_both

VISITOR, COUNSELLOR = token("user", 1, "小林"), token("consultant", 2, "陈老师")
SUPERVISOR = token("supervisor", 3, "吴督导")


async def next_with(client: RawClient, key: str) -> Any:
    while key not in (frame := await client.recv_json()):
        pass
    return frame


async def acknowledged(client: RawClient, text: str) -> int:
    """Send a message and return its number."""
    await client.send_json({"msg": text, "id": text})
    seq: int = (await next_with(client, "ack"))["seq"]
    return seq


@pytest.mark.gen_test
async def test_a_message_to_an_absent_participant_is_sent_and_delivered_when_it_comes(
    harness: Harness,
) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack,receipt")
    assert await acknowledged(visitor, "anybody?") == 1
    await visitor.send_json({"msg": ""})  # answered after everything that was sent before
    told = []
    while not (frame := await visitor.recv_json()).get("msg", "").startswith("错误"):
        told.append(frame)
    assert not [frame for frame in told if "receipt" in frame], "stored, and no more"
    counsellor = await harness.chat(COUNSELLOR, session)  # a plain client: its pong is enough
    assert await next_with(visitor, "receipt") == {"receipt": 1, "role": "consultant"}
    assert await acknowledged(visitor, "there you are") == 2
    assert await next_with(visitor, "receipt") == {"receipt": 2, "role": "consultant"}
    # The same on joining, for another window and after a reload.
    again = await harness.chat(VISITOR, session, features="receipt")
    assert await next_with(again, "receipt") == {"receipt": 2, "role": "consultant"}
    while (frame := await counsellor.recv_json())["msg"] != "there you are":
        assert "receipt" not in frame


@pytest.mark.gen_test
async def test_both_participants_are_told_of_each_other_and_not_of_themselves(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="receipt,seq,echo")
    counsellor = await harness.chat(COUNSELLOR, session, features="receipt,seq,read")
    await visitor.send_json({"msg": "one"})
    assert await next_with(visitor, "receipt") == {"receipt": 1, "role": "consultant"}
    await counsellor.send_json({"msg": "two"})
    assert await next_with(counsellor, "receipt") in (
        {"receipt": 1, "role": "user"},  # the visitor's own message, by its echo
        {"receipt": 2, "role": "user"},
    )


@pytest.mark.gen_test
async def test_participants_do_not_learn_of_observers(harness: Harness) -> None:
    session = await harness.session()
    await harness.record(session)
    visitor = await harness.chat(VISITOR, session, features="ack,receipt")
    observer = await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={session}")
    await acknowledged(visitor, "am I alone?")
    assert (await observer.recv_json())["msg"] == "am I alone?"
    await acknowledged(visitor, "hello?")
    assert (await observer.recv_json())["msg"] == "hello?"
    await harness.chat(COUNSELLOR, session)
    while (frame := await next_with(visitor, "receipt"))["receipt"] != 2:
        assert frame["role"] == "consultant"
    assert frame["role"] == "consultant"


@pytest.mark.gen_test
async def test_a_supervision_record_has_receipts_too(harness: Harness) -> None:
    session = await harness.session()
    record = await harness.record(session)
    consultant = await harness.chat(COUNSELLOR, record, 1, features="receipt")
    await harness.chat(SUPERVISOR, record, 1)
    await consultant.send_json({"msg": "what shall I do?"})
    assert await next_with(consultant, "receipt") == {"receipt": 1, "role": "supervisor"}


async def receipt(peer: Peer) -> tuple[str, dict[str, int]]:
    frame = await peer.until("receipt")
    assert set(frame) == {"id", "to", "from", "type", "payload"}
    return frame["from"], frame["payload"]


@pytest.mark.gen_test
async def test_support_tells_each_side_what_has_arrived_at_the_other(harness: Harness) -> None:
    waiter = await harness.waiter(7, features=["receipt"])
    user = await harness.user(1, features=["receipt", "ack", "seq"])
    conversation = (await user.until("connect_success"))["payload"]["conversation"]
    uuid = (await waiter.until("new_connection"))["payload"]["uuid"]
    await user.send_frame("message_text", {"message": "hello"})
    assert await receipt(user) == (waiter.uuid, {"seq": 1, "conversation": conversation})
    await waiter.send_frame("message_text", {"message": "hi"}, to=uuid)
    assert await receipt(waiter) == (uuid, {"seq": 2, "conversation": conversation})


@pytest.mark.gen_test
async def test_a_waiter_that_is_away_gets_nothing_until_it_returns(harness: Harness) -> None:
    waiter = await harness.waiter(7)
    user = await harness.user(1, features=["receipt", "ack", "seq"])
    conversation = (await user.until("connect_success"))["payload"]["conversation"]
    await waiter.until("new_connection")
    await waiter.client.close(1001)
    await user.send_frame("message_text", {"message": "are you there?"})
    await user.until("message_text_success")
    waiter = await harness.waiter(7)
    assert await receipt(user) == (
        (await resumed_address(harness)),
        {"seq": 1, "conversation": conversation},
    )
    # On resuming, in another window: what is known already.
    again = await harness.user(1, features=["receipt"])
    assert (await receipt(again))[1] == {"seq": 1, "conversation": conversation}


async def resumed_address(harness: Harness) -> str:
    """Return the waiter's address, as the user knows it since its first window."""
    window = await harness.user(1)
    address: str = (await window.until("connect_success"))["payload"]["uuid"]
    return address


@pytest.mark.gen_test
async def test_the_api_says_how_far_the_participants_have_got(harness: Harness) -> None:
    session = await harness.session()
    record = await harness.record(session)
    path = f"/api/v1/sessions/{session}"

    async def progress() -> tuple[dict[str, int], dict[str, int]]:
        found = json.loads((await harness.api("GET", path, VISITOR)).body)
        return found["received"], found["read"]

    assert await progress() == ({}, {})
    visitor = await harness.chat(VISITOR, session, features="ack,receipt")
    await acknowledged(visitor, "one")
    assert await progress() == ({}, {})
    counsellor = await harness.chat(COUNSELLOR, session, features="read,seq")
    await harness.receipt(Person(Role.CONSULTANT, "2"), Thread(Kind.SESSION, session), 1)
    await counsellor.send_json({"read": 1})
    assert await next_with(counsellor, "read") == {"read": 1, "role": "consultant"}
    await acknowledged(visitor, "the last words")
    await harness.receipt(Person(Role.CONSULTANT, "2"), Thread(Kind.SESSION, session), 2)
    await visitor.close(4000)
    await counsellor.wait_closed()
    assert await progress() == ({"consultant": 2}, {"consultant": 1})
    found = json.loads((await harness.api("GET", f"/api/v1/supervisions/{record}", SUPERVISOR)).body)
    assert (found["received"], found["read"]) == ({}, {})
