"""Pages of other origins that have ours in frames or open them, and a hand that signs in."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Page
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.conftest import changed
from tests.helpers.accounts import PASSWORD
from tests.pages.conftest import People
from tornado_chat import config

HOST_PAGE = """<!doctype html><title>Host</title><link rel="icon" href="data:,"><body><script>
const { src, tokens, framed } = JSON.parse(decodeURIComponent(location.hash.slice(1)));
window.heard = [];
addEventListener("message", (event) => {
  window.heard.push([event.origin, event.data.type]);
  const token = tokens.shift();
  if (token) event.source.postMessage({ type: "tornado-chat:token", token }, event.origin);
});
if (framed) {
  const frame = document.createElement("iframe");
  frame.src = src;
  document.body.append(frame);
} else {
  window.other = open(src);
}
</script>"""


class HostPage(RequestHandler):
    def get(self) -> None:
        self.finish(HOST_PAGE)


@pytest.fixture
def hosts(io_loop: Any) -> Iterator[list[str]]:
    """The origins of two other servers, which have a page that embeds ours."""

    async def start() -> list[tuple[HTTPServer, int]]:
        servers = []
        for _ in range(2):
            sockets = bind_sockets(0, "127.0.0.1")
            server = HTTPServer(Application([("/", HostPage)]))
            server.add_sockets(sockets)
            servers.append((server, sockets[0].getsockname()[1]))
        return servers

    servers = io_loop.run_sync(start)
    yield [f"http://127.0.0.1:{port}" for _, port in servers]
    for server, _ in servers:
        server.stop()


@pytest.fixture
def settings(settings: config.Config, hosts: list[str]) -> config.Config:
    """The first of them is allowed, the other is not."""
    return changed(settings, "web", origins=(hosts[0],))


async def enter(page: Page, name: str, password: str = PASSWORD) -> None:
    await page.locator("#name").fill(name)
    await page.locator("#password").fill(password)
    await page.locator("#submit").click()


async def embedded(people: People, host: str, src: str, *tokens: str) -> Page:
    """A page of ``host`` with one of ours in a frame."""
    told = json.dumps({"src": src, "tokens": tokens, "framed": True})
    return await people.page(f"{host}/#{told}")


async def opened(people: People, host: str, src: str, *tokens: str) -> Page:
    """A page of ours that a page of ``host`` has opened."""
    context = (await people.page("about:blank")).context
    told = json.dumps({"src": src, "tokens": tokens, "framed": False})
    async with context.expect_page(lambda page: page.url.startswith(src.partition("#")[0])) as ours:
        await people.tab(context, f"{host}/#{told}")
    return await ours.value
