"""A waiter's page, as tests use it."""

import re
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.conftest import House, Peer, token
from tests.pages.conftest import People

BOB, CAROL = token("waiter", 5, "Bob"), token("waiter", 6, "Carol")


class Console:
    """``/console``. A conversation is named by its visitor."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.ready = page.get_by_role("switch", name=re.compile("Take new visitors|接待新访客"))
        self.panels = page.locator(".panel")
        self.composer = page.locator(".panel.active").get_by_role("textbox")
        self.line = page.locator("#queue-rows .queue-name")
        self.rows = page.locator(".row")
        self.told = page.locator("#toast")
        self.standing = page.locator("#connection-status")

    @classmethod
    async def open(
        cls, people: People, url: str, who: str = BOB, *, ready: bool = True, **more: Any
    ) -> "Console":
        console = cls(await people.page(f"{url}/console#token={who}", **more))
        await console.connected()
        if ready:
            await console.take_new()
        return console

    async def connected(self) -> None:
        await expect(self.page.locator("#my-connection")).to_have_attribute("data-connected", "true")

    async def take_new(self) -> None:
        await self.ready.click()
        await expect(self.page.locator("#ready-description")).to_have_text(re.compile("next one|下一位"))

    def row(self, name: str) -> Locator:
        return self.rows.filter(has=self.page.locator(".row-name", has_text=name))

    def panel(self, name: str) -> Locator:
        return self.panels.filter(has=self.page.get_by_role("heading", name=name, exact=True))

    async def choose(self, name: str) -> Locator:
        await self.row(name).click()
        await expect(self.panel(name)).to_be_visible()
        return self.panel(name)

    async def say(self, text: str) -> None:
        await self.composer.fill(text)
        await self.composer.press("Enter")

    async def shows(self, name: str, *texts: str) -> None:
        """Wait until the open conversation is exactly this."""
        await expect(self.panel(name).locator(".message .text")).to_have_text(list(texts))

    async def became(self, text: str, delivery: str) -> None:
        message = self.page.locator(".message", has=self.page.locator(".text", has_text=text))
        await expect(message).to_have_attribute("data-delivery", delivery)

    async def back_to_the_beginning(self, end: str) -> None:
        """Scroll up from ``end`` until nothing more comes."""
        log = self.page.get_by_role("log")
        await expect(log.get_by_text(end, exact=True)).to_be_in_viewport()
        while not await log.locator(".text").first.filter(has_text=re.compile("^line 0$")).count():
            await log.evaluate("log => log.scrollTo(0, 0)")
            await self.page.wait_for_timeout(50)

    async def act(self, name: str, button: str) -> None:
        await self.panel(name).get_by_role("button", name=button).click()


async def visitor(house: House, id: int, name: str | None = None, *, served: bool = True) -> Peer:
    """Somebody who wants support, and has it."""
    features = ["ack", "seq", "typing", "read"]
    peer = await house.user(id, features=features, **({"name": name} if name else {}))
    await peer.until("connect_success" if served else "connect_queue")
    return peer


async def says(peer: Peer, *texts: str) -> None:
    for text in texts:
        await peer.send_frame("message_text", {"message": text})
        await peer.until("message_text_success")


async def hears(peer: Peer) -> str:
    return str((await peer.until("message_text"))["payload"]["message"])
