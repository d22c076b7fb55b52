"""The request that plugins get: immutable, and without secrets in its text."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.core.requests import Headers, Request

REQUEST = Request(
    "/chat",
    query={"token": "secret-token"},
    headers={"Cookie": "session=secret-cookie", "X-Forwarded-Proto": "https"},
    cookies={"session": "secret-cookie"},
    address="192.0.2.1",
)


def test_headers_are_found_in_any_case() -> None:
    assert REQUEST.headers["x-forwarded-proto"] == REQUEST.headers.get("X-FORWARDED-PROTO") == "https"
    assert "COOKIE" in REQUEST.headers
    assert 7 not in REQUEST.headers
    assert sorted(REQUEST.headers) == ["cookie", "x-forwarded-proto"]
    assert Headers([("A", "1"), ("a", "2")])["a"] == "1, 2"


@given(st.dictionaries(st.from_regex(r"[A-Za-z-]{1,8}", fullmatch=True), st.text()))
def test_each_header_is_kept(values: dict[str, str]) -> None:
    headers = Headers(values.items())
    assert len(headers) == len({name.lower() for name in values})
    for name, value in values.items():
        assert value in headers[name.upper()]


def test_it_is_immutable() -> None:
    changing: Any = REQUEST
    with pytest.raises(dataclasses.FrozenInstanceError):
        changing.path = "/other"
    for mapping in (changing.query, changing.headers, changing.cookies):
        with pytest.raises(TypeError):
            mapping["session"] = "other"


def test_its_text_has_no_secrets() -> None:
    assert "secret" not in f"{REQUEST!r} {REQUEST} {REQUEST.headers!r} {REQUEST.headers}"
    assert "/chat" in repr(REQUEST)
