"""``/chat`` over real sockets: the exact frames of the seed."""

import gc
import re

import pytest
from tornado.http1connection import HTTP1ServerConnection

from tests.conftest import Harness, on_both, token

pytestmark = on_both

VISITOR = token("user", 1, "小林")
COUNSELLOR = token("consultant", 2, "陈老师")

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$")


def system(frame: dict[str, object]) -> str:
    assert set(frame) == {"isSystem", "system", "msg", "time"}
    assert frame["isSystem"] is True
    assert frame["system"] is True
    assert TIME.match(str(frame["time"]))
    return str(frame["msg"])


def said(frame: dict[str, object]) -> str:
    assert set(frame) == {"isSystem", "system", "msg", "time"}
    assert frame["isSystem"] is False
    return str(frame["msg"])


@pytest.mark.gen_test
async def test_a_whole_session(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    assert system(await visitor.recv_json()) == "来访者 小林已进入会话"
    counsellor = await harness.chat(COUNSELLOR, session)
    for client in (visitor, counsellor):
        assert system(await client.recv_json()) == "咨询师 陈老师已进入会话"
        assert system(await client.recv_json()) == "会话已开始"
    await visitor.send_json({"msg": "hello"})
    assert said(await counsellor.recv_json()) == "hello"
    await counsellor.send_json({"msg": "hi"})
    assert said(await visitor.recv_json()) == "hi"
    await counsellor.close(4000)
    assert system(await visitor.recv_json()) == "会话已结束"
    assert (await visitor.wait_closed()).code == 1000


@pytest.mark.gen_test
async def test_an_open_socket_drops_its_request(harness: Harness) -> None:
    def left() -> int:
        gc.collect()
        return sum(isinstance(each, HTTP1ServerConnection) for each in gc.get_objects())

    before = left()
    for n in range(5):
        await harness.connect(f"/notify?token={token('user', n)}")
    assert left() == before
