"""The log line of a refused origin: what was compared with what."""

import logging

import pytest
from tornado.httputil import HTTPHeaders

from tests.conftest import Harness, changed, token
from tests.web.test_life_in_the_log import Log
from tornado_chat import config
from tornado_chat.client import ConnectionClosed
from tornado_chat.web.http.origins import MAX_LOGGED_CHARS, PORT_HINT, refusal_fields

VISITOR = token("user", 1, "V")


@pytest.mark.parametrize(
    ("origin", "host", "is_port"),
    [
        ("https://chat.example:8443", "chat.example", True),
        ("https://chat.example:8443", "CHAT.example:8080", True),
        ("https://chat.example", "chat.example:8080", True),
        ("http://[::1]:8443", "[::1]", True),
        ("https://evil.example:8443", "chat.example", False),
        ("https://evil.example", "chat.example:8443", False),
        ("https://chat.example:8443", "127.0.0.1:8080", False),
        ("https://chat.example:8443.evil", "chat.example", False),
        ("https://chat.example:nonsense", "chat.example", False),
        ("http://[::1", "[::1", False),
        ("null", "", False),
        ("", "", False),
    ],
)
def test_a_difference_in_the_port_alone_has_a_hint(origin: str, host: str, is_port: bool) -> None:
    found = refusal_fields(HTTPHeaders({"Origin": origin, "Host": host}))
    hint = {"hint": PORT_HINT} if is_port else {}
    assert found == {"origin": origin, "host": host, **hint}


def test_the_browsers_own_comparison_is_named_instead_of_the_host() -> None:
    """The browser compares the page with the requested address, and no proxy changes that."""
    headers = {"Origin": "https://chat.example:8443", "Host": "chat.example", "Sec-Fetch-Site": "same-site"}
    assert refusal_fields(HTTPHeaders(headers)) == {"origin": headers["Origin"], "fetch_site": "same-site"}


def test_long_headers_are_cut() -> None:
    found = refusal_fields(HTTPHeaders({"Origin": 999 * "o", "Host": 999 * "h"}))
    assert {len(value) for value in found.values()} == {MAX_LOGGED_CHARS}


class TestLogLines:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "web", origins=("https://a.example", "https://b.example"))

    @pytest.mark.gen_test
    async def test_of_a_socket_and_of_the_sign_in(
        self, harness: Harness, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "tornado_chat")
        log, port = Log(caplog), harness.http.rpartition(":")[2]
        origin = "http://127.0.0.1:1"
        with pytest.raises(ConnectionClosed):
            await harness.connect(f"/notify?token={VISITOR}", headers={"Origin": origin})
        refused = log.of("refused", endpoint="notify")
        assert refused["reason"] == "origin"
        assert (refused["origin"], refused["host"]) == (origin, f"127.0.0.1:{port}")
        assert refused["hint"] == PORT_HINT
        assert refused["origins"] == "https://a.example, https://b.example"
        answer = await harness.api("GET", "/api/v1/staff/session", Origin=origin)
        assert answer.code == 403
        refused = log.of("refused", endpoint="staff")
        assert (refused["reason"], refused["origin"], refused["hint"]) == ("origin", origin, PORT_HINT)
        caplog.clear()
