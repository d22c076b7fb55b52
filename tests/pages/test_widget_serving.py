"""How ``/widget.js`` and ``/widget`` are served: allowed origins, headers and sizes."""

import gzip
import re

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from tests.conftest import Harness, changed
from tornado_chat import config
from tornado_chat.server.server import Server
from tornado_chat.web.widget import DEMO_ROUTES

# Gzipped. The choice of a group, with the client of the HTTP API, takes 6,000 bytes of the frame.
MAX_LOADER_BYTES = 5_000
MAX_FRAME_BYTES = 82_000

ORIGINS = ("https://shop.example", "http://10.0.0.7:8080", "app://shop;script-src", "https://b.example")


async def get(harness: Harness, path: str, **headers: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(harness.http + path, headers=headers, raise_error=False)


def directive(answer: HTTPResponse, name: str) -> str:
    policy = answer.headers["Content-Security-Policy"]
    return next(part.strip() for part in policy.split(";") if part.strip().startswith(name))


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return changed(settings, "web", origins=ORIGINS)


@pytest.mark.gen_test
async def test_script_loads_from_any_origin_and_is_revalidated(harness: Harness) -> None:
    answer = await get(harness, "/widget.js")
    assert answer.code == 200
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert b"{{" not in answer.body
    again = await get(harness, "/widget.js", **{"If-None-Match": answer.headers["Etag"]})
    assert (again.code, again.body) == (304, b"")


@pytest.mark.gen_test
async def test_allowed_origins_may_frame_the_widget(harness: Harness) -> None:
    answer = await get(harness, "/widget")
    # A value that is no valid origin stays out of the policy.
    allowed = "http://10.0.0.7:8080 https://b.example https://shop.example"
    assert directive(answer, "frame-ancestors") == f"frame-ancestors 'self' {allowed}"
    assert directive(answer, "script-src") == "script-src 'self'"
    assert "X-Frame-Options" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    signin = await get(harness, "/signin")
    assert directive(signin, "frame-ancestors") == "frame-ancestors 'none'"


@pytest.mark.gen_test
@pytest.mark.parametrize(("origins", "ancestors"), [((), "'self'"), (("*",), "'self' *")])
async def test_frame_ancestors_without_origins_and_with_any_origin(
    settings: config.Config, origins: tuple[str, ...], ancestors: str
) -> None:
    server = Server(changed(settings, "web", origins=origins))
    await server.start()
    answer = await get(Harness(server, settings, []), "/widget")
    assert directive(answer, "frame-ancestors").split(maxsplit=1)[1] == ancestors
    await server.stop()


@pytest.mark.gen_test
async def test_widget_needs_pages_and_the_demo_page_needs_the_demo(
    settings: config.Config, harness: Harness
) -> None:
    assert (await get(harness, "/demo")).code == 404
    server = Server(changed(settings, "web", pages=False), more_pages=DEMO_ROUTES)
    await server.start()
    for path in ("/widget.js", "/widget", "/demo"):
        assert (await get(Harness(server, settings, []), path)).code == 404
    await server.stop()


@pytest.mark.gen_test
async def test_sizes_are_limited_and_the_page_names_all_scripts(harness: Harness) -> None:
    client = AsyncHTTPClient()
    zipped = await client.fetch(harness.http + "/widget.js", decompress_response=False, headers=GZIP)
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert len(zipped.body) < MAX_LOADER_BYTES
    assert gzip.decompress(zipped.body) == (await get(harness, "/widget.js")).body

    page = await client.fetch(harness.http + "/widget", decompress_response=False, headers=GZIP)
    size = len(page.body)
    found = re.findall(r'(?:href|src)="([^"]+)"', gzip.decompress(page.body).decode())
    named = {path.replace("./", "/", 1) for path in found}
    scripts = set()
    for path in named:
        answer = await client.fetch(harness.http + path, decompress_response=False, headers=GZIP)
        size += len(answer.body)
        if path.endswith(".js"):
            found = re.findall(
                r'from "([^"]+)"|^import "([^"]+)"', gzip.decompress(answer.body).decode(), re.M
            )
            folder = path.rsplit("/", 1)[0]
            scripts |= {_resolved(folder, one or other) for one, other in found}
    assert size < MAX_FRAME_BYTES
    assert scripts <= named


def _resolved(folder: str, path: str) -> str:
    if path.startswith("../"):
        return folder.rsplit("/", 1)[0] + path[2:]
    return folder + path[1:]


GZIP = {"Accept-Encoding": "gzip"}
