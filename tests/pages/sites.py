"""The web site of a host that embeds the widget.

Its origin differs from that of the chat server, and its policies are the strictest that allow the widget.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import FrameLocator, Locator, Page, expect
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.conftest import Peer
from tests.pages.conftest import People, Process

WAITER_FEATURES = ["ack", "seq", "echo", "typing", "read", "profile"]
UNSERVED = "None of us is on duty right now"

PAGE = """<!doctype html>
<html lang="{lang}">
  <head>
    <meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Shop</title>{style}
    <script src="{chat}/widget.js" async {attributes}></script>
  </head>
  <body>
    <main><h1>{path}</h1><button type="button">buy</button> <a href="/other">other</a></main>
    {script}
  </body>
</html>"""


@dataclass
class Site:
    """The contents and headers of the site's pages. All of them include the widget."""

    url: str
    chat: str = ""
    attributes: str = ""
    lang: str = "en"
    script: str = ""
    style: str = ""
    policy: str = field(
        default="default-src 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; "
        "script-src {chat}{more}; frame-src {chat}; style-src {style}"
    )

    def answer(self, handler: RequestHandler) -> None:
        script = f"<script nonce='n'>{self.script}</script>" if self.script else ""
        style = f"<style nonce='n'>{self.style}</style>" if self.style else ""
        more = " 'nonce-n'" if self.script else ""
        allowed = "'nonce-n'" if self.style else "'none'"
        handler.set_header(
            "Content-Security-Policy", self.policy.format(chat=self.chat, more=more, style=allowed)
        )
        handler.set_header("Cross-Origin-Opener-Policy", "same-origin")
        handler.set_header("Cross-Origin-Embedder-Policy", "require-corp")
        handler.finish(
            PAGE.format(
                lang=self.lang,
                chat=self.chat,
                attributes=self.attributes,
                path=handler.request.path,
                script=script,
                style=style,
            )
        )


class SitePage(RequestHandler):
    def initialize(self, site: Site) -> None:
        self.site = site

    def get(self) -> None:
        if self.request.path == "/favicon.ico":
            self.set_status(204)
        else:
            self.site.answer(self)


@pytest.fixture
def site(io_loop: IOLoop) -> Iterator[Site]:
    site = Site("")

    async def start() -> HTTPServer:
        sockets = bind_sockets(0, "127.0.0.1")
        site.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        server = HTTPServer(Application([(r"/.*", SitePage, {"site": site})]))
        server.add_sockets(sockets)
        return server

    server = io_loop.run_sync(start)
    yield site

    async def stop() -> None:
        server.stop()
        await server.close_all_connections()

    io_loop.run_sync(stop)


class Widget:
    """The widget in a page of the host."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.launcher = page.locator("tornado-chat .launcher")
        self.badge = page.locator("tornado-chat .badge")
        self.panel = page.locator("tornado-chat .panel")
        self.inside: FrameLocator = page.frame_locator("tornado-chat iframe")
        self.composer = self.inside.get_by_role("textbox", name=re.compile("Message|消息"))
        self.heading = self.inside.get_by_role("heading", level=1)
        self.position = self.inside.locator("#position")
        self.new_conversation = self.inside.get_by_role("button", name="New conversation")

    async def open(self) -> None:
        await self.page.bring_to_front()  # a click on a frame of a background tab takes long
        await self.launcher.click()
        await expect(self.panel).to_be_visible()

    async def close(self) -> None:
        await self.page.bring_to_front()
        await self.inside.get_by_role("button", name="Close the chat").click()
        await expect(self.panel).to_be_hidden()

    async def start(self) -> "Widget":
        """Open the widget, and start a conversation."""
        await self.open()
        await self.inside.get_by_role("button", name="Start a conversation").click()
        return self

    async def end(self) -> None:
        await self.page.bring_to_front()
        await self.inside.get_by_role("button", name="End the conversation").click()
        dialog = self.inside.get_by_role("dialog", name="End the conversation?")
        await dialog.get_by_role("button", name="End the conversation").click()
        await expect(self.inside.get_by_text("The conversation has ended")).to_be_visible()

    async def send(self, text: str) -> None:
        await self.composer.fill(text)
        await self.composer.press("Enter")

    def message(self, text: str) -> Locator:
        return self.inside.locator(".message", has=self.inside.locator(".text", has_text=text))

    async def expect_messages(self, *texts: str) -> None:
        """Wait until the conversation shows exactly these messages."""
        await expect(self.inside.locator(".message .text")).to_have_text(list(texts))

    async def expect_delivery(self, text: str, delivery: str) -> None:
        """Wait until an own message is in a delivery state.

        The states are ``held``, ``sending``, ``stored``, ``delivered`` and ``read``.
        """
        await expect(self.message(text)).to_have_attribute("data-delivery", delivery)


class Visitors:
    """Opens pages of the host's site."""

    def __init__(self, process: Process, people: People, site: Site) -> None:
        self.process = process
        self.people = people
        self.site = site

    async def serve(self, *options: str) -> None:
        """Start the chat server. By default it allows guests on pages of this host."""
        given = {"auth.guests": "on", "web.origins": self.site.url}
        given |= dict(option.split("=", 1) for option in options)
        await self.process.start(*(f"{name}={value}" for name, value in given.items()))
        self.site.chat = self.process.url

    async def visit(self, path: str = "/", **more: Any) -> Widget:
        return Widget(await self.people.page(self.site.url + path, **more))

    async def tab(self, widget: Widget, path: str = "/") -> Widget:
        return Widget(await self.people.tab(widget.page.context, self.site.url + path))

    async def waiter(self, id: int = 7, name: str | None = "Bob") -> Peer:
        """Connect a waiter who is ready for users."""
        return await self.process.harness.waiter(id, name=name, features=WAITER_FEATURES)


async def next_user(waiter: Peer) -> str:
    """Return the UUID of the next user that is assigned to the waiter."""
    return str((await waiter.until("new_connection"))["payload"]["uuid"])


async def send_text(waiter: Peer, text: str, to: str) -> None:
    """Send a message to a user, and wait until it is stored."""
    await waiter.send_frame("message_text", {"message": text}, to=to)
    await waiter.until("message_text_success")


async def next_message_of(waiter: Peer, user: str) -> dict[str, Any]:
    """Return the next message frame of the user."""
    while True:
        frame = await waiter.until("message_text")
        if frame["from"] == user:
            return frame


async def next_read_seq(waiter: Peer, user: str) -> int:
    """Return the sequence number in the next read receipt of the user."""
    while True:
        frame = await waiter.until("read")
        if frame["from"] == user:
            return int(frame["payload"]["seq"])


@pytest.fixture
def visitors(process: Process, people: People, site: Site) -> Visitors:
    return Visitors(process, people, site)
