"""Graces of a session over ``kill -9`` and a new start of the real process."""

import signal
from datetime import datetime
from typing import Any

import pytest

from tests.conftest import token
from tests.e2e.conftest import Process
from tornado_chat.client import RawClient

VISITOR, COUNSELLOR = token("user", 1), token("consultant", 2)


async def next_presence(client: RawClient) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = await client.recv_json()
        if "presence" in frame:
            return frame


def remaining_seconds(frame: dict[str, Any]) -> float:
    """Return for how long the visitor is still awaited."""
    until, now = (datetime.fromisoformat(each) for each in (frame["until"]["user"], frame["time"]))
    return (until - now).total_seconds()


@pytest.mark.gen_test
async def test_a_longer_wait_survives_kill_9(process: Process) -> None:
    process.options += ["counselling.rejoin_grace=100", "counselling.longest_grace=5000"]
    harness = (await process.start()).harness
    session = await harness.session()
    counsellor = await harness.chat(COUNSELLOR, session, features="presence,ack")
    visitor = await harness.chat(VISITOR, session, features="ack")
    await visitor.recv_json()
    await visitor.close(1001)
    while "until" not in await next_presence(counsellor):
        pass
    await counsellor.send_json({"wait": 4000})
    while remaining_seconds(await next_presence(counsellor)) < 4000:
        pass
    await counsellor.send_json({"msg": "stored after the wait", "id": "a"})
    while "ack" not in await counsellor.recv_json():
        pass
    await process.stop(signal.SIGKILL)
    harness = (await process.start()).harness
    counsellor = await harness.chat(COUNSELLOR, session, features="presence")
    assert remaining_seconds(await next_presence(counsellor)) > 3000


@pytest.mark.gen_test
async def test_a_visitor_that_was_there_before_kill_9_and_gives_up_cancels_the_session(
    process: Process,
) -> None:
    process.options.append("counselling.ready_grace=0.5")
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    await visitor.send_json({"msg": "hello?", "id": "a"})
    while "ack" not in await visitor.recv_json():
        pass
    await process.stop(signal.SIGKILL)
    harness = (await process.start()).harness
    counsellor = await harness.chat(COUNSELLOR, session, features="presence")
    while (frame := await counsellor.recv_json()).get("msg") != "会话已结束":
        pass
    assert frame["reason"] == "not_started"
