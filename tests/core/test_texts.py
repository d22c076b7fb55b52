"""Tests that each text that the code names exists in both languages, with the placeholders that it fills."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import tornado_chat
from tornado_chat.core import errors
from tornado_chat.core.errors import ChatError
from tornado_chat.core.texts import ERROR_TEXTS, SYSTEM_TEXTS, error_text, preferred_language, system_text

PACKAGE = Path(tornado_chat.__file__).parent
RAISED = {
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, ChatError)
}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


class Use(NamedTuple):
    """A call that names a text. ``given`` holds the placeholders; None if they are passed on as ``**``."""

    where: str
    code: str
    given: set[str] | None


class Module:
    """The parts of a source file that the search looks at."""

    def __init__(self, file: Path) -> None:
        self.name = file.relative_to(PACKAGE)
        nodes = list(ast.walk(ast.parse(file.read_text())))
        self.calls = [
            (node.func.id, node)
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        self.assignments = [node for node in nodes if isinstance(node, ast.Assign)]
        self.imported = {
            alias.name
            for node in nodes
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tornado_chat.")
            for alias in node.names
        }


MODULES = [Module(file) for file in sorted(PACKAGE.rglob("*.py"))]


def codes(node: ast.expr, module: Module) -> list[str]:
    """Return the codes that an expression may evaluate to.

    Constants, conditional expressions, f-strings that end with a role, and local variables are understood.
    """
    if isinstance(node, ast.Constant):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return codes(node.body, module) + codes(node.orelse, module)
    if isinstance(node, ast.JoinedStr):
        prefix = node.values[0]
        assert isinstance(prefix, ast.Constant)
        return [f"{prefix.value}{role}" for role in ("user", "consultant", "supervisor")]
    if isinstance(node, ast.Name):
        assigned = [
            assign.value
            for assign in module.assignments
            if any(isinstance(t, ast.Name) and t.id == node.id for t in assign.targets)
        ]
        assert assigned, f"line {node.lineno}: {node.id} is not assigned in this module"
        return [code for value in assigned for code in codes(value, module)]
    return []  # an attribute: the code of an event, which was checked where the event was made


def uses(names: set[str], argument: int) -> Iterator[Use]:
    for module in MODULES:
        for name, call in module.calls:
            if name in names & module.imported and len(call.args) > argument:
                keywords = {keyword.arg for keyword in call.keywords}
                given = None if None in keywords else {str(keyword) for keyword in keywords}
                for code in codes(call.args[argument], module):
                    yield Use(f"{module.name}:{call.lineno}", code, given)


HEADER_DETAILS = {"retry_after"}
"""Details of an error that a header of the answer has, and not necessarily its text."""

ERROR_USES = list(uses(RAISED, 0))
SYSTEM_USES = list(uses({"system_text"}, 1))
NOTICE_USES = list(uses({"SystemNotice"}, 1))


@pytest.mark.parametrize("catalogue", [ERROR_TEXTS, SYSTEM_TEXTS])
def test_every_text_exists_in_both_languages_with_the_same_placeholders(
    catalogue: dict[str, tuple[str, str]],
) -> None:
    for code, (chinese, english) in catalogue.items():
        assert chinese.strip(), code
        assert english.strip(), code
        assert english.isascii(), code
        assert not chinese.isascii(), code
        assert placeholders(chinese) == placeholders(english), code


def test_the_search_finds_the_uses_of_texts() -> None:
    assert len(ERROR_USES) > 30
    assert {use.code for use in ERROR_USES} >= {"no_such_session", "no_such_record", "not_stored", "too_fast"}
    assert {use.code for use in SYSTEM_USES} >= {"session_ended", "new_conversation"}
    assert {use.code for use in NOTICE_USES} >= {"joined_user", "session_started"}


@pytest.mark.parametrize("use", ERROR_USES, ids=lambda use: f"{use.code} {use.where}")
def test_every_error_has_a_text_and_fills_its_placeholders(use: Use) -> None:
    assert use.code in ERROR_TEXTS
    needed = placeholders(ERROR_TEXTS[use.code][0])
    assert use.given is None or needed <= use.given <= needed | HEADER_DETAILS


@pytest.mark.parametrize("use", SYSTEM_USES, ids=lambda use: f"{use.code} {use.where}")
def test_every_system_text_exists_and_its_placeholders_are_filled(use: Use) -> None:
    assert use.code in SYSTEM_TEXTS
    assert use.given is None or use.given == placeholders(SYSTEM_TEXTS[use.code][0])


@pytest.mark.parametrize("use", NOTICE_USES, ids=lambda use: f"{use.code} {use.where}")
def test_every_notice_has_a_text_with_no_placeholder_but_the_name(use: Use) -> None:
    assert placeholders(SYSTEM_TEXTS[use.code][0]) <= {"name"}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("joined_user", "来访者 NAME已进入会话"),
        ("joined_consultant", "咨询师 NAME已进入会话"),
        ("joined_supervisor", "督导 NAME已进入会话"),
        ("session_started", "会话已开始"),
        ("session_ended", "会话已结束"),
    ],
)
def test_the_texts_that_front_ends_compare_are_exactly_the_same(code: str, text: str) -> None:
    assert system_text("zh_CN", code, name="NAME") == text


def test_an_error_text_is_in_the_requested_language() -> None:
    error = errors.NotFound("no_such_session", id=5)
    assert error_text("zh_CN", error) == "会话 5 不存在"
    assert error_text("en", error) == "There is no session 5"
    assert str(error) == "no_such_session (id=5)"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de, fr;q=0.5", "en"),
        ("en-GB", "en"),
        ("zh-Hant-TW, en;q=0.1", "zh_CN"),
        ("zh;q=0.1, en;q=0.9", "en"),
        ("de, zh;q=nonsense, en", "en"),
        ("de, zh;q=0.5", "zh_CN"),
    ],
)
def test_the_language_of_a_request(accepted: str, language: str) -> None:
    assert preferred_language(accepted) == language
