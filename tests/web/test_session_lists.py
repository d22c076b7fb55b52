"""``GET /api/v1/sessions``: who lists which sessions, pages, conditions, and who is in a session."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conftest import Harness, changed, token
from tornado_chat import config
from tornado_chat.core.numbers import MAX_NUMBER

HOST = token("service", "host")
ADMIN = token("admin", 1)
LIN, ADA = token("user", 1, "Lin"), token("user", 11, "Ada")
CHEN, BERG = token("consultant", 2, "Chen"), token("consultant", 12, "Berg")


async def get(harness: Harness, who: str | None, **query: Any) -> tuple[int, dict[str, Any]]:
    answer = await harness.api("GET", f"/api/v1/sessions?{urlencode(query)}", who)
    return answer.code, json.loads(answer.body)


async def numbers(harness: Harness, who: str, **query: Any) -> list[str]:
    code, page = await get(harness, who, **query)
    assert code == 200, page
    return [str(item["session_id"]) for item in page["items"]]


async def error(harness: Harness, who: str | None, **query: Any) -> tuple[int, str]:
    code, problem = await get(harness, who, **query)
    return code, problem["code"]


async def end(harness: Harness, session: int) -> None:
    assert (await harness.api("POST", f"/api/v1/sessions/{session}/end", HOST)).code == 200


@pytest.mark.gen_test
async def test_people_list_their_own_sessions_and_hosts_all(harness: Harness) -> None:
    one = await harness.session(1, 2)
    two = await harness.session(11, 2)
    three = await harness.session(11, 12)
    assert await numbers(harness, CHEN) == [f"{two}", f"{one}"]
    assert await numbers(harness, LIN) == [f"{one}"]
    assert await numbers(harness, ADA) == [f"{three}", f"{two}"]
    assert await numbers(harness, token("consultant", 99)) == []
    # The same id in another role is another person.
    assert await numbers(harness, token("user", 2)) == []
    for who in (HOST, ADMIN):
        assert await numbers(harness, who) == [f"{three}", f"{two}", f"{one}"]
        assert await numbers(harness, who, user_id=11, consultant_id=2) == [f"{two}"]
    # A person may name itself, and the other participant.
    assert await numbers(harness, CHEN, consultant_id=2, user_id=11) == [f"{two}"]
    assert await numbers(harness, CHEN, user_id=99) == []
    assert await error(harness, CHEN, consultant_id=12) == (403, "only_your_sessions")
    assert await error(harness, LIN, user_id=11) == (403, "only_your_sessions")
    for role in ("waiter", "supervisor"):
        assert await error(harness, token(role, 3)) == (403, "role_not_allowed")
    assert await error(harness, None) == (401, "token_missing")


@pytest.mark.gen_test
async def test_the_items(harness: Harness) -> None:
    snowflake = 9007199254740993
    names = {"user_name": "小林", "consultant_name": "陈老师", "appointment_id": MAX_NUMBER}
    await harness.session(snowflake, 2, session_id=MAX_NUMBER, **names)
    page = (await get(harness, CHEN))[1]
    assert page["next"] is None
    (item,) = page["items"]
    whole = json.loads((await harness.api("GET", f"/api/v1/sessions/{MAX_NUMBER}", CHEN)).body)
    assert item == {
        "session_id": str(MAX_NUMBER),
        "user_id": str(snowflake),
        "consultant_id": "2",
        "user_name": "小林",
        "consultant_name": "陈老师",
        "appointment_id": str(MAX_NUMBER),
        "state": "ready",
        "present": [],
        "created": whole["created"],
        "started": None,
        "ended": None,
        "messages": 0,
        "rate": None,
        "end_reason": None,
    }
    # Back ends of hosts get numbers, as in all other answers.
    of_host = (await get(harness, HOST))[1]["items"][0]
    assert (of_host["session_id"], of_host["user_id"]) == (MAX_NUMBER, snowflake)
    visitor = await harness.chat(token("user", snowflake), MAX_NUMBER, features="presence")
    while "presence" not in await visitor.recv_json():  # it has joined then
        pass
    assert (await get(harness, CHEN))[1]["items"][0]["present"] == ["user"]
    consultant = await harness.chat(CHEN, MAX_NUMBER, features="ack")
    await consultant.send_json({"msg": "hello", "id": "a"})
    while "ack" not in await consultant.recv_json():
        pass
    (item,) = (await get(harness, HOST))[1]["items"]
    assert (item["session_id"], item["user_id"]) == (MAX_NUMBER, snowflake)
    assert (item["state"], item["present"], item["messages"]) == ("active", ["user", "consultant"], 1)
    await end(harness, MAX_NUMBER)
    await visitor.close()
    rating = {"rate": 4, "feedback": "kind"}
    path = f"/api/v1/sessions/{MAX_NUMBER}/rating"
    assert (await harness.api("POST", path, token("user", snowflake), rating)).code == 200
    (item,) = (await get(harness, CHEN))[1]["items"]
    assert (item["state"], item["present"], item["rate"]) == ("completed", None, 4)
    assert item["end_reason"] == "ended"
    assert item["created"] <= item["started"] <= item["ended"]


@pytest.mark.gen_test
async def test_pages_and_conditions(harness: Harness) -> None:
    sessions = [f"{await harness.session(each, 2, user_name=f'Visitor {each}')}" for each in range(1, 6)]
    await end(harness, int(sessions[1]))
    seen: list[str] = []
    after = ""
    while after is not None:
        page = (await get(harness, CHEN, limit=2, after=after))[1]
        seen += [item["session_id"] for item in page["items"]]
        after = page["next"]
    assert seen == sessions[::-1]
    assert await numbers(harness, CHEN, state="completed") == [sessions[1]]
    assert await numbers(harness, CHEN, state="open") == [sessions[i] for i in (4, 3, 2, 0)]
    assert await numbers(harness, CHEN, state="ready", name="visitor 3") == [sessions[2]]
    assert await numbers(harness, CHEN, name="chen") == [], "the caller is in every session"
    long_ago, now = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00+08:00"
    assert await numbers(harness, CHEN, opened_from=long_ago, opened_before=now) == sessions[::-1]
    assert await numbers(harness, CHEN, opened_before=long_ago) == []
    assert await numbers(harness, HOST, opened_from=now) == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"state": "asleep"}, "state"),
        ({"after": "4"}, "after"),
        ({"after": f"1.{10**19}"}, "after"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"name": "x" * 65}, "name"),
        ({"opened_from": "2025-03-20"}, "opened_from"),
        ({"opened_from": "2025-03-20T00:00:00"}, "opened_from"),
        ({"opened_before": "2025-03-20T00:00:00 08:00"}, "opened_before"),
    ],
)
async def test_malformed_queries(harness: Harness, query: dict[str, Any], name: str) -> None:
    code, problem = await get(harness, HOST, **query)
    assert (code, problem["code"]) == (400, "bad_parameter")
    assert f"The parameter {name} is not valid" in problem["detail"]


INTAKE = """
from tornado_chat.plugin_api import Action, Plugin, hookimpl

class Intake(Plugin):
    @hookimpl
    def authorize(self, identity, action, thread):
        if action is not Action.LIST:
            return None
        assert thread is None
        return {"12": True, "2": False}.get(identity.person.id)
"""


class TestPlugin:
    @pytest.fixture
    def settings(self, settings: config.Config, tmp_path: Path) -> config.Config:
        folder = tmp_path / "plugins.d"
        folder.mkdir()
        (folder / "intake.py").write_text(INTAKE)
        return changed(settings, "plugins", paths=(str(folder),))

    @pytest.mark.gen_test
    async def test_a_plugin_decides_on_lists(self, harness: Harness) -> None:
        session = f"{await harness.session(1, 2)}"
        assert await numbers(harness, BERG) == [session]
        assert await error(harness, CHEN) == (403, "not_allowed")
        assert await numbers(harness, LIN) == [session]
        assert (await harness.api("GET", f"/api/v1/sessions/{session}", BERG)).code == 403
