"""Joining, leaving and returning in a counselling session."""

import asyncio

import pytest

from tests.conftest import Harness, changed, on_both, token
from tornado_chat import config
from tornado_chat.client import ConnectionClosed, RawClient
from tornado_chat.core.types import Kind, Person, Role, Thread
from tornado_chat.server.server import Server

pytestmark = on_both

VISITOR = token("user", 1, "小林")
COUNSELLOR = token("consultant", 2, "陈老师")


async def begun(harness: Harness, session: int, features: str = "") -> tuple[RawClient, RawClient]:
    """Connect both participants and read their first frames."""
    visitor = await harness.chat(VISITOR, session, features=features)
    await texts(visitor, 1)
    counsellor = await harness.chat(COUNSELLOR, session, features=features)
    for client in (visitor, counsellor):
        assert (await texts(client, 2))[-1] == "会话已开始"
    return visitor, counsellor


async def another_tab(harness: Harness, session: int) -> RawClient:
    """Connect a second tab; it gets all later messages, also those that the first tab has confirmed."""
    tab = await harness.chat(VISITOR, session, features="history")
    assert (await tab.recv_json())["history"] == []
    return tab


async def texts(client: RawClient, count: int) -> list[str]:
    return [(await client.recv_json())["msg"] for _ in range(count)]


@pytest.mark.gen_test
async def test_a_page_reload_loses_and_repeats_no_message(harness: Harness) -> None:
    session = await harness.session()
    visitor, counsellor = await begun(harness, session)
    await counsellor.send_json({"msg": "before"})
    assert await texts(visitor, 1) == ["before"]
    await harness.receipt(Person(Role.USER, "1"), Thread(Kind.SESSION, session), 1)
    await visitor.close(1001)
    await counsellor.send_json({"msg": "meanwhile 1"})
    await counsellor.send_json({"msg": "meanwhile 2"})
    again = await harness.chat(VISITOR, session)
    assert await texts(again, 2) == ["meanwhile 1", "meanwhile 2"]
    await again.send_json({"msg": "back"})
    assert await texts(counsellor, 1) == ["back"]  # no frames about leaving and joining


@pytest.mark.gen_test
async def test_messages_before_the_counsellor_joins_are_delivered(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    for n in range(300):  # more than one page of missed messages
        await visitor.send_json({"msg": str(n)})
    counsellor = await harness.chat(COUNSELLOR, session)
    said = [frame for frame in [await counsellor.recv_json() for _ in range(302)] if not frame["isSystem"]]
    assert [frame["msg"] for frame in said] == [str(n) for n in range(300)]


@pytest.mark.gen_test
async def test_two_tabs_of_one_visitor(harness: Harness) -> None:
    session = await harness.session()
    visitor, counsellor = await begun(harness, session)
    tab = await another_tab(harness, session)
    await counsellor.send_json({"msg": "to both"})
    assert await texts(visitor, 1) == await texts(tab, 1) == ["to both"]
    await visitor.send_json({"msg": "from one"})
    assert await texts(counsellor, 1) == ["from one"]
    await visitor.close()
    await tab.send_json({"msg": "from the other"})
    assert await texts(counsellor, 1) == ["from the other"]
    await counsellor.send_json({"msg": "marker"})
    assert await texts(tab, 1) == ["marker"]  # no echo of the other tab's messages


@pytest.mark.gen_test
@pytest.mark.parametrize("code", [4000, 1000])
async def test_joining_and_leaving_before_the_start(harness: Harness, code: int) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    assert await texts(visitor, 1) == ["来访者 小林已进入会话"]
    await visitor.close(code)
    counsellor = await harness.chat(COUNSELLOR, session)
    if code == 4000:
        assert (await counsellor.wait_closed()).code == 4409
    else:
        assert await texts(counsellor, 1) == ["咨询师 陈老师已进入会话"]
        await harness.chat(VISITOR, session)
        assert await texts(counsellor, 2) == ["来访者 小林已进入会话", "会话已开始"]


@pytest.mark.gen_test
async def test_4001_before_the_start_cancels_and_after_it_only_leaves(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    await texts(visitor, 1)
    tab = await another_tab(harness, session)
    await visitor.close(4001)
    assert await texts(tab, 1) == ["会话已结束"]
    assert (await tab.wait_closed()).code == 1000
    assert b'"state":"cancelled"' in (await harness.api("GET", f"/api/v1/sessions/{session}", VISITOR)).body

    session = await harness.session()
    visitor, counsellor = await begun(harness, session)
    await visitor.close(4001)
    visitor = await harness.chat(VISITOR, session)
    await visitor.send_json({"msg": "still here"})
    assert await texts(counsellor, 1) == ["still here"]


@pytest.mark.gen_test
async def test_a_return_after_the_end_gets_missed_messages_the_end_and_4409(harness: Harness) -> None:
    session = await harness.session()
    visitor, counsellor = await begun(harness, session)
    await visitor.close(1001)
    await counsellor.send_json({"msg": "good bye"})
    await counsellor.close(4000)
    visitor = await harness.chat(VISITOR, session)
    assert (await visitor.wait_closed()).code == 4409
    assert await texts(visitor, 2) == ["good bye", "会话已结束"]
    with pytest.raises(ConnectionClosed):
        await visitor.recv_json()


@pytest.mark.gen_test
async def test_the_host_ends_an_active_session(harness: Harness) -> None:
    session = await harness.session()
    visitor, counsellor = await begun(harness, session, "ack")
    await visitor.send_json({"msg": "last words", "id": "z"})
    assert (await visitor.recv_json())["ack"] == "z"
    answer = await harness.api("POST", f"/api/v1/sessions/{session}/end", token("service", "host"))
    assert b'"state":"completed"' in answer.body
    assert await texts(counsellor, 2) == ["last words", "会话已结束"]
    assert await texts(visitor, 1) == ["会话已结束"]
    for client in (visitor, counsellor):
        assert (await client.wait_closed()).code == 1000


class TestGrace:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "counselling", rejoin_grace=0.2)

    @pytest.mark.gen_test
    async def test_the_session_ends_after_the_grace_time(self, harness: Harness) -> None:
        session = await harness.session()
        visitor, counsellor = await begun(harness, session)
        await visitor.close()
        assert await texts(counsellor, 1) == ["会话已结束"]
        assert (await counsellor.wait_closed()).code == 1000
        assert (await (await harness.chat(VISITOR, session)).wait_closed()).code == 4409


@pytest.mark.gen_test
async def test_a_session_continues_after_a_server_restart(harness: Harness, settings: config.Config) -> None:
    session = await harness.session()
    visitor, counsellor = await begun(harness, session)
    await visitor.send_json({"msg": "one", "id": "1"})
    assert await texts(counsellor, 1) == ["one"]
    await visitor.close()
    await counsellor.send_json({"msg": "two"})
    await counsellor.send_json({"msg": "three"})
    await harness.server.stop()
    assert (await counsellor.wait_closed()).code == 1006  # plain clients are cut

    harness.server = Server(settings)
    await harness.server.start()
    visitor = await harness.chat(VISITOR, session)
    assert await texts(visitor, 2) == ["two", "three"]
    counsellor = await harness.chat(COUNSELLOR, session)
    await visitor.send_json({"msg": "one", "id": "1"})  # a message of before the restart, sent again
    await visitor.send_json({"msg": "four"})
    assert await texts(counsellor, 1) == ["four"]


@pytest.mark.gen_test
async def test_sockets_that_join_during_the_end_are_closed(harness: Harness) -> None:
    for _ in range(30):
        session = await harness.session()
        visitor, counsellor, _ = await asyncio.gather(
            harness.chat(VISITOR, session),
            harness.chat(COUNSELLOR, session),
            harness.api("POST", f"/api/v1/sessions/{session}/end", token("service", "host")),
        )
        for client in (visitor, counsellor):
            assert (await client.wait_closed()).code in (1000, 4409)
