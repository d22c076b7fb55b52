"""Accessibility of ``/desk``: axe-core in both colour schemes and two sizes, the keyboard, a narrow phone."""

from typing import Any

import pytest
from playwright.async_api import expect

from tests.pages.conftest import PHONE, People, Process
from tests.pages.desks import Desk, hold_session, notify, visit
from tests.pages.test_room_accessible import axe_violations

WIDE = (1400, 900)


@pytest.mark.gen_test
@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (WIDE, "dark")])
async def test_axe_finds_nothing(
    process: Process, people: People, expected_complaints: list[str], size: tuple[int, int], scheme: str
) -> None:
    expected_complaints.append("ERR_INTERNET_DISCONNECTED")
    harness = (await process.start()).harness
    look: dict[str, Any] = {"size": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    desk = await Desk.open(people, process.url, **look)
    assert await axe_violations(desk.page) == []
    await hold_session(harness, "Tom", "hello", "hello", user=3, rate=5)
    await harness.session(2, user_name="Mia")
    lin = await harness.session(1, user_name="Lin")
    await visit(harness, lin)
    await notify(harness, 1, "moved to Friday", {"apointmentId": 7})
    await notify(harness, 2, "look here", {"sessionId": lin, "alert": True})
    await expect(desk.group("waits")).to_have_text(["Lin"])
    await expect(desk.group("ended")).to_have_text(["Tom"])
    await expect(desk.page.locator("[data-kind=alert]")).to_be_visible()
    assert await axe_violations(desk.page) == []
    await desk.search("tom")
    await expect(desk.history).to_have_text(["Tom"])
    await desk.read("Tom")
    await desk.expect_transcript("hello", "hello")
    assert await axe_violations(desk.page) == []
    if size == PHONE:
        await desk.page.get_by_role("button", name="Close the transcript").click()
    await desk.page.context.set_offline(True)
    await expect(desk.problem).to_contain_text("This was so at")
    assert await axe_violations(desk.page) == []
    await desk.page.locator("#settings-button").click()
    assert await axe_violations(desk.page) == []


@pytest.mark.gen_test
async def test_keyboard_reaches_all_controls(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    await hold_session(harness, "Tom", "hello", user=3)
    lin = await harness.session(1, user_name="Lin")
    await visit(harness, lin)
    await notify(harness, 0, "a note")
    desk = await Desk.open(people, process.url)
    page, press = desk.page, desk.page.keyboard.press
    await expect(desk.group("waits")).to_have_text(["Lin"])
    names = []
    for _ in range(7):
        await press("Tab")
        names.append(
            await page.evaluate(
                """() => {
                    const { activeElement: it } = document;
                    return it.ariaLabel || it.labels?.[0]?.textContent || it.textContent.trim();
                }"""
            )
        )
    assert names[:6] == [
        "Settings",
        "Mark as read: a note",
        "Show all",
        "Enter the session with Lin",
        "Read the session with Tom",
        "Visitor's name or ID",
    ]
    await page.get_by_role("button", name="Read the session with Tom").press("Enter")
    await expect(desk.transcript.get_by_role("heading")).to_be_focused()
    await press("Tab")
    await expect(page.get_by_role("link", name="Open in the room")).to_be_focused()
    await press("Tab")
    await press("Enter")
    await expect(desk.transcript).to_be_hidden()
    await expect(page.get_by_role("button", name="Read the session with Tom")).to_be_focused()
    await desk.enter("Lin").press("Enter")
    await page.wait_for_url("**/room*")


@pytest.mark.gen_test
async def test_page_fits_a_narrow_phone(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    long_name = "Wilhelmina-Charlotte von der Wiesenmühle zu Oberstdorf"
    await hold_session(harness, long_name, "https://example.org/" + "x" * 200, user=3, rate=5)
    await harness.session(1, user_name=long_name)
    await notify(harness, 0, "x" * 300)
    for locale in ("zh-CN", "en-GB"):
        desk = await Desk.open(people, process.url, size=(320, 568), locale=locale)
        await expect(desk.group("ready")).to_have_count(1)
        assert await desk.page.evaluate("document.documentElement.scrollWidth") <= 320
        await desk.page.locator("[data-act=read]").first.click()
        await expect(desk.transcript.locator(".message")).to_have_count(1)
        assert await desk.page.evaluate("document.documentElement.scrollWidth") <= 320
        log = desk.transcript.get_by_role("log")
        assert await log.evaluate("log => log.scrollWidth - log.clientWidth") <= 0
