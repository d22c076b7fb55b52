"""Plain text from people: names, ids, and texts in files, logs and terminals."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.core.plain_text import (
    MAX_NAME_CHARS,
    clean_name,
    cut,
    escape_controls,
    indent_lines,
    is_control,
    is_person_id,
    is_well_formed,
    well_formed,
)

TEXTS = st.text(st.characters() | st.sampled_from("\n\r\x1b\0\x85\u2028\u2029\u202e\u200b\u200d\ud800"))


@pytest.mark.parametrize(
    ("char", "shown"),
    [
        ("\0", r"\x00"),
        ("\x1b", r"\x1b"),
        ("\n", r"\n"),
        ("\r", r"\r"),
        ("\t", r"\t"),
        ("\x7f", r"\x7f"),
        ("\x85", r"\x85"),  # NEXT LINE, a C1 control
        ("\x9b", r"\x9b"),  # CONTROL SEQUENCE INTRODUCER, a C1 control
        ("\u00ad", r"\xad"),
        ("\u200b", r"\u200b"),
        ("\u200e", r"\u200e"),
        ("\u202e", r"\u202e"),  # RIGHT-TO-LEFT OVERRIDE
        ("\u2066", r"\u2066"),
        ("\u2028", r"\u2028"),
        ("\u2029", r"\u2029"),
        ("\ufeff", r"\ufeff"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_a_control_character_is_shown_as_such(char: str, shown: str) -> None:
    assert escape_controls(f"a{char}b") == f"a{shown}b"


@pytest.mark.parametrize(
    "text", ["", "hello", "您好　再见", "می\u200cخواهم", "👩\u200d👧", "non\xa0breaking", r"a\x1b"]
)
def test_texts_without_control_characters_stay_as_they_are(text: str) -> None:
    assert escape_controls(text) == text == indent_lines(text, "  ")


@given(TEXTS)
def test_an_escaped_text_is_one_line_without_controls(text: str) -> None:
    shown = escape_controls(text)
    assert len(shown.splitlines()) <= 1
    assert not any(map(is_control, shown))


@given(TEXTS)
def test_every_further_line_is_indented(text: str) -> None:
    first, *others = indent_lines(text, "    ").split("\n")
    assert len(first.splitlines()) <= 1
    for line in others:
        assert line.startswith("    ")
        assert len(line.splitlines()) == 1
    assert len(others) == text.count("\n")


def test_a_carriage_return_alone_is_no_line_break() -> None:
    assert indent_lines("a\r\nb\rc\n\rd", "  ") == "a\n  b\\rc\n  \\rd"


def test_another_escape_may_be_used() -> None:
    assert escape_controls("a\x1b", lambda char: json.dumps(char)[1:-1]) == r"a\u001b"


@given(TEXTS)
def test_a_clean_name_is_short_visible_and_one_line(text: str) -> None:
    name = clean_name(text)
    if name is not None:
        assert 0 < len(name) <= MAX_NAME_CHARS
        assert name == name.strip() == escape_controls(name)
        assert clean_name(name) == name


def test_no_name_stays_none() -> None:
    assert clean_name(None) is None


@given(TEXTS)
def test_an_id_is_its_own_plain_text(text: str) -> None:
    if is_person_id(text):
        assert escape_controls(text) == text == text.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("half \ud83d", "half \ufffd"),
        ("\ude00 other half", "\ufffd other half"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("😀\ud83d😀", "😀\ufffd😀"),
    ],
)
def test_half_a_character_is_replaced(text: str, expected: str) -> None:
    assert well_formed(text) == expected
    assert is_well_formed(text) is False
    assert is_well_formed(expected)


@given(st.text())
def test_a_well_formed_text_stays_as_it_is(text: str) -> None:
    assert well_formed(text) == text
    assert is_well_formed(text)


@given(TEXTS)
def test_every_well_formed_text_is_utf_8(text: str) -> None:
    assert well_formed(text).encode().decode() == well_formed(text)


@pytest.mark.parametrize(
    ("text", "max_chars", "shown"),
    [
        ("short", 80, "short"),
        (" two\n\n lines\t", 80, "two lines"),
        ("exactly", 7, "exactly"),
        ("one more", 7, "one mo…"),
        ("one two", 5, "one…"),
        ("汉字汉字汉字", 4, "汉字汉…"),
        ("ab\u0301c", 3, "a…"),  # the accent stays with its letter
        ("ab\u0301\u0302cd", 5, "ab\u0301\u0302…"),
        ("a👩\u200d👩\u200d👧b", 5, "a…"),  # a family is one character
        ("a👍🏽bc", 3, "a…"),
    ],
)
def test_a_text_is_cut_at_a_character(text: str, max_chars: int, shown: str) -> None:
    assert cut(text, max_chars) == shown


@given(TEXTS, st.integers(1, 20))
def test_a_cut_text_is_one_short_line_and_a_beginning(text: str, max_chars: int) -> None:
    shown, whole = cut(text, max_chars), " ".join(text.split())
    assert len(shown) <= max_chars
    assert len(shown.splitlines()) <= 1 or not shown.isprintable()
    assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1]))
