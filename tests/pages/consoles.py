"""The page ``/console`` of a waiter, and connections of visitors without a page."""

import re
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.conftest import Harness, Peer, token
from tests.pages.conftest import People

BOB, CAROL = token("waiter", 5, "Bob"), token("waiter", 6, "Carol")


class Console:
    """The page ``/console``. Methods take the name of the visitor to select a conversation."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.ready_switch = page.get_by_role("switch", name=re.compile("Take new visitors|接待新访客"))
        self.panels = page.locator(".panel")
        self.composer = page.locator(".panel.active").get_by_role("textbox")
        self.queue = page.locator("#queue-rows .queue-name")
        self.rows = page.locator(".row")
        self.toast = page.locator("#toast")
        self.connection_status = page.locator("#connection-status")

    @classmethod
    async def open(
        cls, people: People, url: str, access_token: str = BOB, *, ready: bool = True, **more: Any
    ) -> "Console":
        console = cls(await people.page(f"{url}/console#token={access_token}", **more))
        await console.wait_connected()
        if ready:
            await console.take_new()
        return console

    async def wait_connected(self) -> None:
        await expect(self.page.locator("#my-connection")).to_have_attribute("data-connected", "true")

    async def take_new(self) -> None:
        await self.ready_switch.click()
        await expect(self.page.locator("#ready-description")).to_have_text(re.compile("next one|下一位"))

    def row(self, name: str) -> Locator:
        return self.rows.filter(has=self.page.locator(".row-name", has_text=name))

    def panel(self, name: str) -> Locator:
        return self.panels.filter(has=self.page.get_by_role("heading", name=name, exact=True))

    async def open_conversation(self, name: str) -> Locator:
        await self.row(name).click()
        await expect(self.panel(name)).to_be_visible()
        return self.panel(name)

    async def send(self, text: str) -> None:
        await self.composer.fill(text)
        await self.composer.press("Enter")

    async def expect_messages(self, name: str, *texts: str) -> None:
        """Wait until the open conversation shows exactly these messages."""
        await expect(self.panel(name).locator(".message .text")).to_have_text(list(texts))

    async def expect_delivery(self, text: str, delivery: str) -> None:
        message = self.page.locator(".message", has=self.page.locator(".text", has_text=text))
        await expect(message).to_have_attribute("data-delivery", delivery)

    async def scroll_to_first_message(self, end: str) -> None:
        """Scroll up from the message ``end`` until the first message (``line 0``) is loaded."""
        log = self.page.get_by_role("log")
        await expect(log.get_by_text(end, exact=True)).to_be_in_viewport()
        while not await log.locator(".text").first.filter(has_text=re.compile("^line 0$")).count():
            await log.evaluate("log => log.scrollTo(0, 0)")
            await self.page.wait_for_timeout(50)

    async def click_button(self, name: str, button: str) -> None:
        await self.panel(name).get_by_role("button", name=button).click()


async def connect_visitor(harness: Harness, id: int, name: str | None = None, *, served: bool = True) -> Peer:
    """Connect a visitor, and wait until a waiter serves them (``served``), or until they are in the queue."""
    features = ["ack", "seq", "typing", "read"]
    peer = await harness.user(id, features=features, **({"name": name} if name else {}))
    await peer.until("connect_success" if served else "connect_queue")
    return peer


async def send_messages(peer: Peer, *texts: str) -> None:
    for text in texts:
        await peer.send_frame("message_text", {"message": text})
        await peer.until("message_text_success")


async def receive_text(peer: Peer) -> str:
    return str((await peer.until("message_text"))["payload"]["message"])
