"""The chat in the corner for everybody: by keyboard, by ear, on a telephone, in their language."""

from typing import Any

import pytest
from playwright.async_api import Frame, Page, expect

from tests.conftest import House, changed
from tests.pages.conftest import DESK, PHONE, People, Process
from tests.pages.sites import Corner, Visitors, site, told, took, visitors
from tests.pages.test_room_accessible import AXE
from tornado_chat import config
from tornado_chat.server.server import Server
from tornado_chat.web.widget import DEMO_ROUTES

__all__ = ["site", "visitors"]


async def findings(corner: Corner) -> list[str]:
    """What axe finds in the page, and in the frame: each by itself, its policy lets nothing in."""
    found = []
    for each in (corner.page.main_frame, *[f for f in corner.page.frames if "/widget" in f.url]):
        found += await _findings(each)
    return found


async def _findings(frame: Page | Frame) -> list[str]:
    await frame.evaluate(AXE.read_text())
    result = await frame.evaluate("axe.run(document, {iframes: false})")
    return [
        f"{rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in result["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.gen_test
@pytest.mark.parametrize(("scheme", "size", "color"), [("light", PHONE, ""), ("dark", DESK, "#e8b02c")])
async def test_axe_finds_nothing(visitors: Visitors, scheme: str, size: tuple[int, int], color: str) -> None:
    visitors.site.attributes = f'data-color="{color}"'
    await visitors.serve("support.rejoin_grace=0.4")
    look: dict[str, Any] = {"size": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    corner = await visitors.visit(**look)
    await expect(corner.launcher).to_be_visible()
    assert await findings(corner) == []
    await corner.open()
    start = corner.inside.get_by_role("button", name="Start a conversation")
    await expect(start).to_be_visible()
    assert await findings(corner) == []
    await start.click()
    await corner.say("Hello")
    await corner.became("Hello", "held")
    assert await findings(corner) == []
    waiter = await visitors.waiter()
    user = await took(waiter)
    await told(waiter, "See https://help.example", user)
    await waiter.send_frame("typing", {"typing": True}, to=user)
    await expect(corner.inside.get_by_text("Bob is typing")).to_be_visible()
    assert await findings(corner) == []
    await waiter.close(1001)
    await expect(corner.inside.get_by_text("Somebody will take over")).to_be_visible()
    assert await findings(corner) == []
    await took(await visitors.waiter(8))
    await corner.inside.get_by_role("button", name="End the conversation").click()
    await expect(corner.inside.get_by_role("dialog")).to_be_visible()
    assert await findings(corner) == []
    await corner.page.keyboard.press("Escape")
    await corner.end()
    await corner.inside.locator(".star").nth(2).click()
    assert await findings(corner) == []


@pytest.mark.gen_test
async def test_everything_is_within_reach_of_the_keyboard(visitors: Visitors) -> None:
    await visitors.serve()
    corner = await visitors.visit()
    await expect(corner.launcher).to_be_visible()
    keyboard = corner.page.keyboard
    for _ in range(3):
        await keyboard.press("Tab")
    await expect(corner.launcher).to_be_focused()
    await expect(corner.launcher).to_have_attribute("aria-expanded", "false")
    await keyboard.press("Enter")
    await expect(corner.inside.get_by_role("button", name="Start a conversation")).to_be_focused()
    await expect(corner.launcher).to_have_attribute("aria-expanded", "true")
    await keyboard.press("Enter")
    await expect(corner.composer).to_be_focused()
    await keyboard.press("Escape")
    await expect(corner.panel).to_be_hidden()
    await expect(corner.launcher).to_be_focused()
    await keyboard.press("Enter")
    await expect(corner.composer).to_be_focused()
    await took(await visitors.waiter())
    await expect(corner.inside.locator("#announcement")).to_have_text("Bob has joined")
    await corner.inside.get_by_role("button", name="End the conversation").focus()
    await keyboard.press("Enter")
    await expect(corner.inside.get_by_role("dialog")).to_be_visible()
    await keyboard.press("Escape")
    await expect(corner.inside.get_by_role("dialog")).to_be_hidden()
    await expect(corner.panel).to_be_visible()
    await corner.page.evaluate("document.querySelector('main button').focus()")
    await corner.page.evaluate("TornadoChat.close()")
    await expect(corner.page.get_by_role("button", name="buy")).to_be_focused()
    # Coming back, the page has it open, and leaves the focus where the reader is.
    await corner.open()
    await corner.page.reload()
    await expect(corner.composer).to_be_visible()
    assert await corner.page.evaluate("document.activeElement === document.body")


@pytest.mark.gen_test
async def test_on_a_telephone_it_is_all_there_is(visitors: Visitors) -> None:
    await visitors.serve()
    corner = await visitors.visit(size=PHONE)
    await corner.start()
    assert await corner.panel.bounding_box() == {"x": 0, "y": 0, "width": 360, "height": 740}
    await expect(corner.composer).to_be_visible()
    assert await corner.page.evaluate("[document.body.inert, document.documentElement.style.overflow]") == [
        True,
        "hidden",
    ]
    # A keyboard slides in.
    await corner.page.evaluate(
        """() => {
            Object.defineProperty(visualViewport, "height", { value: 420 });
            visualViewport.dispatchEvent(new Event("resize"));
        }"""
    )
    assert (await corner.panel.bounding_box() or {})["height"] == 420
    await expect(corner.composer).to_be_in_viewport()
    await corner.close()
    assert await corner.page.evaluate("[document.body.inert, document.documentElement.style.overflow]") == [
        False,
        "",
    ]
    await expect(corner.launcher).to_be_focused()


@pytest.mark.gen_test
async def test_each_reads_their_own_language(visitors: Visitors) -> None:
    await visitors.serve()
    visitors.site.lang = "zh-Hant"
    corner = await visitors.visit(locale="en-GB")  # the page's counts more than the browser's
    await corner.launcher.click()
    await expect(corner.page.get_by_role("button", name="收起聊天")).to_be_visible()
    await corner.inside.get_by_role("button", name="开始对话").click()
    await expect(corner.place).to_have_text("下一位就是您")
    await expect(corner.inside.locator("html")).to_have_attribute("lang", "zh-CN")
    second = await visitors.visit()
    await second.launcher.click()
    await second.inside.get_by_role("button", name="开始对话").click()
    await expect(second.place).to_have_text("您排在第 2 位")
    visitors.site.lang = "fr"
    visitors.site.attributes = 'data-language="en" data-title="Heron &amp; Reed" data-greeting="Bon jour!"'
    corner = await visitors.visit(locale="zh-CN")
    await corner.open()
    await expect(corner.heading).to_have_text("Heron & Reed")
    await expect(corner.inside.get_by_role("heading", level=2, name="Bon jour!")).to_be_visible()
    await expect(corner.page.locator("iframe")).to_have_attribute("title", "Heron & Reed")


@pytest.mark.gen_test
async def test_the_page_of_the_demo_shows_it(settings: config.Config, people: People) -> None:
    server = Server(changed(settings, "auth", guests=True), more_pages=DEMO_ROUTES)
    await server.start()
    corner = await Corner(await people.page(f"{server.url}/demo")).start()
    await expect(corner.place).to_have_text("You are next")
    await corner.page.get_by_role("link", name="Repairs").click()
    await corner.page.wait_for_url("**/demo?page=repairs")
    await expect(corner.place).to_have_text("You are next")
    assert await findings(corner) == []
    await corner.page.close()
    await server.stop()


@pytest.mark.gen_test
async def test_opened_by_its_own_address_it_is_a_page(process: Process, people: People) -> None:
    await process.start("auth.guests=on")
    page = await people.page(f"{process.url}/widget", size=(320, 568))
    await page.get_by_role("button", name="Start a conversation").click()
    await expect(page.get_by_text("You are next")).to_be_visible()
    house: House = process.house
    await (await house.waiter(7)).until("new_connection")
    await page.get_by_role("textbox", name="Message").fill("x" * 200)
    await page.keyboard.press("Enter")
    await expect(page.locator('.message[data-delivery="stored"]')).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    await page.reload()
    await expect(page.locator(".message")).to_have_count(1)
    await expect(page.get_by_role("button", name="Close the chat")).to_be_hidden()
