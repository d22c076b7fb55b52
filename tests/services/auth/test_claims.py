"""Reading id, role and name from claims."""

import pytest

from tornado_chat.core.plain_text import MAX_NAME_CHARS
from tornado_chat.core.types import Role
from tornado_chat.services.auth.claims import read_id, read_name, read_role


@pytest.mark.parametrize(("value", "id"), [(7, "7"), ("7", "7"), ("陈", "陈"), ("x" * MAX_NAME_CHARS,) * 2])
def test_ids_are_integers_or_short_printable_texts(value: object, id: str) -> None:
    assert read_id("sub", {"sub": value}) == id


@pytest.mark.parametrize(
    "value", [None, "", True, 7.5, " 7", "7 ", "a\nb", "a\u200bb", "\ud800", "x" * (MAX_NAME_CHARS + 1)]
)
def test_ids_that_could_be_mistaken_for_others_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^sub is not an integer or a text"):
        read_id("sub", {"sub": value})


def test_a_role_is_one_of_the_known_roles() -> None:
    assert read_role("role", {"role": "waiter"}) is Role.WAITER
    for value in ("root", None, 1, "WAITER"):
        with pytest.raises(ValueError, match=r"^role is not one of user, consultant"):
            read_role("role", {"role": value})


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, None),
        ("  Chen  ", "Chen"),
        ("\u202eneh\u202cC", "nehC"),  # controls of the text direction are removed
        ("می\u200cخواهم", "می\u200cخواهم"),  # joiners are part of the word
        ("\u200e\n", None),
        ("x" * 100, "x" * MAX_NAME_CHARS),
    ],
)
def test_names_are_cleaned_and_shortened(value: str | None, name: str | None) -> None:
    assert read_name("name", {"name": value}) == name


def test_a_name_has_to_be_a_text() -> None:
    with pytest.raises(ValueError, match=r"^name is not a text"):
        read_name("name", {"name": 7})
