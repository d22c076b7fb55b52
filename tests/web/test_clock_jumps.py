"""The wall clock is set forward and back during conversations: they continue, and order is kept."""

import json
import time
from collections.abc import Callable

import pytest

from tests.conftest import Harness, changed, token
from tornado_chat import config

DAY = 86400 * 10**9
VISITOR, COUNSELLOR, SUPERVISOR = token("user", 1), token("consultant", 2), token("supervisor", 3)


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets the clock forward by a number of days."""
    real = time.time_ns
    return lambda days: monkeypatch.setattr(time, "time_ns", lambda: real() + days * DAY)


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return changed(changed(settings, "counselling", rejoin_grace=3600.0), "support", rejoin_grace=3600.0)


@pytest.mark.gen_test
async def test_a_session_continues_and_messages_keep_their_order(
    harness: Harness, jump: Callable[[int], None]
) -> None:
    session = await harness.session()
    await harness.record(session)
    visitor = await harness.chat(VISITOR, session, features="ack")
    counsellor = await harness.chat(COUNSELLOR, session, features="seq")
    while (await counsellor.recv_json())["msg"] != "会话已开始":
        pass
    observer = await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={session}")
    expected = []
    for days in (0, 2, -3, 40, -400, 0):
        jump(days)
        expected.append(f"day {days}")
        await visitor.send_json({"msg": expected[-1], "id": f"d{days}{len(expected)}"})
        frame = await counsellor.recv_json()
        assert (frame["msg"], frame["seq"]) == (expected[-1], len(expected))
        assert (await observer.recv_json())["msg"] == expected[-1]
    await counsellor.close(1001)
    jump(365)
    await visitor.send_json({"msg": "are you there?"})
    jump(-365)
    again = await harness.chat(COUNSELLOR, session)
    assert (await again.recv_json())["msg"] == "are you there?"
    page = await harness.api("GET", f"/api/v1/sessions/{session}/messages", token("service", "host"))
    assert [item["msg"] for item in json.loads(page.body)["items"]] == [*expected, "are you there?"]
    state = await harness.api("GET", f"/api/v1/sessions/{session}", token("service", "host"))
    assert json.loads(state.body)["state"] == "active"


@pytest.mark.gen_test
async def test_the_queue_keeps_its_order(harness: Harness, jump: Callable[[int], None]) -> None:
    line = []
    for id, days in enumerate((0, -5, 7), 1):
        jump(days)
        line.append(await harness.user(id))
        assert (await line[-1].get("connect_queue"))["payload"] == {"location": id}
    jump(-30)
    waiter = await harness.waiter(9)
    for user in line:
        assert (await waiter.until("new_connection"))["payload"] == {"uuid": user.uuid}
