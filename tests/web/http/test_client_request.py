"""Which requests a plugin gets: those of pages that may use the cookies of the host."""

from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from tornado_chat.web.http.client_request import client_request, is_json
from tornado_chat.web.http.origins import AllowedOrigins

HOST = "chat.example"
LISTED = "https://shop.example"


def request(**headers: str) -> HTTPServerRequest:
    sent = HTTPHeaders({"Host": HOST, "Cookie": "session=abc"})
    sent.update({name.replace("_", "-"): value for name, value in headers.items()})
    line = RequestStartLine("GET", "/chat?sessionId=4&sessionId=5&token=t", "HTTP/1.1")
    made = HTTPServerRequest(headers=sent, start_line=line)
    made.remote_ip = "192.0.2.1"
    return made


@pytest.mark.parametrize(
    ("headers", "trusted"),
    [
        ({}, True),  # not a page
        ({"Origin": f"https://{HOST}"}, True),
        ({"Origin": f"https://{HOST}:8443"}, False),
        ({"Origin": LISTED}, True),
        ({"Origin": "HTTPS://Shop.Example"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://["}, False),
        ({"Sec_Fetch_Site": "same-origin"}, True),
        ({"Sec_Fetch_Site": "none"}, True),
        ({"Sec_Fetch_Site": "same-site"}, False),
        ({"Sec_Fetch_Site": "cross-site"}, False),
        ({"Sec_Fetch_Site": "cross-site", "Origin": f"https://{HOST}"}, False),
        ({"Sec_Fetch_Site": "same-site", "Origin": LISTED}, True),
    ],
)
@pytest.mark.parametrize("any_origin", [False, True])
def test_only_own_and_listed_pages_may_use_cookies(
    headers: dict[str, str], trusted: bool, any_origin: bool
) -> None:
    origins = AllowedOrigins((LISTED, "*") if any_origin else (LISTED,))
    assert (client_request(request(**headers), origins) is not None) is trusted


def test_the_parts_of_a_request() -> None:
    asked = request(X_Test="1")
    asked.headers.add("X-Test", "2")
    found: Any = client_request(asked, AllowedOrigins(()))
    assert (found.method, found.path, found.address) == ("GET", "/chat", "192.0.2.1")
    assert found.query == {"sessionId": "5", "token": "t"}
    assert found.cookies == {"session": "abc"}
    assert found.headers["x-test"] == "1, 2"


@pytest.mark.parametrize("cookie", ['a="x\\012y"', "a=\x7f", "=", ";;", "a=b; [c]=d"])
def test_malformed_cookies_are_left_out(cookie: str) -> None:
    found: Any = client_request(request(Cookie=cookie), AllowedOrigins(()))
    assert all(value.isprintable() for value in found.cookies.values())


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; x=application/json", False),
        ("", False),
    ],
)
def test_a_form_cannot_send_json(content_type: str, json: bool) -> None:
    assert is_json(HTTPHeaders({"Content-Type": content_type})) is json
