"""What plugins return and raise is checked before the server uses it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.core.errors import ChatError, Forbidden, NotFound, Refused, TooFast, Unavailable
from tornado_chat.core.types import (
    Draft,
    HostRecord,
    HostSession,
    Identity,
    Kind,
    NotificationDraft,
    Person,
    Role,
    Thread,
)
from tornado_chat.plugins.answers import (
    WrongAnswer,
    WrongReplacement,
    checked_decision,
    checked_draft,
    is_presentable,
)

LIN = Identity(Person(Role.USER, "1"))
DRAFT = Draft(Thread(Kind.SESSION, 1), LIN, "hi")
NOTIFICATION = NotificationDraft(LIN.person, 0, "hi")


def replaced(text: Any) -> str:
    return checked_draft("filter_message", DRAFT, DRAFT.replace(text), max_bytes=20).text


@given(st.text() | st.text(alphabet=st.characters(categories=["Cs", "Lu"])) | st.none() | st.integers())
def test_a_replacement_is_refused_or_can_be_stored(text: Any) -> None:
    try:
        stored = replaced(text)
    except WrongReplacement:
        return
    assert stored == text
    assert 0 < len(stored.encode()) <= 20


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "the text of the filter_message draft is NoneType, not str"),
        (b"hi", "is bytes, not str"),
        ("", "is empty; to refuse a text, raise Refused"),
        ("\ud83d", "has half of a character"),
        ("é" * 11, "has 22 bytes, more than [limits] frame_bytes = 20"),
    ],
)
def test_a_wrong_replacement_is_explained_without_its_text(text: Any, problem: str) -> None:
    with pytest.raises(WrongReplacement) as refused:
        replaced(text)
    assert problem in str(refused.value)
    assert "é" not in str(refused.value)


def test_a_filter_changes_only_the_text() -> None:
    other = Draft(Thread(Kind.SESSION, 2), Identity(Person(Role.ADMIN, "9")), "bye", "image")
    assert checked_draft("filter_message", DRAFT, other, max_bytes=20) == DRAFT.replace("bye")


def test_a_text_of_a_class_of_its_own_becomes_a_text() -> None:
    class Loud(str):
        def encode(self, *arguments: Any) -> bytes:
            raise RuntimeError

        def __len__(self) -> int:
            raise RuntimeError

    text = replaced(Loud("hello"))
    assert (type(text), text) == (str, "hello")


@pytest.mark.parametrize(
    "changes",
    [
        {"msg": None},
        {"msg": ""},
        {"msg": "x" * 100},
        {"data": 7},
        {"data": {"a": object()}},
        {"data": {"a": float("nan")}},
        {"data": {"a": "x" * 100}},
        {"recipient": "user:1"},
        {"type": "0"},
    ],
)
def test_a_wrong_notification_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WrongAnswer):
        checked_draft("filter_notification", NOTIFICATION, NOTIFICATION.replace(**changes), max_bytes=50)


def test_data_that_were_changed_in_place_are_checked() -> None:
    data: dict[str, Any] = {"a": 1}
    draft = NOTIFICATION.replace(data=data)
    assert checked_draft("filter_notification", draft, None, max_bytes=50) is draft
    data["a"] = object()
    with pytest.raises(WrongReplacement, match="the data of the filter_notification draft is no JSON"):
        checked_draft("filter_notification", draft, None, max_bytes=50)


def test_a_text_that_was_not_changed_is_not_checked() -> None:
    empty = NOTIFICATION.replace(msg="")
    changed = empty.replace(data={"a": 1})
    assert checked_draft("filter_notification", empty, changed, max_bytes=50) == changed
    assert checked_draft("filter_message", DRAFT, DRAFT.replace(DRAFT.text), max_bytes=1) is DRAFT


@pytest.mark.parametrize("answer", ["hi", 7, [], DRAFT, object()])
def test_another_value_is_no_draft(answer: Any) -> None:
    with pytest.raises(WrongAnswer, match="not NotificationDraft or None"):
        checked_draft("filter_notification", NOTIFICATION, answer, max_bytes=50)


@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        ("authenticate", LIN),
        ("authorize", True),
        ("authorize", False),
        ("find_session", HostSession("1", "2")),
        ("find_session", HostSession(1, 2, "Lin", None, 5)),  # type: ignore[arg-type]
        ("find_record", HostRecord(1, "3")),
        *((hook, None) for hook in ("authenticate", "authorize", "find_session", "find_record")),
    ],
)
def test_answers_to_decisions(hook: str, answer: Any) -> None:
    assert checked_decision(hook, answer) == answer


@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        ("authenticate", "user:1"),
        ("authenticate", LIN.person),
        ("authenticate", Identity(None)),  # type: ignore[arg-type]
        ("authenticate", Identity(Person("user", "1"))),  # type: ignore[arg-type]
        ("authenticate", Identity(Person(Role.USER, 1))),  # type: ignore[arg-type]
        ("authenticate", Identity(Person(Role.USER, ""))),
        ("authenticate", Identity(Person(Role.USER, "1"), name=7)),  # type: ignore[arg-type]
        ("authenticate", Identity(Person(Role.USER, "1"), claims=None)),  # type: ignore[arg-type]
        ("authorize", "yes"),
        ("authorize", 1),
        ("authorize", []),
        ("find_session", {"user_id": 1}),
        ("find_session", HostSession(None, "2")),  # type: ignore[arg-type]
        ("find_session", HostSession("1", " ")),
        ("find_session", HostSession("1", "2", 7)),  # type: ignore[arg-type]
        ("find_session", HostSession("1", "2", appointment_id="x")),  # type: ignore[arg-type]
        ("find_record", HostRecord("1", "3")),  # type: ignore[arg-type]
        ("find_record", HostRecord(-1, "3")),
        ("find_record", HostRecord(1, None)),  # type: ignore[arg-type]
    ],
)
def test_values_that_are_no_answers_to_decisions(hook: str, answer: Any) -> None:
    with pytest.raises(WrongAnswer, match=hook):
        checked_decision(hook, answer)


class OddStatus(ChatError):
    http_status = 200


class RaisingDetails(Refused):
    def detail_in(self, language: str) -> dict[str, Any]:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Refused("no", "不"), True),
        (Refused("{no}"), True),
        (Forbidden("not_allowed"), True),
        (NotFound("no_such_session", id=4), True),
        (TooFast("too_fast", retry_after=2), True),
        (NotFound("no_such_session"), False),
        (Forbidden("no_such_code"), False),
        (Unavailable("not_checked", retry_after="soon"), False),
        (OddStatus("not_allowed"), False),
        (RaisingDetails("no"), False),
    ],
)
def test_errors_that_can_be_shown_to_a_client(error: ChatError, expected: bool) -> None:
    assert is_presentable(error) is expected
