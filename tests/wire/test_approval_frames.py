"""The frames about held messages: who gets them, and the decisions of supervisors."""

import json
from typing import Any

import msgspec
import pytest

from tornado_chat.core.errors import Malformed
from tornado_chat.core.events import HeldChanged
from tornado_chat.core.types import HeldMessage, HeldState, Kind, Person, Role, Thread
from tornado_chat.wire.counselling import CounsellingEncoders, Decide, parse_decision
from tornado_chat.wire.support import SupportEncoder
from tornado_chat.wire.times import LocalTimes

CHEN, WU = Person(Role.CONSULTANT, "2"), Person(Role.SUPERVISOR, "3")
HELD = HeldMessage(12, Thread(Kind.SESSION, 4), CHEN, "a1", "text", "hi", "default", 0, 60_000_000)
EDITED = msgspec.structs.replace(
    HELD, state=HeldState.EDITED, decided_by=WU, decided=1, final_text="hello", seq=5
)
APPROVE = frozenset({"approve"})


def changed(held: HeldMessage = HELD) -> HeldChanged:
    return HeldChanged(held.thread, held.sender, held)


def frame(text: bytes | None) -> Any:
    return None if text is None else json.loads(text)


def test_only_the_sender_and_supervisors_that_ask_for_it_get_the_states() -> None:
    encoders = CounsellingEncoders("en", LocalTimes("UTC"), legacy_system_key=True)
    agent, plain = encoders.chat(frozenset({"approval"})), encoders.chat(frozenset({"ack", "echo", "seq"}))
    shown = frame(agent.encode(changed(EDITED), own=True))["approval"]
    assert (shown["state"], shown["text"], shown["final"], shown["seq"]) == ("edited", "hi", "hello", 5)
    assert "until" not in shown
    assert agent.encode(changed(), own=False) is None  # of the client, or of another agent
    assert plain.encode(changed(), own=True) is None
    watching, observer = encoders.observe(APPROVE), encoders.observe(frozenset({"seq"}))
    assert frame(watching.encode(changed(), own=False))["held"]["until"] == "1970-01-01T00:01:00.000000+00:00"
    assert observer.encode(changed(), own=False) is None


def test_a_user_of_support_never_gets_a_state() -> None:
    for role, own, expected in ((Role.WAITER, True, "held"), (Role.USER, False, None)):
        encoder = SupportEncoder("address", role, "en", LocalTimes("UTC"))
        encoder.features = frozenset({"approval"})
        found = frame(encoder.encode(changed(), own=own))
        assert (found and found["payload"]["state"]) == expected


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        ('{"approve": 12}', Decide(12)),
        ('{"edit": 12, "text": "hello"}', Decide(12, text="hello")),
        ('{"refuse": 12}', Decide(12, is_refused=True)),
        ('{"refuse": 12, "note": "no"}', Decide(12, is_refused=True, note="no")),
        ('{"alive": true}', None),
        ("ping", None),
    ],
)
def test_decisions_require_the_feature(text: str, decision: Decide | None) -> None:
    assert parse_decision(text, APPROVE) == decision
    assert parse_decision(text, frozenset()) is None


@pytest.mark.parametrize("text", ['{"approve": "x"}', '{"edit": 12}', '{"edit": 12, "text": " "}', "[]"])
def test_a_malformed_decision_is_answered(text: str) -> None:
    with pytest.raises(Malformed):
        parse_decision(text, APPROVE)
