"""Accessibility of ``/room``: axe-core in both colour schemes, on a phone and a desktop, and the keyboard."""

import re
from importlib import resources
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.pages.conftest import COUNSELLOR, DESK, PHONE, VISITOR, People, Process, Room

AXE = resources.files("axe_core_python") / "axe.min.js"


async def axe_violations(page: Page) -> list[str]:
    """Return the violations that axe-core finds in the page."""
    # Evaluated, because the page's policy forbids a script element.
    await page.evaluate(AXE.read_text())
    result = await page.evaluate("axe.run()")
    return [
        f"{rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in result["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.gen_test
@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "dark")])
async def test_axe_finds_nothing(
    process: Process, people: People, size: tuple[int, int], scheme: str
) -> None:
    options = ("group:default.consent=What you write is stored.", "group:default.consent_version=1")
    harness = (await process.start(*options)).harness
    session = await harness.session()
    look: dict[str, Any] = {"size": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    link = f"{process.url}/room#token={VISITOR}&session={session}&type=0"
    visitor = Room(await people.page(link, **look))
    decline = visitor.page.get_by_role("button", name="Decline")
    await expect(visitor.page.get_by_role("heading", name="Before we begin")).to_be_focused()
    await expect(decline).to_have_accessible_description(re.compile("you leave this session"))
    assert await axe_violations(visitor.page) == []
    await decline.click()
    await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("You did not agree")
    assert await axe_violations(visitor.page) == []
    await visitor.page.get_by_role("button", name="Read it again").click()
    await visitor.page.get_by_role("button", name="I agree").click()
    await visitor.wait_ready()
    assert await axe_violations(visitor.page) == []  # without messages
    counsellor = await people.room(process.url, COUNSELLOR, session, **look)
    await visitor.send("Hello")
    await counsellor.send("What brings you here?")
    await visitor.expect_delivery("Hello", "read")
    # A message hides the typing indicator, so it must arrive before the typing starts.
    await visitor.expect_messages("Hello", "What brings you here?")
    await counsellor.composer.press_sequentially("And")
    await expect(visitor.page.get_by_text("is typing")).to_be_visible()
    assert await axe_violations(visitor.page) == []

    await counsellor.page.locator("#menu-button").click()
    assert await axe_violations(counsellor.page) == []
    await counsellor.page.keyboard.press("Escape")
    for item in ("Ask for supervision", "Download transcript", "End the session"):
        await counsellor.menu(item)
        await expect(counsellor.page.get_by_role("dialog")).to_be_visible()
        assert await axe_violations(counsellor.page) == []
        await counsellor.page.keyboard.press("Escape")

    await visitor.context.set_offline(True)
    await visitor.send("unsent")
    await expect(visitor.connection_status).to_contain_text("offline")
    assert await axe_violations(visitor.page) == []
    await visitor.context.set_offline(False)
    await visitor.expect_delivery("unsent", "read")

    await counsellor.menu("End the session")
    await counsellor.page.get_by_role("dialog").get_by_role("button", name="End the session").click()
    await expect(visitor.page.get_by_role("button", name="Send rating")).to_be_visible()
    await visitor.page.get_by_role("radio").nth(2).check(force=True)
    assert await axe_violations(visitor.page) == []
    await visitor.page.goto(f"{process.url}/room#token=nonsense&session={session}")
    await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Your sign-in has expired")
    assert await axe_violations(visitor.page) == []


@pytest.mark.gen_test
async def test_keyboard_reaches_all_controls(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    counsellor = await people.room(process.url, COUNSELLOR, session)
    keyboard = counsellor.page.keyboard
    await expect(counsellor.composer).to_be_focused()
    await keyboard.press("Shift+Tab")
    await expect(counsellor.page.get_by_role("log")).to_be_focused()
    await keyboard.press("Shift+Tab")
    await expect(counsellor.page.get_by_role("button", name="More")).to_be_focused()
    await keyboard.press("Enter")
    await keyboard.press("Tab")
    await expect(counsellor.page.locator("#menu").get_by_text("Ask for supervision")).to_be_focused()
    await keyboard.press("Tab")
    await keyboard.press("Tab")
    await keyboard.press("Enter")
    await expect(counsellor.page.get_by_role("dialog", name="End the session?")).to_be_visible()
    await keyboard.press("Escape")
    await expect(counsellor.page.get_by_role("dialog")).to_be_hidden()
    await expect(counsellor.composer).to_be_enabled()


@pytest.mark.gen_test
async def test_page_fits_a_narrow_phone(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    for locale in ("zh-CN", "en-GB"):
        session = await harness.session()
        visitor = await people.room(process.url, VISITOR, session, size=(320, 568), locale=locale)
        await visitor.send("https://example.org/" + "x" * 200)
        await visitor.expect_delivery("https", "stored")
        assert await visitor.page.evaluate("document.documentElement.scrollWidth") <= 320
        assert await visitor.page.get_by_role("log").evaluate("log => log.scrollWidth - log.clientWidth") <= 0
        counsellor = await people.room(process.url, COUNSELLOR, session, size=(320, 568), locale=locale)
        record = await harness.record(session)
        aside = await people.room(process.url, COUNSELLOR, record, type=1, size=(320, 568), locale=locale)
        for room in (counsellor, aside):
            assert await room.page.evaluate("document.documentElement.scrollWidth") <= 320
