"""The features typing, read and presence of ``/chat``."""

import pytest

from tests.conftest import Harness, token
from tornado_chat.client import RawClient

VISITOR, COUNSELLOR = token("user", 1, "Lin"), token("consultant", 2, "Chen")


async def sign(client: RawClient, key: str) -> dict[str, object]:
    """Return the next frame with this key; earlier frames are dropped."""
    while True:
        frame = await client.recv_json()
        if key in frame:
            return dict(frame)


@pytest.mark.gen_test
async def test_typing_is_sent_to_the_other_side_only(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="typing")
    plain = await harness.chat(COUNSELLOR, session)
    while (await plain.recv_json())["msg"] != "会话已开始":
        pass
    counsellor = await harness.chat(COUNSELLOR, session, features="typing,presence")
    await sign(counsellor, "presence")  # the socket is admitted
    await visitor.send_json({"typing": True})
    assert await sign(counsellor, "typing") == {"typing": True, "role": "user"}
    await visitor.send_json({"typing": False})
    assert await sign(counsellor, "typing") == {"typing": False, "role": "user"}
    await counsellor.send_json({"typing": True})
    assert await sign(visitor, "typing") == {
        "typing": True,
        "role": "consultant",
    }  # its first frame about typing
    await visitor.send_json({"msg": "there"})
    assert (await plain.recv_json())["msg"] == "there"


@pytest.mark.gen_test
async def test_read_positions_are_sent_and_stored(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="read,ack")
    counsellor = await harness.chat(COUNSELLOR, session, features="read")
    for n in range(3):
        await visitor.send_json({"msg": "x", "id": f"{n}"})
        await sign(visitor, "ack")
    await counsellor.send_json({"read": 2})
    assert await sign(visitor, "read") == {"read": 2, "role": "consultant"}
    assert await sign(counsellor, "read") == {
        "read": 2,
        "role": "consultant",
    }  # for the person's other windows
    for seq in (1, 2, 99):  # a lower seq has no effect; a seq after the last message means the last
        await counsellor.send_json({"read": seq})
    assert await sign(visitor, "read") == {"read": 3, "role": "consultant"}
    await visitor.close(1001)
    again = await harness.chat(VISITOR, session, features="read")
    assert await sign(again, "read") == {"read": 3, "role": "consultant"}


@pytest.mark.gen_test
async def test_presence_is_sent_on_joining_and_on_each_change(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="presence")
    await presence(visitor, user=True, consultant=False)
    counsellor = await harness.chat(COUNSELLOR, session, features="presence")
    await presence(counsellor, user=True, consultant=True)
    await presence(visitor, user=True, consultant=True)
    second = await harness.chat(COUNSELLOR, session)
    await second.close(1001)
    await counsellor.close(1001)
    await presence(visitor, user=True, consultant=False)


async def presence(client: RawClient, **there: bool) -> None:
    """Wait for exactly this presence frame."""
    while (await sign(client, "presence"))["presence"] != there:
        pass


@pytest.mark.gen_test
@pytest.mark.parametrize("frame", [{"typing": True}, {"read": 1}, {"typing": "yes"}, {"read": 0}])
async def test_frames_without_their_feature_are_refused(harness: Harness, frame: dict[str, object]) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    await visitor.recv_json()
    await visitor.send_json(frame)
    assert (await visitor.recv_json())["msg"].startswith("错误: ")
