"""The log contains all events of a conversation under its number, and of a socket under its ``conn``."""

import asyncio
import logging
from typing import Any

import pytest

from tests.conftest import Harness, changed, token
from tornado_chat import config
from tornado_chat.client import ConnectionClosed
from tornado_chat.core.types import Kind, Person, Role, Thread

VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tornado_chat")


class Log:
    """The log lines so far."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def lines(self, **facts: Any) -> list[tuple[str, dict[str, Any]]]:
        """Return the events with these fields: their messages and all of their fields."""
        found = [(record.getMessage(), getattr(record, "fields", {})) for record in self._caplog.records]
        return [
            (words, own) for words, own in found if all(own.get(key) == value for key, value in facts.items())
        ]

    def events(self, **facts: Any) -> list[str]:
        return [words for words, _ in self.lines(**facts)]

    def of(self, event: str, **facts: Any) -> dict[str, Any]:
        """Return the fields of the only event of this name."""
        (found,) = [own for words, own in self.lines(**facts) if words == event]
        return found

    async def until(self, event: str, **facts: Any) -> None:
        while event not in self.events(**facts):  # noqa: ASYNC110 - the log has no asyncio event
            await asyncio.sleep(0.01)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


@pytest.mark.gen_test
async def test_the_log_of_a_session(harness: Harness, log: Log) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    counsellor = await harness.chat(COUNSELLOR, session)
    await log.until("started", session=session)
    for n in range(2):
        await visitor.send_json({"msg": "x", "id": str(n)})
        while "ack" not in await visitor.recv_json():
            pass
    await harness.receipt(Person(Role.CONSULTANT, "2"), Thread(Kind.SESSION, session), 2)
    await counsellor.close(1001)
    await log.until("away", session=session)
    await visitor.send_json({"msg": "are you there?", "id": "3"})
    while "ack" not in await visitor.recv_json():
        pass
    again = await harness.chat(COUNSELLOR, session)
    assert (await again.recv_json())["msg"] == "are you there?"
    await log.until("resumed", session=session)
    await again.close(4000)
    await log.until("ended", session=session)
    await log.until("left", session=session, role="user")
    events = log.events(session=session)
    assert sorted(events[:3]) == ["joined", "joined", "started"]
    assert events[3:] == ["left", "away", "resumed", "left", "ending", "ended", "left"]
    resumed = log.of("resumed", session=session)
    assert (resumed["role"], resumed["id"], resumed["resent"]) == ("consultant", "2", 1)
    assert log.of("away", session=session)["grace"] == harness.config.counselling.leave_grace
    assert log.of("ending", session=session)["why"] == "a participant or the host ends it"
    assert log.of("ended", session=session)["state"] == "completed"
    assert log.of("left", session=session, role="user")["code"] == 1000
    one = log.of("resumed", session=session)["conn"]
    assert log.events(conn=one) == ["opened", "authenticated", "resumed", "left"]
    assert log.of("left", conn=one)["code"] == 4000


@pytest.mark.gen_test
async def test_the_log_of_a_support_conversation(harness: Harness, log: Log) -> None:
    user = await harness.user(5)
    await log.until("queued")
    conversation = log.of("queued")["conversation"]
    anna = await harness.waiter("anna")
    await log.until("joined", conversation=conversation, role="waiter")
    bert = await harness.waiter("bert")
    address = (await anna.until("new_connection"))["payload"]["uuid"]
    while b'"bert"' not in (await harness.api("GET", "/api/v1/status")).body:
        pass  # the client gets no frame when it is ready
    await anna.send_frame("transfer", {"waiter": "bert"}, to=address)
    await log.until("transferred", conversation=conversation)
    await bert.until("new_connection")
    await user.send_frame("disconnect")
    await log.until("ended", conversation=conversation)
    events = log.events(conversation=conversation)
    assert [each for each in events if each not in ("joined", "left")] == [
        "queued",
        "matched",
        "transferred",
        "ended",
    ]
    matched, transferred = log.of("matched"), log.of("transferred")
    assert (matched["role"], matched["id"]) == ("waiter", "anna")
    assert matched["waited"] >= 0
    assert (transferred["previous"], transferred["id"]) == ("anna", "bert")
    assert {own["id"] for _, own in log.lines(conversation=conversation)} == {"5", "anna", "bert"}


class TestLost:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", rejoin_grace=0.05)

    @pytest.mark.gen_test
    async def test_a_waiter_that_does_not_return(self, harness: Harness, log: Log) -> None:
        user = await harness.user(5)
        waiter = await harness.waiter("anna")
        await user.until("connect_success")
        await waiter.close()
        await log.until("returned")
        conversation = log.of("returned")["conversation"]
        assert "away" in log.events(conversation=conversation, role="waiter")


@pytest.mark.gen_test
async def test_refused_and_dropped_sockets_are_logged_with_code_and_reason(
    harness: Harness, log: Log
) -> None:
    session = await harness.session()
    stranger = await harness.chat(token("user", 9), session)
    with pytest.raises(ConnectionClosed):
        await stranger.recv_json()
    await log.until("refused")
    refused = log.of("refused")
    assert (refused["code"], refused["reason"], refused["endpoint"]) == (4403, "not_your_session", "chat")
    assert (refused["role"], refused["id"]) == ("user", "9")
    assert log.events(conn=refused["conn"]) == ["opened", "authenticated", "refused", "left"] or log.events(
        conn=refused["conn"]
    ) == ["opened", "authenticated", "refused"]
    visitor = await harness.chat(VISITOR, session)
    await log.until("joined", session=session)
    for _ in range(10):
        await visitor.send(b"not json")
    await log.until("left", session=session)
    dropped = log.of("dropped")
    assert (dropped["code"], dropped["reason"], dropped["session"]) == (4400, "too_many_errors", session)
    assert log.of("left", session=session)["reason"] == "too_many_errors"


@pytest.mark.gen_test
async def test_frames_are_logged_at_debug_with_type_and_size(
    harness: Harness, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    await visitor.send_json({"msg": "x", "id": "1"})
    while "ack" not in await visitor.recv_json():
        pass
    assert "frame" not in log.events()
    caplog.set_level(logging.DEBUG, "tornado_chat")
    counsellor = await harness.chat(COUNSELLOR, session)
    await log.until("started")
    await counsellor.send_json({"msg": "four"})
    await counsellor.send_json({"wrong": "four"})
    await log.until("frame refused")
    assert log.of("frame")["size"] == len('{"msg":"four"}')
    assert log.of("frame refused")["reason"] == "bad_shape"
