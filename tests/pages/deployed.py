"""Front ends as they are deployed: plain clients of the published protocols, as small pages of another site.

They behave as the front ends of hosts do, which the server cannot change:

- leaving is a bare ``close()``, also before the page is loaded again,
- they connect again only after an unclean close (``CloseEvent.wasClean`` is false),
- each notification is shown by ``alert()``,
- support clients write ``Bearer`` before the token, answer to ``from``, and end a conversation by
  ``disconnect`` with ``payload.uuid``; those of one generation wait for ``auth_success``.

The title of a page is the state of its socket: ``open``, ``closed CODE clean`` or ``closed CODE unclean``.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Dialog, Page, expect
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.pages.conftest import People

COMMON = """<!doctype html><meta charset="utf-8"><title>new</title><link rel="icon" href="data:,">
<ul></ul><input><button id="send">send</button><button id="end">end</button>
<script>
const given = JSON.parse(decodeURIComponent(location.hash.slice(1)));
let socket = null;
let attempts = 0;

function show(text, kind) {
  const line = document.createElement("li");
  line.className = kind;
  line.textContent = text;
  document.querySelector("ul").append(line);
}

function connect() {
  socket = new WebSocket(given.server + address());
  socket.onopen = () => {
    attempts = 0;
    document.title = "open";
    opened();
  };
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = (event) => {
    document.title = `closed ${event.code} ${event.wasClean ? "clean" : "unclean"}`;
    if (!event.wasClean && attempts < given.attempts) {
      attempts += 1;
      setTimeout(connect, given.retry);
    }
  };
}

const send = (frame) => socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
const typed = () => document.querySelector("input").value;
document.querySelector("#send").onclick = () => post(typed());
document.querySelector("#end").onclick = () => end();
</script>
"""

BARE_CLOSE = """
function end() {
  if (socket) {
    socket.onclose = null;
    socket.close();
    socket = null;
    document.title = "left";
  }
}
addEventListener("beforeunload", end);
"""

PAGES = {
    "chat": BARE_CLOSE
    + """
const address = () => `/chat?token=${given.token}&sessionId=${given.session}&type=${given.type}`;
const opened = () => given.heartbeat && setInterval(() => send(given.heartbeat), 20);
const post = (msg) => send({ msg });

function receive(frame) {
  show(frame.msg, frame.system ? "system" : "message");
  if (frame.msg === "会话已结束") alert(frame.msg);
}
connect();
""",
    "notify": BARE_CLOSE
    + """
const address = () => `/notify?token=${given.token}`;
const opened = () => given.heartbeat && setInterval(() => send(given.heartbeat), 20);

function receive(frame) {
  alert(frame.msg);
  show(frame.msg, "message");
}
connect();
""",
    "user": """
const address = () => "/v1/ws/connect/user";
const opened = () => {
  send({ type: "auth", payload: { token: `Bearer ${given.token}` } });
  if (!given.waits) send({ type: "connect", payload: {} });
};
const post = (message) => send({ type: "message_text", payload: { message } });
const end = () => send({ type: "disconnect", payload: {} });

function receive(frame) {
  show(frame.type, "type");
  if (frame.type === "auth_success") send({ type: "connect", payload: {} });
  if (frame.type === "message_text") show(frame.payload.message, "message");
}
connect();
""",
    "waiter": """
const users = [];
const address = () => "/v1/ws/connect/waiter";
const opened = () => {
  send({ type: "auth", payload: { token: `Bearer ${given.token}` } });
  if (!given.waits) send({ type: "ready", payload: {} });
};
const post = (message) => send({ type: "message_text", to: users[0], payload: { message } });
const end = () => send({ type: "disconnect", payload: { uuid: users[0] } });

function receive(frame) {
  show(frame.type, "type");
  if (frame.type === "auth_success") send({ type: "ready", payload: {} });
  if (frame.type === "new_connection" && !users.includes(frame.from)) users.push(frame.from);
  if (frame.type === "disconnected") users.splice(users.indexOf(frame.from), 1);
  if (frame.type === "message_text") show(frame.payload.message, "message");
}
connect();
""",
}
"""The scripts of the pages, by name."""


class DeployedPage(RequestHandler):
    def get(self, name: str) -> None:
        self.finish(f"{COMMON}<script>{PAGES[name]}</script>")


class DeployedClient:
    """An open page.

    :ivar dialogs: the texts of the dialogs that ``alert()`` has opened.
    :ivar accepts_dialogs: False: the next dialog stays open, and blocks the page.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.dialogs: list[str] = []
        self.accepts_dialogs = True
        page.on("dialog", self._on_dialog)

    async def send(self, text: str) -> None:
        await self.page.locator("input").fill(text)
        await self.page.locator("#send").click()

    async def end(self) -> None:
        await self.page.locator("#end").click()

    async def expect_open(self) -> "DeployedClient":
        await expect(self.page).to_have_title("open")
        return self

    async def expect_shown(self, kind: str, *texts: str) -> None:
        """Wait until exactly these texts of a kind are shown: ``message``, ``system`` or ``type``."""
        await expect(self.page.locator(f"li.{kind}")).to_have_text(list(texts))

    async def shown(self, kind: str) -> list[str]:
        return await self.page.locator(f"li.{kind}").all_text_contents()

    async def _on_dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        if self.accepts_dialogs:
            await dialog.accept()


class DeployedSite:
    """The site of a host with all of these pages.

    :ivar server: the WebSocket address of the chat server.
    """

    def __init__(self, people: People, url: str) -> None:
        self._people = people
        self.url = url
        self.server = ""

    def serve(self, http_url: str) -> None:
        self.server = http_url.replace("http", "ws", 1)

    async def open(self, name: str, token: str, **given: Any) -> DeployedClient:
        """Open a page in a browser profile of its own.

        :arg given: ``session``, ``type``; ``heartbeat``, the text that is sent again and again; ``waits``,
            if a support client waits for ``auth_success``; ``retry`` (ms) and ``attempts``.
        """
        page = await self._people.page("about:blank")
        client = DeployedClient(page)
        await self.load(client, name, token, **given)
        return await client.expect_open()

    async def load(self, client: DeployedClient, name: str, token: str, **given: Any) -> None:
        # The deployed pages try five times, 3 s apart and more. Faster here, and as long as the server takes.
        given = {"type": 0, "retry": 200, "attempts": 1000, **given}
        parameters = json.dumps({"server": self.server, "token": token, **given})
        await client.page.goto(f"{self.url}/{name}#{parameters}")


@pytest.fixture
def site_url(io_loop: IOLoop) -> Iterator[str]:
    """The origin of a server with the pages."""

    async def start() -> tuple[HTTPServer, int]:
        sockets = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(Application([(r"/(\w+)", DeployedPage)]))
        server.add_sockets(sockets)
        return server, sockets[0].getsockname()[1]

    server, port = io_loop.run_sync(start)
    yield f"http://127.0.0.1:{port}"

    async def stop() -> None:
        server.stop()
        await server.close_all_connections()

    io_loop.run_sync(stop)


@pytest.fixture
def deployed(people: People, site_url: str) -> DeployedSite:
    return DeployedSite(people, site_url)
