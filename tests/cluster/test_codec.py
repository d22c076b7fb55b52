"""Tests that encoded values are decoded to equal values, also between two versions."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.cluster import messages
from tornado_chat.cluster.codec import EVENTS, Codec, published_name, to_error, to_failure
from tornado_chat.cluster.facts import CoordinatorRequest, PresenceFact
from tornado_chat.core import errors
from tornado_chat.core.errors import ChatError, Refused
from tornado_chat.core.types import Person, Thread

CODEC = Codec((*EVENTS, *messages.ALL_MESSAGES))

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
st.register_type_strategy(float, st.floats(allow_nan=False))  # NaN is not equal to itself
MAPPINGS = {"claims": st.dictionaries(st.text(), json, max_size=3)}
MAPPINGS["data"] = st.none() | MAPPINGS["claims"]


def values(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for structs of this kind.

    Hypothesis has no strategy for msgspec structs, and would fill ``Any`` with values that are not JSON.
    """
    fields = {
        field.name: MAPPINGS[field.name] if field.name in MAPPINGS else of_type(field.type)
        for field in msgspec.structs.fields(kind)
    }
    return st.builds(kind, **fields)


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    arms = get_args(hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return values(hint)
    if any(isinstance(arm, type) and issubclass(arm, msgspec.Struct) for arm in arms):
        return st.one_of(*(of_type(arm) for arm in arms))
    return st.from_type(hint)


def there_and_back(value: Any) -> Any:
    envelope = CODEC.decode_envelope(CODEC.encode("box-1-ab", 7, value))
    assert envelope is not None
    assert envelope[:3] == ("box-1-ab", 7, published_name(type(value)))
    return CODEC.decode_value(envelope)


@pytest.mark.parametrize("kind", EVENTS)
def test_events(kind: type[Any]) -> None:
    @given(values(kind))
    def check(event: Any) -> None:
        back = there_and_back(event)
        assert back == event
        if isinstance(getattr(event, "thread", None), Thread):
            assert isinstance(back.thread, Thread)

    check()


@given(st.one_of(*(values(kind) for kind in get_args(PresenceFact))), st.integers(0, 2**60))
def test_facts(fact: PresenceFact, number: int) -> None:
    here = messages.FactReported(number, fact)
    assert there_and_back(here) == here
    assert there_and_back(here).fact.key == fact.key
    everything = messages.FullReport(number, 0, 1, (fact, fact))
    assert there_and_back(everything) == everything


@given(st.one_of(*(values(kind) for kind in get_args(CoordinatorRequest))))
def test_questions(question: CoordinatorRequest) -> None:
    asked = messages.RpcRequest(1, question)
    assert there_and_back(asked) == asked


@given(json)
def test_answers(value: Any) -> None:
    assert there_and_back(messages.RpcResponse(1, value)).value == value


CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ChatError)]


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not Refused])
def test_errors_keep_their_class_code_and_detail(kind: type[ChatError]) -> None:
    error = kind("no_waiter", person="waiter:1", limit=3)
    answered = messages.RpcResponse(1, failure=to_failure(error))
    back = to_error(there_and_back(answered).failure)
    assert type(back) is kind
    assert (back.code, back.detail) == (error.code, error.detail)


def test_a_refusal_keeps_both_its_texts() -> None:
    back = to_error(to_failure(Refused("No names here", "请勿使用姓名")))
    assert isinstance(back, Refused)
    assert back.code == "refused"
    assert back.detail_in("en") == {"reason": "No names here"}
    assert back.detail_in("zh_CN") == {"reason": "请勿使用姓名"}


def test_details_of_errors_that_are_not_json_become_text() -> None:
    back = to_error(to_failure(ChatError("bad", who=Person.from_key("user:1"), what=object)))
    assert back.detail["what"] == str(object)


def test_an_unknown_error_class_becomes_a_chat_error() -> None:
    back = to_error(msgspec.structs.replace(to_failure(ChatError("new_code")), name="Newfangled"))
    assert type(back) is ChatError
    assert back.code == "new_code"


def test_an_unknown_kind_is_logged_once_and_without_its_content(
    caplog: pytest.LogCaptureFixture, expected_logs: list[str]
) -> None:
    expected_logs.append("is not understood")
    codec = Codec(EVENTS)
    known = msgspec.defstruct("Message", [("text", str)])
    unknown = msgspec.defstruct("Newfangled", [("text", str)])
    for value in (known("a secret"), unknown("a secret"), known("a secret"), unknown("a secret")):
        envelope = codec.decode_envelope(codec.encode("p", 1, value))
        assert envelope is not None
        assert codec.decode_value(envelope) is None
    assert [record.getMessage().split()[0] for record in caplog.records] == ["Message", "Newfangled"]
    assert "secret" not in caplog.text


def test_unknown_fields_are_ignored() -> None:
    old = msgspec.defstruct("Goodbye", [("reason", str)])
    assert there_and_back(old("an update")) == messages.ProcessStopped()


def test_all_kinds_have_different_names_on_the_bus() -> None:
    names = [published_name(kind) for kind in (*EVENTS, *messages.ALL_MESSAGES)]
    assert len(names) == len(set(names))


def test_a_process_of_0_1_0_is_understood() -> None:
    """The names on the bus stay, because an upgrade replaces one process after the other."""
    names = {published_name(kind) for kind in (*EVENTS, *messages.ALL_MESSAGES)}
    assert names >= {
        *(
            "Message",
            "Notification",
            "Notice",
            "RoomStarted",
            "RoomEnded",
            "Queued",
            "Assigned",
            "Departed",
            "Returned",
        ),
        *(
            "Typing",
            "Read",
            "Reached",
            "Presence",
            "Place",
            "Replaced",
            "LookAgain",
            "Coordinating",
            "Vacant",
        ),
        *("TellAll", "Answered", "Beat", "Here", "Gone", "Everything", "Goodbye", "Asked"),
    }
    tags = {kind.__struct_config__.tag for kind in (*get_args(PresenceFact), *get_args(CoordinatorRequest))}
    assert tags >= {"InRoom", "InLine", "OnDuty", "HandOver", "WhoIsThere", "HowIsSupport", "WhatGoesOn"}
