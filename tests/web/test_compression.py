"""Compression for clients that offer it, in both dialects."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets import ConnectionClosed
from websockets.asyncio.client import ClientConnection, connect

from tests.conftest import House, changed, on_both, token
from tornado_chat.client import RawClient
from tornado_chat.config.sections import Config

pytestmark = on_both

VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")
LONG = "I do not know how to say it, so I say it again and again. " * 40


@pytest.fixture
def settings(settings: Config) -> Config:
    return changed(settings, "web", compression=True)


class Compressed(ClientConnection):
    """A client that offers compression and compresses whatever it sends."""

    come = 0  # bytes, inflated
    come_by_wire = 0

    @classmethod
    async def connect(cls, url: str) -> "Compressed":
        client = await connect(url, create_connection=cls, proxy=None)
        assert isinstance(client, cls)
        return client

    @property
    def accepted(self) -> bool:
        return bool(self.protocol.extensions)

    @property
    def gain(self) -> float:
        """How much longer what came would have been."""
        return self.come / self.come_by_wire

    def data_received(self, data: bytes) -> None:
        self.come_by_wire += len(data)
        super().data_received(data)

    async def tell(self, frame: Any) -> None:
        await self.send(json.dumps(frame))

    async def until(self, key: str, value: Any = None) -> dict[str, Any]:
        while True:
            message = await self.recv()
            self.come += len(message)
            frame: dict[str, Any] = json.loads(message)
            if key in frame and value in (None, frame[key]):
                return frame


@pytest.mark.gen_test
async def test_history_pages_and_messages_of_a_conversation(house: House) -> None:
    session = await house.session()
    plain = await house.chat(COUNSELLOR, session, features="seq")
    url = f"{house.ws}/chat?token={VISITOR}&sessionId={session}&type=0&features=history,ack,seq"
    visitor = await Compressed.connect(url)
    assert visitor.accepted
    for n in range(1, 61):
        await visitor.tell({"msg": f"{LONG}{n}", "id": str(n)})
    await visitor.until("ack", "60")
    told = [frame async for frame in said(plain, 60)]
    assert told == [f"{LONG}{n}" for n in range(1, 61)]
    await plain.send_json({"msg": f"{LONG}!"})
    assert (await visitor.until("msg", f"{LONG}!"))["seq"] == 61
    tab = await Compressed.connect(url)
    newest = await tab.until("history")
    assert [line["msg"] for line in newest["history"]] == [*(f"{LONG}{n}" for n in range(12, 61)), f"{LONG}!"]
    await tab.tell({"history": newest["next"]})
    assert [line["seq"] for line in (await tab.until("history"))["history"]] == list(range(1, 12))
    assert tab.gain > 10
    for socket in (visitor, tab):
        await socket.close()


async def said(client: RawClient, count: int) -> AsyncIterator[str]:
    while count:
        frame = await client.recv_json()
        if not frame["isSystem"]:
            count -= 1
            yield frame["msg"]


@pytest.mark.gen_test
async def test_support_sockets(house: House) -> None:
    waiter = await house.waiter(7)
    user = await Compressed.connect(f"{house.ws}/v1/ws/user/connect")
    assert user.accepted
    for type, payload in (("auth", {"token": token("user", 1, "Ada")}), ("connect", None)):
        await user.tell({"id": type, "type": type, "payload": payload})
    uuid = (await waiter.until("new_connection"))["payload"]["uuid"]
    for n in range(10):
        await user.tell({"id": str(n), "type": "message_text", "payload": {"message": f"{LONG}{n}"}})
        assert (await waiter.until("message_text"))["payload"]["message"] == f"{LONG}{n}"
        await waiter.tell("message_text", {"message": f"{n}{LONG}"}, to=uuid)
        assert (await user.until("type", "message_text"))["payload"]["message"] == f"{n}{LONG}"
    await user.tell({"id": "h", "type": "get_history", "payload": {}})
    assert len((await user.until("type", "message_history"))["payload"]["items"]) == 20
    assert user.gain > 5
    await user.close()


@pytest.mark.gen_test
async def test_what_is_too_long_once_inflated_is_too_long(house: House) -> None:
    session = await house.session()
    visitor = await Compressed.connect(f"{house.ws}/chat?token={VISITOR}&sessionId={session}&type=0")
    await visitor.tell({"msg": "x" * 70_000})  # a hundred bytes on the wire
    with pytest.raises(ConnectionClosed) as closed:
        await visitor.until("never")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


@pytest.mark.gen_test
async def test_a_reload_is_for_new_sockets(house: House) -> None:
    session = await house.session()
    url = f"{house.ws}/chat?token={VISITOR}&sessionId={session}&type=0&features=ack"
    before = await Compressed.connect(url)
    house.config = changed(house.config, "web", compression=False)
    await house.server.reload(house.config)
    after = await Compressed.connect(url)
    assert (before.accepted, after.accepted) == (True, False)
    for socket in (before, after):
        await socket.tell({"msg": LONG, "id": "x"})
        assert (await socket.until("ack"))["ack"] == "x"
        await socket.close()
