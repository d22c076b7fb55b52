"""How the pages are served: headers, caching, and paths that do not exist."""

import re

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from tests.conftest import Harness, changed
from tornado_chat import config
from tornado_chat.server.server import Server


async def get(harness: Harness, path: str, method: str = "GET", **headers: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        harness.http + path, method=method, headers=headers, raise_error=False
    )


async def asset_paths(harness: Harness) -> list[str]:
    """Return the paths that the page ``/room`` refers to."""
    found = re.findall(r'(?:href|src)="([^"]+)"', (await get(harness, "/room")).body.decode())
    return [path.replace("./", "/", 1) for path in found]


@pytest.mark.gen_test
async def test_page_headers(harness: Harness) -> None:
    answer = await get(harness, "/room")
    assert answer.code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    host = harness.http.removeprefix("http://")
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"connect-src 'self' ws://{host} wss://{host}; img-src 'self' data:; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-cache"
    text = answer.body.decode()
    assert "{{" not in text
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", text)


@pytest.mark.gen_test
async def test_invalid_host_header_stays_out_of_the_policy(harness: Harness) -> None:
    answer = await get(harness, "/room", Host="evil; script-src *")
    assert "evil" not in answer.headers.get("Content-Security-Policy", "")


@pytest.mark.gen_test
async def test_hashed_assets_are_immutable(harness: Harness) -> None:
    found = await asset_paths(harness)
    assert {path.rsplit(".", 1)[1] for path in found} == {"css", "js", "svg"}
    for path in found:
        answer = await get(harness, path)
        assert answer.code == 200, path
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    script = await get(harness, next(path for path in found if path.endswith(".js")))
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.gen_test
async def test_other_paths_are_revalidated_with_an_etag(harness: Harness) -> None:
    for path in ("/static/shared/style.css", f"/static/{'0' * 16}/shared/style.css", "/room"):
        answer = await get(harness, path)
        assert answer.code == 200, path
        assert answer.headers["Cache-Control"] == "no-cache"
        again = await get(harness, path, **{"If-None-Match": answer.headers["Etag"]})
        assert (again.code, again.body) == (304, b"")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path",
    [
        "/static/none.css",
        "/static/room/index.html",
        "/static/../pages.py",
        "/static/%2e%2e/pages.py",
        "/static/0123456789abcdef/../../pages.py",
    ],
)
async def test_other_paths_are_not_found(harness: Harness, path: str) -> None:
    answer = await get(harness, path)
    assert answer.code == 404
    assert b"import" not in answer.body


@pytest.mark.gen_test
async def test_pages_can_be_switched_off(settings: config.Config) -> None:
    server = Server(changed(settings, "web", pages=False))
    await server.start()
    harness = Harness(server, settings, [])
    for path in ("/room", "/static/shared/style.css"):
        assert (await get(harness, path)).code == 404
    await server.stop()


@pytest.mark.gen_test
async def test_head_is_a_get_without_a_body(harness: Harness) -> None:
    whole, head = await get(harness, "/room"), await get(harness, "/room", "HEAD")
    assert (head.code, head.body) == (200, b"")
    assert head.headers["Etag"] == whole.headers["Etag"]
    assert (await get(harness, "/room", "DELETE")).code == 405
