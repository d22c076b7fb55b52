"""Query parameters: errors name the wrong parameter and the expected value."""

from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from tornado_chat.core.errors import Malformed
from tornado_chat.wire.parsing import parse_query


class Query(msgspec.Struct, frozen=True):
    session: Annotated[Annotated[int, Meta(ge=0, le=999)], Meta(description="The session.")]
    type: Annotated[Literal[0, 1], Meta(description="The type.")] = 0
    format: Literal["txt", "json"] = "txt"
    token: Annotated[str, Meta(max_length=5)] = ""


def test_missing_and_empty_parameters_have_defaults() -> None:
    assert parse_query(Query, {"session": "4"}) == Query(4)
    assert parse_query(Query, {"session": "4", "type": "", "token": "", "other": "x"}) == Query(4)
    full = {"session": "4", "type": "1", "format": "json", "token": "t"}
    assert parse_query(Query, full) == Query(4, 1, "json", "t")


@pytest.mark.parametrize(
    ("wrong", "name", "reason"),
    [
        ({}, "session", "a whole number from 0 to 999 is expected"),
        ({"session": "x"}, "session", "a whole number from 0 to 999 is expected"),
        ({"session": "-1"}, "session", "a whole number from 0 to 999 is expected"),
        ({"session": "1000"}, "session", "a whole number from 0 to 999 is expected"),
        ({"session": "9" * 400}, "session", "a whole number from 0 to 999 is expected"),
        ({"session": "4", "type": "2"}, "type", "0 or 1 is expected"),
        ({"session": "4", "format": "doc"}, "format", "txt or json is expected"),
        ({"session": "4", "token": "longer"}, "token", "a text is expected"),
    ],
)
def test_the_error_names_the_wrong_parameter(wrong: dict[str, str], name: str, reason: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_query(Query, wrong)
    assert refused.value.detail == {"name": name, "reason": reason}


@given(st.dictionaries(st.sampled_from(["session", "type", "format", "token"]), st.text()))
def test_every_query_is_parsed_or_refused(given: dict[str, str]) -> None:
    try:
        read = parse_query(Query, given)
    except Malformed:
        return
    assert 0 <= read.session <= 999
    assert read.type in (0, 1)
    assert len(read.token) <= 5
