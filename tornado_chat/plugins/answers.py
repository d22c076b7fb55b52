"""Checks of what plugins return and raise, so that no wrong value reaches other parts of the server.

Each function raises an error whose text is a sentence for operators without content.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from tornado_chat.core.errors import ChatError, Forbidden, Unauthenticated, Unavailable
from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.plain_text import is_person_id, is_well_formed
from tornado_chat.core.texts import error_text
from tornado_chat.core.types import (
    Draft,
    HostRecord,
    HostSession,
    Identity,
    NotificationDraft,
    Person,
    Role,
)

D = TypeVar("D")

CLOSE_CODES = range(1000, 5000)
HTTP_ERRORS = range(400, 600)


class WrongAnswer(TypeError):
    """A hook has returned a value that is no answer."""


class WrongReplacement(WrongAnswer):
    """A filter has replaced a text by one that cannot be stored or shown."""


def is_presentable(error: ChatError) -> bool:
    """Return True if an error that a plugin raised can be shown to a client.

    An error with an unknown code, or without the details of its text, cannot.
    """
    try:
        for language in ("zh_CN", "en"):
            error_text(language, error)
        int(getattr(error, "retry_after", 0))
        return error.http_status in HTTP_ERRORS and error.close_code in CLOSE_CODES
    except Exception:  # the plugin's class may do anything
        return False


def checked_draft(hook: str, before: D, answer: Any, max_bytes: int) -> D:
    """Return the draft that a filter has returned: ``before`` if it is None.

    :arg max_bytes: the size of the longest text, as ``[limits] frame_bytes``.
    :raises WrongAnswer: it is no draft.
    :raises WrongReplacement: its text cannot be stored.
    """
    if answer is None:
        if isinstance(before, NotificationDraft):  # whose data the filter may have changed in place
            _check_data(hook, before.data, max_bytes)
        return before
    if type(answer) is not type(before):
        raise WrongAnswer(f"{hook} returned {_name(answer)}, not {type(before).__name__} or None")
    check: Callable[..., Any] = _checked_message if isinstance(before, Draft) else _checked_notification
    checked: D = check(hook, before, answer, max_bytes)
    return checked


def checked_decision(hook: str, answer: Any) -> Any:
    """Return the answer of a decision. :raises WrongAnswer: it is no answer to this hook."""
    if answer is not None:
        _DECISION_CHECKS[hook](answer)
    return answer


def decision_refusal(hook: str, cause: BaseException | None) -> ChatError:
    """Return the refusal of a request that a plugin failed to decide.

    Clients try again later, unless the plugin has answered, although wrongly: it would do so again.

    :arg cause: the error; None for a call that did not answer in time.
    """
    if isinstance(cause, WrongAnswer) and hook == "authenticate":
        return Unauthenticated("token_invalid", reason="a plugin did not answer with an identity")
    if isinstance(cause, WrongAnswer) and hook == "authorize":
        return Forbidden("not_allowed")
    return Unavailable("not_checked")


def require_no_awaitable(hook: str, answer: Any) -> None:
    """:raises WrongAnswer: a ``def`` has returned a coroutine, or another object to be awaited."""
    if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise WrongAnswer(f"{hook} returned {_name(answer)}: a hook that waits must be `async def`")


# Drafts


def _checked_message(hook: str, before: Draft, answer: Draft, max_bytes: int) -> Draft:
    if answer.text is before.text:
        return before
    text = _checked_text(f"the text of the {hook} draft", answer.text, max_bytes)
    return msgspec.structs.replace(before, text=text)


def _checked_notification(
    hook: str, before: NotificationDraft, answer: NotificationDraft, max_bytes: int
) -> NotificationDraft:
    if not (_is_person(answer.recipient) and _is_integer(answer.type)):
        raise WrongAnswer(f"{hook} returned a draft whose recipient or type has the wrong type")
    _check_data(hook, answer.data, max_bytes)
    if answer.msg is before.msg:
        return answer
    text = _checked_text(f"the msg of the {hook} draft", answer.msg, max_bytes)
    return msgspec.structs.replace(answer, msg=text)


def _checked_text(what: str, text: object, max_bytes: int) -> str:
    if not isinstance(text, str):
        raise WrongReplacement(f"{what} is {_name(text)}, not str")
    text = str.__str__(text) if type(text) is str else "".join(str.__iter__(text))
    if not text:
        raise WrongReplacement(f"{what} is empty; to refuse a text, raise Refused")
    if not is_well_formed(text):
        raise WrongReplacement(f"{what} has half of a character (a lone surrogate)")
    size = len(text.encode())
    if size > max_bytes:
        raise WrongReplacement(f"{what} has {size} bytes, more than [limits] frame_bytes = {max_bytes}")
    return text


def _check_data(hook: str, data: object, max_bytes: int) -> None:
    if data is None:
        return
    if not isinstance(data, Mapping):
        raise WrongReplacement(f"the data of the {hook} draft is {_name(data)}, not a mapping")
    try:
        size = len(json.dumps(dict(data), ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongReplacement(f"the data of the {hook} draft is no JSON") from error
    if size > max_bytes:
        raise WrongReplacement(f"the data of the {hook} draft has {size} bytes, more than {max_bytes}")


# Decisions


def _check_identity(answer: Any) -> None:
    if not isinstance(answer, Identity):
        raise WrongAnswer(f"authenticate returned {_name(answer)}, not Identity or None")
    if not _is_person(answer.person):
        raise WrongAnswer("authenticate returned an identity without a valid person: Person(Role.USER, '7')")
    _check_names("authenticate", answer.name)
    claims: object = answer.claims
    if not isinstance(claims, Mapping):
        raise WrongAnswer("authenticate returned an identity whose claims are no mapping")


def _check_permission(answer: Any) -> None:
    if not isinstance(answer, bool):
        raise WrongAnswer(f"authorize returned {_name(answer)}, not True, False or None")


def _check_session(answer: Any) -> None:
    if not isinstance(answer, HostSession):
        raise WrongAnswer(f"find_session returned {_name(answer)}, not HostSession or None")
    if not (_is_host_id(answer.user_id) and _is_host_id(answer.consultant_id)):
        raise WrongAnswer("find_session returned a user_id or consultant_id that is no id")
    _check_names("find_session", answer.user_name, answer.consultant_name)
    if answer.appointment_id is not None and not _is_number(answer.appointment_id):
        raise WrongAnswer("find_session returned an appointment_id that is no number")


def _check_record(answer: Any) -> None:
    if not isinstance(answer, HostRecord):
        raise WrongAnswer(f"find_record returned {_name(answer)}, not HostRecord or None")
    if not (_is_number(answer.session_id) and _is_host_id(answer.supervisor_id)):
        raise WrongAnswer("find_record returned a session_id or supervisor_id that is no id")
    _check_names("find_record", answer.supervisor_name)


_DECISION_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "authenticate": _check_identity,
    "authorize": _check_permission,
    "find_session": _check_session,
    "find_record": _check_record,
}


def _check_names(hook: str, *names: object) -> None:
    for name in names:
        if name is not None and not (isinstance(name, str) and is_well_formed(name)):
            raise WrongAnswer(f"{hook} returned a name that is no text")


def _is_person(value: object) -> bool:
    if not isinstance(value, Person):
        return False
    role, id = cast(tuple[object, object], value)
    return isinstance(role, Role) and isinstance(id, str) and is_person_id(id)


def _is_host_id(value: object) -> bool:
    """Return True for an id as host systems write it: a text, or an integer."""
    return type(value) is int or (isinstance(value, str) and is_person_id(value))


def _is_integer(value: object) -> bool:
    return type(value) is int


def _is_number(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_NUMBER


def _name(value: object) -> str:
    return type(value).__name__
