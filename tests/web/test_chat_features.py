"""The opt-in features of ``/chat``."""

import pytest

from tests.conftest import Harness, changed, on_both, token
from tornado_chat import config

pytestmark = on_both

VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")


@pytest.mark.gen_test
async def test_ack_carries_seq_and_time_also_for_a_resend(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    await visitor.recv_json()
    await visitor.send_json({"msg": "a", "id": "x"})
    first = await visitor.recv_json()
    assert set(first) == {"ack", "seq", "time"}
    assert (first["ack"], first["seq"]) == ("x", 1)
    await visitor.send_json({"msg": "no id"})
    await visitor.send_json({"msg": "a", "id": "x"})
    assert await visitor.recv_json() == first
    await visitor.close()
    visitor = await harness.chat(VISITOR, session, features="ack")
    await visitor.send_json({"msg": "a", "id": "x"})
    await visitor.recv_json()  # a second join notice: the session has not started
    assert await visitor.recv_json() == first
    counsellor = await harness.chat(COUNSELLOR, session)
    assert [(await counsellor.recv_json())["msg"] for _ in range(2)] == ["a", "no id"]
    await visitor.send_json({"msg": 5, "id": "bad"})
    told = [await visitor.recv_json() for _ in range(3)]  # one of them: the session has started
    assert [frame["id"] for frame in told if frame["msg"].startswith("错误")] == ["bad"]


@pytest.mark.gen_test
async def test_echo_and_seq_number_messages_without_gaps(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="echo,seq,unknown")
    counsellor = await harness.chat(COUNSELLOR, session, features="seq,echo")
    for n in range(100):
        await visitor.send_json({"msg": f"v{n}"})
        await counsellor.send_json({"msg": f"c{n}"})
    seen = []
    for client in (visitor, counsellor):
        frames = []
        while len(frames) < 200:
            frame = await client.recv_json()
            if not frame["isSystem"]:
                frames.append(frame)
        assert [frame["seq"] for frame in frames] == list(range(1, 201))
        assert len({frame["id"] for frame in frames}) == 200
        own = "v" if client is visitor else "c"
        assert all(frame.get("self", False) is frame["msg"].startswith(own) for frame in frames)
        seen.append([frame["msg"] for frame in frames])
    assert seen[0] == seen[1]
    assert [msg for msg in seen[0] if msg[0] == "v"] == [f"v{n}" for n in range(100)]


@pytest.mark.gen_test
async def test_history_comes_in_pages(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    await visitor.recv_json()
    for n in range(1, 61):
        await visitor.send_json({"msg": str(n)})
    counsellor = await harness.chat(COUNSELLOR, session)
    while (await counsellor.recv_json())["msg"] != "60":
        pass
    tab = await harness.chat(VISITOR, session, features="history")
    while "history" not in (
        newest := await tab.recv_json()
    ):  # the notice that the session has started may be first
        pass
    assert [line["seq"] for line in newest["history"]] == list(range(11, 61))
    assert set(newest["history"][0]) == {"seq", "msg", "senderType", "time", "sender"}
    await tab.send_json({"history": newest["next"]})
    while "history" not in (oldest := await tab.recv_json()):
        pass
    assert [line["msg"] for line in oldest["history"]] == [str(n) for n in range(1, 11)]
    assert oldest["next"] is None
    # A client whose position is ahead, as the database has gone back, gets the newest page.
    await tab.send_json({"history": 10**6})
    while "history" not in (page := await tab.recv_json()):
        pass
    assert page["history"] == newest["history"]
    await visitor.send_json({"history": None})  # a client without the feature
    while "错误" not in (answer := await visitor.recv_json())["msg"]:
        pass
    assert '{"msg": "…"}' in answer["msg"]


class TestEnglishWithoutTheLegacyKey:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        settings = changed(settings, "counselling", legacy_system_key=False)
        return changed(settings, "server", language="en")

    @pytest.mark.gen_test
    async def test_frames(self, harness: Harness) -> None:
        session = await harness.session(user_name="Lin")
        visitor = await harness.chat(
            token("user", 1), session
        )  # no name in the token: the name of the session is used
        frame = await visitor.recv_json()
        assert set(frame) == {"isSystem", "msg", "time"}
        assert frame["msg"] == "Visitor Lin has joined the session"
        counsellor = await harness.chat(
            token("consultant", 2), session
        )  # no name in the session, either: the id is used
        assert (await counsellor.recv_json())["msg"] == "Counsellor 2 has joined the session"
        await visitor.send("oops")
        told = [(await visitor.recv_json())["msg"] for _ in range(3)]
        assert any(text.startswith("Error: This is not valid JSON") for text in told)
