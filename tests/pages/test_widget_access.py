"""Accessibility of the widget: axe-core, keyboard, announcements, phones and languages."""

import html
import re
from typing import Any

import pytest
from playwright.async_api import Frame, Page, expect

from tests.conftest import Harness, changed
from tests.pages.conftest import DESK, PHONE, People, Process
from tests.pages.sites import UNSERVED, Visitors, Widget, next_user, send_text, site, visitors
from tests.pages.test_room_accessible import AXE
from tornado_chat import config
from tornado_chat.server.server import Server
from tornado_chat.web.widget import DEMO_ROUTES

__all__ = ["site", "visitors"]


async def axe_violations(widget: Widget) -> list[str]:
    """Return the violations in the page and in the frame.

    Each is checked by itself, because the policy of the frame forbids scripts of the page.
    """
    found = []
    for each in (widget.page.main_frame, *[f for f in widget.page.frames if "/widget" in f.url]):
        found += await _document_violations(each)
    return found


async def _document_violations(frame: Page | Frame) -> list[str]:
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
    widget = await visitors.visit(**look)
    await expect(widget.launcher).to_be_visible()
    assert await axe_violations(widget) == []
    await widget.open()
    start = widget.inside.get_by_role("button", name="Start a conversation")
    await expect(start).to_be_visible()
    assert await axe_violations(widget) == []
    await start.click()
    await widget.send("Hello")
    await widget.expect_delivery("Hello", "stored")
    assert await axe_violations(widget) == []
    waiter = await visitors.waiter()
    user = await next_user(waiter)
    await send_text(waiter, "See https://help.example", user)
    await waiter.send_frame("typing", {"typing": True}, to=user)
    await expect(widget.inside.get_by_text("Bob is typing")).to_be_visible()
    assert await axe_violations(widget) == []
    await waiter.close(1001)
    await expect(widget.inside.get_by_text("and none of us is on duty")).to_be_visible()
    assert await axe_violations(widget) == []
    await next_user(await visitors.waiter(8))
    await widget.inside.get_by_role("button", name="End the conversation").click()
    await expect(widget.inside.get_by_role("dialog")).to_be_visible()
    assert await axe_violations(widget) == []
    await widget.page.keyboard.press("Escape")
    await widget.end()
    await widget.inside.locator(".star").nth(2).click()
    assert await axe_violations(widget) == []


@pytest.mark.gen_test
async def test_keyboard_reaches_all_controls(visitors: Visitors) -> None:
    await visitors.serve()
    widget = await visitors.visit()
    await expect(widget.launcher).to_be_visible()
    keyboard = widget.page.keyboard
    for _ in range(3):
        await keyboard.press("Tab")
    await expect(widget.launcher).to_be_focused()
    await expect(widget.launcher).to_have_attribute("aria-expanded", "false")
    await keyboard.press("Enter")
    await expect(widget.inside.get_by_role("button", name="Start a conversation")).to_be_focused()
    await expect(widget.launcher).to_have_attribute("aria-expanded", "true")
    await keyboard.press("Enter")
    await expect(widget.composer).to_be_focused()
    await keyboard.press("Escape")
    await expect(widget.panel).to_be_hidden()
    await expect(widget.launcher).to_be_focused()
    await keyboard.press("Enter")
    await expect(widget.composer).to_be_focused()
    await next_user(await visitors.waiter())
    await expect(widget.inside.locator("#announcement")).to_have_text("Bob has joined")
    await widget.inside.get_by_role("button", name="End the conversation").focus()
    await keyboard.press("Enter")
    await expect(widget.inside.get_by_role("dialog")).to_be_visible()
    await keyboard.press("Escape")
    await expect(widget.inside.get_by_role("dialog")).to_be_hidden()
    await expect(widget.panel).to_be_visible()
    await widget.page.evaluate("document.querySelector('main button').focus()")
    await widget.page.evaluate("TornadoChat.close()")
    await expect(widget.page.get_by_role("button", name="buy")).to_be_focused()
    # After a reload the chat is open again, and does not take the focus.
    await widget.open()
    await widget.page.reload()
    await expect(widget.composer).to_be_visible()
    assert await widget.page.evaluate("document.activeElement === document.body")


@pytest.mark.gen_test
async def test_open_chat_covers_a_phone_screen(visitors: Visitors) -> None:
    await visitors.serve()
    widget = await visitors.visit(size=PHONE)
    await widget.start()
    assert await widget.panel.bounding_box() == {"x": 0, "y": 0, "width": 360, "height": 740}
    await expect(widget.composer).to_be_visible()
    assert await widget.page.evaluate("[document.body.inert, document.documentElement.style.overflow]") == [
        True,
        "hidden",
    ]
    # The on-screen keyboard opens.
    await widget.page.evaluate(
        """() => {
            Object.defineProperty(visualViewport, "height", { value: 420 });
            visualViewport.dispatchEvent(new Event("resize"));
        }"""
    )
    assert (await widget.panel.bounding_box() or {})["height"] == 420
    await expect(widget.composer).to_be_in_viewport()
    await widget.close()
    assert await widget.page.evaluate("[document.body.inert, document.documentElement.style.overflow]") == [
        False,
        "",
    ]
    await expect(widget.launcher).to_be_focused()


@pytest.mark.gen_test
async def test_language_follows_the_host_page(visitors: Visitors) -> None:
    await visitors.serve()
    visitors.site.lang = "zh-Hant"
    widget = await visitors.visit(locale="en-GB")  # the language of the page precedes that of the browser
    await widget.launcher.click()
    await expect(widget.page.get_by_role("button", name="收起聊天")).to_be_visible()
    await widget.inside.get_by_role("button", name="开始对话").click()
    await expect(widget.position).to_have_text("现在没有客服在线")
    await expect(widget.inside.locator("html")).to_have_attribute("lang", "zh-CN")
    second = await visitors.visit()
    await second.launcher.click()
    await second.inside.get_by_role("button", name="开始对话").click()
    await expect(second.inside.locator("#queue-text")).to_contain_text("您排在第 2 位")
    visitors.site.lang = "fr"
    visitors.site.attributes = 'data-language="en" data-title="Heron &amp; Reed" data-greeting="Bon jour!"'
    widget = await visitors.visit(locale="zh-CN")
    await widget.open()
    await expect(widget.heading).to_have_text("Heron & Reed")
    await expect(widget.inside.get_by_role("heading", level=2, name="Bon jour!")).to_be_visible()
    await expect(widget.page.locator("iframe")).to_have_attribute("title", "Heron & Reed")


@pytest.mark.gen_test
async def test_a_language_without_texts_is_english_throughout(visitors: Visitors) -> None:
    await visitors.serve()
    visitors.site.lang = "zh-CN"
    visitors.site.attributes = 'data-language="fr"'
    widget = await visitors.visit(locale="zh-CN")
    await expect(widget.page.get_by_role("button", name="Open the chat")).to_be_visible()
    await widget.start()
    await expect(widget.position).to_have_text(UNSERVED)
    await expect(widget.inside.locator("html")).to_have_attribute("lang", "en")
    await expect(widget.page.locator("tornado-chat iframe")).to_have_attribute("lang", "en")
    await widget.send("Bonjour")
    await expect(widget.message("Bonjour")).to_contain_text("Sent")
    visible = await widget.inside.locator("body").inner_text()
    assert not re.search("[\u4e00-\u9fff]", visible)
    page = await visitors.people.page(f"{visitors.process.url}/widget#language=fr", locale="zh-CN")
    await expect(page.get_by_role("button", name="Start a conversation")).to_be_visible()


@pytest.mark.gen_test
async def test_header_shows_a_long_name_and_another_sign_than_the_launcher(visitors: Visitors) -> None:
    title = "Heron & Reed, help with orders and repairs"
    visitors.site.attributes = f'data-title="{html.escape(title)}"'
    await visitors.serve()
    widget = await visitors.visit(size=DESK)
    await widget.open()
    await expect(widget.heading).to_have_text(title)
    launcher = await widget.launcher.locator("path").get_attribute("d")
    assert await widget.inside.locator("#close path").get_attribute("d") != launcher
    await widget.inside.get_by_role("button", name="Start a conversation").click()
    waiter = await visitors.waiter(name="Dr. Alexandra Papadopoulou")
    await next_user(waiter)
    await expect(widget.heading).to_have_text("Dr. Alexandra Papadopoulou")
    is_cut = (
        "heading => heading.scrollHeight > heading.clientHeight || heading.scrollWidth > heading.clientWidth"
    )
    assert not await widget.heading.evaluate(is_cut)


@pytest.mark.gen_test
async def test_demo_page_shows_the_widget(settings: config.Config, people: People) -> None:
    server = Server(changed(settings, "auth", guests=True), more_pages=DEMO_ROUTES)
    await server.start()
    widget = await Widget(await people.page(f"{server.url}/demo")).start()
    await expect(widget.position).to_have_text(UNSERVED)
    await widget.page.get_by_role("link", name="Repairs").click()
    await widget.page.wait_for_url("**/demo?page=repairs")
    await expect(widget.position).to_have_text(UNSERVED)
    assert await axe_violations(widget) == []
    await widget.page.close()
    await server.stop()


@pytest.mark.gen_test
async def test_widget_as_a_page_of_its_own(process: Process, people: People) -> None:
    await process.start("auth.guests=on")
    page = await people.page(f"{process.url}/widget", size=(320, 568))
    await page.get_by_role("button", name="Start a conversation").click()
    await expect(page.get_by_text(UNSERVED)).to_be_visible()
    harness: Harness = process.harness
    await (await harness.waiter(7)).until("new_connection")
    await page.get_by_role("textbox", name="Message").fill("x" * 200)
    await page.keyboard.press("Enter")
    await expect(page.locator('.message[data-delivery="delivered"]')).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    await page.reload()
    await expect(page.locator(".message")).to_have_count(1)
    await expect(page.get_by_role("button", name="Close the chat")).to_be_hidden()
