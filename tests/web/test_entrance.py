"""Addresses that are no page: the start page, the icon, and all others."""

import json

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from tests.conftest import Harness, changed
from tests.helpers.accounts import make_account
from tornado_chat import config

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def get(harness: Harness, path: str, accept: str = BROWSER, **more: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        harness.http + path, headers={"Accept": accept, **more}, raise_error=False, follow_redirects=False
    )


@pytest.mark.gen_test
async def test_the_start_page_shows_nothing_but_a_name(harness: Harness) -> None:
    answer = await get(harness, "/")
    assert answer.code == 200
    assert "<h1>127.0.0.1</h1>" in answer.body.decode()


class TestOrganisation:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "web", organisation="Help & <Hope>")

    @pytest.mark.gen_test
    async def test_the_start_page_shows_the_organisation(self, harness: Harness) -> None:
        text = (await get(harness, "/")).body.decode()
        assert "<h1>Help &amp; &lt;Hope&gt;</h1>" in text
        assert "tornado_chat" not in text


@pytest.mark.gen_test
async def test_the_start_page_leads_to_the_sign_in(harness: Harness) -> None:
    await make_account(harness, "chen")
    answer = await get(harness, "/")
    assert (answer.code, answer.headers["Location"]) == (302, "./signin")


@pytest.mark.gen_test
async def test_the_icon_is_there(harness: Harness) -> None:
    answer = await get(harness, "/favicon.ico", "image/avif,image/webp,*/*")
    assert (answer.code, answer.headers["Content-Type"]) == (200, "image/x-icon")
    assert answer.body.startswith(b"\0\0\1\0")


@pytest.mark.parametrize(("path", "home"), [("/nothing", "./"), ("/a/b", "../"), ("/a/b/", "../../")])
@pytest.mark.gen_test
async def test_an_unknown_address_is_a_page_for_a_browser(harness: Harness, path: str, home: str) -> None:
    answer = await get(harness, path)
    assert (answer.code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    text = answer.body.decode()
    assert "There is no page here" in text
    assert "这里没有页面" in text
    assert f'href="{home}"' in text


@pytest.mark.parametrize(
    ("path", "accept"), [("/nothing", "*/*"), ("/nothing", "application/json"), ("/api/v1/nothing", BROWSER)]
)
@pytest.mark.gen_test
async def test_an_unknown_address_is_a_problem_for_a_program(
    harness: Harness, path: str, accept: str
) -> None:
    answer = await get(harness, path, accept)
    assert (answer.code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert json.loads(answer.body)["code"] == "no_such_page"


class TestWithoutPages:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "web", pages=False)

    @pytest.mark.parametrize("path", ["/", "/nothing", "/favicon.ico"])
    @pytest.mark.gen_test
    async def test_every_unknown_address_is_a_problem(self, harness: Harness, path: str) -> None:
        assert (await get(harness, path)).headers["Content-Type"] == "application/problem+json"
