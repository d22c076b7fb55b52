"""Pages of other origins that embed or open the pages of the server, and the sign-in form."""

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
window.received = [];
addEventListener("message", (event) => {
  window.received.push([event.origin, event.data.type]);
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
    """Yield the origins of two other servers. Their page embeds or opens a page of the chat server."""

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
    """Allow the first of the two origins, and not the second."""
    return changed(settings, "web", origins=(hosts[0],))


async def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    await page.locator("#name").fill(name)
    await page.locator("#password").fill(password)
    await page.locator("#submit").click()


async def open_embedded(people: People, host: str, src: str, *tokens: str) -> Page:
    """Open a page of ``host`` that has the page ``src`` in a frame."""
    parameters = json.dumps({"src": src, "tokens": tokens, "framed": True})
    return await people.page(f"{host}/#{parameters}")


async def open_popup(people: People, host: str, src: str, *tokens: str) -> Page:
    """Let a page of ``host`` open the page ``src``, and return the latter."""
    context = (await people.page("about:blank")).context
    parameters = json.dumps({"src": src, "tokens": tokens, "framed": False})
    async with context.expect_page(lambda page: page.url.startswith(src.partition("#")[0])) as popup:
        await people.tab(context, f"{host}/#{parameters}")
    return await popup.value
