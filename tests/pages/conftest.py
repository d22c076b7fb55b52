"""Fixtures of the browser tests: a browser, and a real server process that serves the pages.

Errors and warnings on a page's console fail the test. This includes violations of the
Content-Security-Policy.
"""

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect
from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop

from tests.conftest import token

# The process of the end-to-end tests, which pytest would not find from here.
from tests.e2e.conftest import Process, process
from tests.helpers import timeouts

__all__ = ["Process", "process"]

VISITOR = token("user", 1, "Lin")
COUNSELLOR = token("consultant", 2, "Chen")
SUPERVISOR = token("supervisor", 3, "Wu")
HOST = token("service", "host")

HERE = Path(__file__).parent
PHONE, DESK = (360, 740), (1200, 800)

WAIT_TIMEOUT_MS = 1000 * timeouts.WAIT_TIMEOUT_SECONDS  # a page makes its attempts up to 20 s apart
expect.set_options(timeout=WAIT_TIMEOUT_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the browser tests as slow: about a hundred of them take as long as all other tests together."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)


class Room:
    """The page ``/room`` of one participant."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.composer = page.get_by_role("textbox", name=re.compile("Message|消息|^To .* only|^只发给"))
        self.messages = page.locator(".message")
        self.connection_status = page.locator("#connection-status")

    @property
    def context(self) -> BrowserContext:
        return self.page.context

    async def wait_ready(self) -> "Room":
        """Wait until the conversation is loaded."""
        await expect(self.page.get_by_role("log")).to_have_attribute("aria-busy", "false")
        return self

    async def send(self, text: str) -> None:
        await self.composer.fill(text)
        await self.composer.press("Enter")

    def message(self, text: str) -> Locator:
        return self.page.locator(".message", has=self.page.locator(".text", has_text=text))

    async def expect_messages(self, *texts: str) -> None:
        """Wait until the conversation shows exactly these messages."""
        await expect(self.page.locator(".message .text")).to_have_text(list(texts))

    async def expect_delivery(self, text: str, delivery: str) -> None:
        """Wait until an own message is in a state: ``sending``, ``stored``, ``delivered``, ``read``."""
        await expect(self.message(text)).to_have_attribute("data-delivery", delivery)

    async def menu(self, item: str) -> None:
        await self.page.locator("#menu-button").click()
        await self.page.locator("#menu").get_by_text(item).click()


async def overlap(first: Locator, second: Locator) -> bool:
    """Return True if the elements share a part of the screen."""
    one, other = await first.bounding_box(), await second.bounding_box()
    assert one is not None
    assert other is not None
    return (
        one["x"] < other["x"] + other["width"]
        and other["x"] < one["x"] + one["width"]
        and one["y"] < other["y"] + other["height"]
        and other["y"] < one["y"] + one["height"]
    )


class People:
    """Opens pages, each in a browser profile of its own."""

    def __init__(self, browser: Browser, expected: list[str]) -> None:
        self._browser = browser
        self._expected = expected
        self.complaints: list[str] = []

    async def page(
        self,
        url: str,
        size: tuple[int, int] = DESK,
        locale: str = "en-GB",
        zone: str = "Asia/Shanghai",
        **more: Any,
    ) -> Page:
        viewport = {"width": size[0], "height": size[1]}
        context = await self._browser.new_context(
            viewport=viewport,  # type: ignore[arg-type]
            locale=locale,
            timezone_id=zone,
            **more,
        )
        return await self.tab(context, url)

    async def tab(self, context: BrowserContext, url: str) -> Page:
        page = await context.new_page()
        page.set_default_timeout(WAIT_TIMEOUT_MS)
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        await page.goto(url)
        return page

    async def room(self, url: str, access_token: str, session: int, type: int = 0, **more: Any) -> Room:
        page = await self.page(f"{url}/room#token={access_token}&session={session}&type={type}", **more)
        return await Room(page).wait_ready()

    def _note(self, type: str, text: str) -> None:
        if type in ("error", "warning") and not any(re.search(each, text) for each in self._expected):
            self.complaints.append(f"{type}: {text}")


@pytest.fixture
def expected_complaints() -> list[str]:
    """Return the patterns of allowed console messages. A test appends those that it provokes."""
    return []


@pytest.fixture(scope="session")
def pages_loop() -> Iterator[IOLoop]:
    """Yield the event loop of all browser tests.

    They share one browser, because starting a browser takes longer than many tests.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    io_loop = IOLoop.current()
    asyncio.set_event_loop(None)
    yield io_loop
    loop.run_until_complete(loop.shutdown_default_executor())
    io_loop.close(all_fds=True)


@pytest.fixture
def io_loop(pages_loop: IOLoop) -> Iterator[IOLoop]:
    loop: asyncio.AbstractEventLoop = pages_loop.asyncio_loop  # type: ignore[attr-defined]
    asyncio.set_event_loop(loop)
    yield pages_loop
    AsyncHTTPClient().close()
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def browser(pages_loop: IOLoop) -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "chromium is missing: run scripts/test, which installs it, or apt-get install chromium"

    async def start() -> tuple[Any, Browser]:
        playwright = await async_playwright().start()
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        return playwright, browser

    async def stop() -> None:
        await browser.close()
        await playwright.stop()

    playwright, browser = pages_loop.run_sync(start)
    yield browser
    pages_loop.run_sync(stop, timeout=timeouts.WAIT_TIMEOUT_SECONDS)


@pytest.fixture
def people(io_loop: IOLoop, browser: Browser, expected_complaints: list[str]) -> Iterator[People]:
    people = People(browser, expected_complaints)
    yield people

    async def leave() -> None:
        for context in browser.contexts:
            for page in context.pages:
                await page.unroute_all(behavior="ignoreErrors")  # a page may send requests until it is closed
            await context.unroute_all(behavior="ignoreErrors")
            await context.close()

    io_loop.run_sync(leave, timeout=timeouts.WAIT_TIMEOUT_SECONDS)  # a browser that hangs fails one test only
    assert not people.complaints, "pages complained"
