"""Earlier conversations of a user over the HTTP API: access and contents."""

import json
from typing import Any

import pytest

from tests.conftest import Harness, Peer, token

HOST, ADMIN = token("service", "host"), token("admin", 1)
ANNE, BOB, USER = token("waiter", "anne", "Anne"), token("waiter", "bob"), token("user", 1)
SUPERVISOR = token("supervisor", 1)


async def get(harness: Harness, path: str, who: str | None) -> tuple[int, Any]:
    answer = await harness.api("GET", f"/api/v1/support{path}", who)
    return answer.code, json.loads(answer.body)


async def talk(harness: Harness, waiter: Peer, *lines: str, name: str = "Lin") -> Peer:
    """Make a conversation with user 1, in which both post messages in turn, the user first."""
    user = await harness.user(1, name=name, features=["ack"])
    address = (await waiter.until("new_connection"))["payload"]["uuid"]
    await user.until("connect_success")
    for index, text in enumerate(lines):
        who, to = (waiter, {"to": address}) if index % 2 else (user, {})
        await who.send_frame("message_text", {"message": text}, **to)
        await who.until("message_text_success")
    return user


async def leave(user: Peer, waiter: Peer) -> None:
    await user.send_frame("disconnect")
    await waiter.until("disconnected")


@pytest.mark.gen_test
async def test_a_waiter_reads_earlier_conversations_of_its_user(harness: Harness) -> None:
    anne = await harness.waiter("anne", name="Anne", features=["ack"])
    user = await talk(harness, anne, "Where is it?", "On its way.")
    await user.send_frame("rate", {"rate": 4, "feedback": "Quick"})
    await user.until("rate_success")
    await leave(user, anne)
    await leave(await talk(harness, anne, "And now?"), anne)
    current = await talk(harness, anne, "Me again")

    code, page = await get(harness, "/conversations?user=1", ANNE)
    assert (code, page["next"]) == (200, None)
    second, first = page["items"]
    assert (first["user_id"], first["user_name"]) == ("1", "Lin")
    assert (first["waiter_id"], first["waiter_name"]) == ("anne", "Anne")
    assert (first["rate"], first["feedback"], first["messages"]) == (4, "Quick", 2)
    assert (second["rate"], second["feedback"], second["messages"]) == (None, None, 1)
    assert first["created"] <= first["assigned"] <= first["ended"] <= second["created"]

    code, page = await get(harness, f"/conversations/{first['conversation']}/messages", ANNE)
    assert (code, page["next"]) == (200, None)
    assert [(each["seq"], each["sender"], each["message"]) for each in page["items"]] == [
        (1, "user", "Where is it?"),
        (2, "waiter", "On its way."),
    ]
    code, page = await get(harness, f"/conversations/{first['conversation']}/messages?limit=1", HOST)
    assert ([each["seq"] for each in page["items"]], page["next"]) == ([1], 1)
    code, page = await get(harness, "/conversations?user=1&limit=1", ADMIN)
    assert [each["conversation"] for each in page["items"]] == [second["conversation"]]
    code, page = await get(harness, f"/conversations?user=1&before={page['next']}", ADMIN)
    assert [each["conversation"] for each in page["items"]] == [first["conversation"]]
    await leave(current, anne)


@pytest.mark.gen_test
async def test_other_callers_have_no_access(harness: Harness) -> None:
    anne = await harness.waiter("anne", features=["ack", "ready"])
    user = await talk(harness, anne, "Hello")
    messages = "/conversations/1/messages"
    for who, code in [(BOB, 403), (USER, 403), (SUPERVISOR, 403), (None, 401), (ANNE, 200)]:
        for path in ("/conversations?user=1", messages):
            expected = 200 if (who, path) == (USER, messages) else code
            if who == SUPERVISOR and path != messages:
                expected = 200  # a list of those that it may follow: none
            assert (await get(harness, path, who))[0] == expected, (who, path)
    assert (await get(harness, messages, token("user", 2)))[0] == 403
    await leave(user, anne)
    # The user has left: the waiter has access only to its own conversation.
    assert (await get(harness, "/conversations?user=1", ANNE))[0] == 403
    assert (await get(harness, messages, ANNE))[0] == 200
    assert (await get(harness, messages, BOB))[0] == 403
    # A user reads its own conversation, also after its end.
    code, page = await get(harness, messages, USER)
    assert (code, [each["message"] for each in page["items"]]) == (200, ["Hello"])
    # The user's next waiter has access.
    bob = await harness.waiter("bob", features=["ack"])
    await anne.send_frame("unready")
    await anne.until("ready_success")
    await talk(harness, bob, "Hello again")
    assert (await get(harness, messages, BOB))[0] == 200


@pytest.mark.gen_test
async def test_wrong_queries_have_errors(harness: Harness) -> None:
    for path in ("/conversations?state=gone", f"/conversations?user={'x' * 65}"):
        code, problem = await get(harness, path, HOST)
        assert (code, problem["code"]) == (400, "bad_parameter")
        assert ("state" if "state" in path else "user") in problem["detail"]
    assert (await get(harness, "/conversations?user=1&before=x", HOST))[0] == 400
    assert (await get(harness, "/conversations?user=nobody", HOST)) == (200, {"items": [], "next": None})
    code, problem = await get(harness, "/conversations/77/messages", HOST)
    assert (code, problem["code"]) == (404, "no_such_conversation")
    assert "77" in problem["detail"]


@pytest.mark.gen_test
async def test_the_status_tells_the_servers_time(harness: Harness) -> None:
    await (await harness.user(1)).get("connect_queue")
    _, status = await get(harness, "/status", ANNE)
    assert status["time"] >= status["queue"]["first"][0]["since"]
