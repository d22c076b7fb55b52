"""Groups over real sockets: whom agents get, what users are told, and ``GET /api/v1/groups``."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Harness, Peer, on_both, token
from tornado_chat import config

pytestmark = on_both

CRISIS = config.Group(
    title="Crisis",
    title_zh_cn="危机",
    text="Day and night",
    roles=("consultant",),
    capacity=2,
    priority=10,
    fallback="default",
    fallback_after=3600.0,
)
SCHOOL = config.Group(public=False, members=("waiter:8",))
GROUPS = {"crisis": CRISIS, "school": SCHOOL}


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return replace(settings, groups=GROUPS)


async def user(harness: Harness, id: int, group: str | None = None, **more: Any) -> Peer:
    peer = await harness.user(id, connect=False, **more)
    await peer.send_frame("connect", None if group is None else {"group": group})
    return peer


async def agent(harness: Harness, role: str, id: int, *features: str, **claims: Any) -> Peer:
    peer = Peer(await harness.connect("/v1/ws/waiter/connect"))
    await peer.sign_in(role, id, [*features], **claims)
    await peer.send_frame("ready")
    return peer


async def groups(harness: Harness, who: str, query: str = "") -> dict[str, dict[str, Any]]:
    answer = await harness.api("GET", f"/api/v1/groups{query}", who)
    assert answer.code == 200, answer.body
    found = json.loads(answer.body)
    assert found["next"] is None
    return {each.pop("name"): each for each in found["items"]}


async def reload(harness: Harness, **groups: config.Group) -> Any:
    harness.config = replace(harness.config, groups=groups)
    return await harness.server.reload(harness.config)


@pytest.mark.gen_test
async def test_a_consultant_serves_a_group_like_a_waiter(harness: Harness) -> None:
    waiting, urgent = await user(harness, 1), await user(harness, 2, "crisis", features=["group", "profile"])
    assert (await waiting.get("connect_queue"))["payload"] == {"location": 1}
    assert (await urgent.get("connect_queue"))["payload"] == {"location": 1, "group": "crisis"}
    helper = await agent(harness, "consultant", 5, "group", "ack", name="陈老师")
    assert (await helper.get("auth_success"))["payload"]["type"] == "consultant"
    assert (await helper.get("new_connection"))["payload"] == {"uuid": urgent.uuid, "group": "crisis"}
    matched = (await urgent.get("connect_success"))["payload"]
    assert matched == {"uuid": helper.uuid, "group": "crisis", "name": "陈老师"}
    await urgent.send_frame("message_text", {"message": "help"})
    assert (await helper.get("message_text"))["payload"]["message"] == "help"
    await helper.send_frame("message_text", {"message": "I am here"}, to=urgent.uuid)
    assert (await helper.get("message_text_success"))["payload"]["seq"] == 2
    assert (await urgent.get("message_text"))["from"] == helper.uuid
    await helper.send_frame("get_history", to=urgent.uuid)
    items = (await helper.get("message_history"))["payload"]["items"]
    assert [(item["sender"], item["from"]) for item in items] == [
        ("user", urgent.uuid),
        ("consultant", helper.uuid),
    ]
    await helper.close(1001)
    again = await agent(harness, "consultant", 5)
    assert (await again.get("new_connection"))["payload"]["uuid"] == urgent.uuid


@pytest.mark.gen_test
async def test_a_consultant_without_a_group_may_not_connect(harness: Harness) -> None:
    await reload(harness, crisis=config.Group())
    peer = await agent(harness, "consultant", 5)
    assert "consultant" in (await peer.get("error"))["payload"]["message"]
    assert (await peer.client.wait_closed()).code == 4403
    member = await agent(harness, "consultant", 6, groups=["crisis"])
    assert "consultant" in (await member.get("error"))["payload"]["message"]
    await reload(harness, crisis=config.Group(members=("consultant:6",)))
    await agent(harness, "consultant", 6)
    await (await user(harness, 1, "crisis")).until("connect_success")


@pytest.mark.parametrize("name", ["nowhere", "school", ""])
@pytest.mark.gen_test
async def test_a_group_that_is_unknown_or_not_public_is_refused(harness: Harness, name: str) -> None:
    peer = await harness.user(1, connect=False)
    asked = await peer.send_frame("connect", {"group": name})
    error = await peer.get("error")
    assert error["reply_id"] == asked
    assert error["payload"]["message"] == f"没有可选的咨询组 {name}"
    await peer.send_frame("connect")  # the socket stays open, and nothing has changed
    assert (await peer.get("connect_queue"))["payload"] == {"location": 1}


@pytest.mark.gen_test
async def test_a_token_opens_a_group_that_is_not_public(harness: Harness) -> None:
    peer = await user(harness, 1, "school", groups=["school"])
    assert (await peer.get("connect_queue"))["payload"] == {"location": 1}
    other, member = await harness.waiter(7), await harness.waiter(8)
    assert (await member.get("new_connection"))["payload"] == {"uuid": peer.uuid}
    await other.send_frame("nonsense")
    await other.get("error")


@pytest.mark.gen_test
async def test_an_open_conversation_is_resumed_in_its_own_group(harness: Harness) -> None:
    first = await user(harness, 1, "crisis")
    await first.get("connect_queue")
    await first.close(1001)
    again = await user(harness, 1, features=["group"])
    assert (await again.get("connect_queue"))["payload"] == {"location": 1, "group": "crisis"}
    await reload(harness)  # the group is removed while its user waits: the waiters serve it
    await user(harness, 1, "crisis")
    await harness.waiter(7)
    assert (await again.until("connect_success"))["payload"]["group"] == "crisis"


@pytest.mark.gen_test
async def test_claims_of_an_agent_name_its_groups_and_its_capacity(harness: Harness) -> None:
    await reload(harness, **{**GROUPS, "crisis": config.Group()})
    helper = await agent(harness, "waiter", 7, groups=["crisis"], capacity=1)
    waiting, urgent, second = (
        await user(harness, 1),
        await user(harness, 2, "crisis"),
        await user(harness, 3, "crisis"),
    )
    assert (await helper.get("new_connection"))["payload"] == {"uuid": urgent.uuid}
    assert (await second.get("connect_queue"))["payload"] == {"location": 1}
    assert (await waiting.get("connect_queue"))["payload"] == {"location": 1}


@pytest.mark.gen_test
async def test_a_user_is_transferred_to_a_consultant_and_back(harness: Harness) -> None:
    waiter, helper = await harness.waiter(7), await agent(harness, "consultant", 5)
    peer = await user(harness, 1, features=["sender"])
    address = (await waiter.get("new_connection"))["payload"]["uuid"]
    await peer.until("connect_success")
    await peer.send_frame("message_text", {"message": "one"})
    await waiter.get("message_text")
    asked = await waiter.send_frame("transfer", {"waiter": 5}, to=address)
    assert (await waiter.get("error"))["reply_id"] == asked  # there is no waiter 5
    await waiter.send_frame("transfer", {"waiter": 5, "role": "consultant"}, to=address)
    assert (await helper.get("new_connection"))["payload"] == {"uuid": address}
    assert (await helper.get("message_text"))["payload"]["message"] == "one"
    assert (await peer.until("handed_over"))["payload"]["to"]["id"] == "5"
    await helper.send_frame("transfer", {"waiter": "7", "role": "waiter"}, to=address)
    assert (await waiter.until("new_connection"))["payload"] == {"uuid": address}


@pytest.mark.gen_test
async def test_the_list_of_groups(harness: Harness) -> None:
    await agent(harness, "consultant", 5, "ready")
    await (await user(harness, 1, "crisis")).until("connect_success")
    for id in (2, 3):
        await (await user(harness, id)).get("connect_queue")
    guest = await groups(harness, token("user", 9))
    no_estimate = {"expected_wait": None, "based_on": 0}
    assert guest == {
        "default": {"title": "default", "text": "", "open": False, **no_estimate},
        "crisis": {"title": "危机", "text": "Day and night", "open": True, **no_estimate},
    }
    pupil = await groups(harness, token("user", 9, groups="school"), "?language=en")
    assert [*pupil] == ["default", "crisis", "school"]
    assert pupil["crisis"]["title"] == "Crisis"
    for who in (token("waiter", 7), token("supervisor", 3), token("admin", 1), token("service", 1)):
        seen = await groups(harness, who)
        waits = seen["default"]["numbers"].pop("longest_wait")
        assert waits >= 0
        assert seen["default"]["numbers"] == {
            "public": True,
            "waiting": 2,
            "serving": 0,
            "free": 0,
            "conversations": 0,
            "priority": 0,
            "fallback": None,
            "fallback_after": 120.0,
        }
        crisis = seen["crisis"]["numbers"]
        assert (crisis["serving"], crisis["free"], crisis["conversations"]) == (1, 1, 1)
        assert (crisis["priority"], crisis["fallback"]) == (10, "default")
        assert seen["school"]["numbers"]["public"] is False
    serving = {
        token("waiter", 7): [True, False, False],
        token("waiter", 8): [True, False, True],
        token("consultant", 5): [False, True, False],
        token("consultant", 5, groups="default"): [False, False, False],
        token("admin", 1): [False, False, False],
    }
    for who, expected in serving.items():
        assert [each["serves"] for each in (await groups(harness, who)).values()] == expected
    assert (await harness.api("GET", "/api/v1/groups")).code == 401
    assert (await harness.api("GET", "/api/v1/groups?language=fr", token("user", 9))).code == 400


@pytest.mark.gen_test
async def test_a_group_is_open_while_its_fallback_group_is(harness: Harness) -> None:
    await (await harness.waiter(7, features=["ready"])).get("ready_success")
    assert (await groups(harness, token("user", 9)))["crisis"]["open"] is True


@pytest.mark.gen_test
async def test_the_fallback_group_serves_a_user_who_has_waited(harness: Harness) -> None:
    await reload(harness, crisis=replace(CRISIS, fallback_after=0.05))
    waiter = await harness.waiter(7)
    peer = await user(harness, 1, "crisis")
    await peer.until("connect_success")
    assert (await waiter.get("new_connection"))["payload"] == {"uuid": peer.uuid}


@pytest.mark.gen_test
async def test_status_and_metrics_know_groups(harness: Harness) -> None:
    await agent(harness, "consultant", 5)
    await (await user(harness, 1, "crisis")).until("connect_success")
    await (await user(harness, 2, "school", groups=["school"])).get("connect_queue")
    status = json.loads((await harness.api("GET", "/api/v1/status", token("admin", 1))).body)
    assert [group["name"] for group in status["groups"]] == ["default", "crisis", "school"]
    assert [group["waiting"] for group in status["groups"]] == [0, 0, 1]
    assert status["line"]["first"][0]["group"] == "school"
    (helper,) = status["waiters"]["items"]
    assert (helper["role"], helper["groups"], helper["capacity"]) == ("consultant", ["crisis"], 2)
    assert {each["group"] for each in status["conversations"]["items"]} == {"crisis", "school"}
    text = (await harness.api("GET", "/metrics")).body.decode()
    assert 'tornado_chat_group_waiting{group="school"} 1.0' in text
    assert 'tornado_chat_group_agents{group="crisis",state="serving"} 1.0' in text
    assert "tornado_chat_queue_length 1.0" in text
    for who in (token("waiter", 7), token("consultant", 5)):
        answer = await harness.api("GET", "/api/v1/support/status", who)
        assert json.loads(answer.body)["waiters"][0]["groups"] == ["crisis"]
    assert (await harness.api("GET", "/api/v1/support/status", token("user", 1))).code == 403


@pytest.mark.gen_test
async def test_a_reload_names_the_options_of_groups(harness: Harness) -> None:
    change = await reload(harness, crisis=replace(CRISIS, capacity=3), young=config.Group())
    assert change.options == ["group:crisis.capacity", "group:school", "group:young"]
    assert change.needs_restart == []


class TestWithoutGroups:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return replace(settings, groups={})

    @pytest.mark.gen_test
    async def test_there_is_one_group_and_claims_do_not_count(self, harness: Harness) -> None:
        consultant = await agent(harness, "consultant", 5, groups=["default"])
        await consultant.get("error")
        assert (await consultant.client.wait_closed()).code == 4403
        await agent(harness, "waiter", 7, groups=["crisis"], capacity=0)
        await (await user(harness, 1, "default")).until("connect_success")
        assert [*await groups(harness, token("user", 9))] == ["default"]
        refused = await user(harness, 2, "crisis")
        await refused.get("error")


@pytest.mark.gen_test
async def test_pages_know_whether_there_are_several_groups(harness: Harness) -> None:
    for path in ("/widget", "/console", "/desk"):
        assert b'<meta name="groups" content="on">' in (await harness.api("GET", path)).body
    await reload(harness)
    assert b'<meta name="groups" content="off">' in (await harness.api("GET", "/widget")).body
