"""Accessibility of ``/supervise``: axe-core in both colour schemes, and the keyboard."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.pages.conftest import DESK, PHONE, People, Process
from tests.pages.supervising import enable_keyword_alerts, open_desk, start_session
from tests.pages.test_room_accessible import axe_violations


@pytest.mark.gen_test
@pytest.mark.parametrize(("scheme", "size"), [("light", DESK), ("dark", PHONE)])
async def test_axe_finds_nothing(
    process: Process, people: People, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    enable_keyword_alerts(process, tmp_path, "crisis")
    harness = (await process.start()).harness
    look: dict[str, Any] = {"size": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    supervisor = await open_desk(process, people, **look)
    await expect(supervisor.page.get_by_text("Nothing has come in yet")).to_be_visible()
    assert await axe_violations(supervisor.page) == []
    one, two = await start_session(harness), await start_session(harness, 11, 12, ("Ada", "Berg"))
    await one.send("hello", "hello", "a crisis")
    await expect(supervisor.page.locator(".notice.alert")).to_be_visible()
    assert await axe_violations(supervisor.page) == []
    for session in (one, two):
        if size == PHONE:
            await supervisor.page.locator("#to-inbox").click()
        pane = await (await supervisor.open(session.number)).wait_live()
    await pane.write("How is it going?")
    await expect(pane.record.locator(".message")).to_have_attribute("data-delivery", "stored")
    await one.send("more")
    await two.consultant.close(4000)
    await expect(pane.end).to_be_visible()
    assert await axe_violations(supervisor.page) == []
    await pane.element.locator(".more").click()
    assert await axe_violations(supervisor.page) == []
    await supervisor.page.keyboard.press("Escape")
    if size == PHONE:
        await supervisor.page.locator("#to-inbox").click()
    await supervisor.page.locator("#settings-button").click()
    assert await axe_violations(supervisor.page) == []


@pytest.mark.gen_test
async def test_keyboard_reaches_all_controls(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    one = await start_session(harness)
    supervisor = await open_desk(process, people)
    page, press = supervisor.page, supervisor.page.keyboard.press
    await page.get_by_role("button", name=f"Open session {one.number}").focus()
    await press("Enter")
    pane = await supervisor.pane(one.number).wait_live()
    await expect(pane.element.locator("h2")).to_be_focused()
    await expect(pane.element.get_by_role("textbox", name="To Chen only…")).to_be_attached()
    await press("Tab")
    await press("Enter")
    await expect(pane.element.locator(".menu")).to_be_visible()
    await press("Escape")
    await expect(pane.element.locator(".more")).to_be_focused()
    focused = []
    for _ in range(7):
        await press("Tab")
        focused.append(
            await page.evaluate(
                "document.activeElement.ariaLabel || document.activeElement.textContent.trim()"
            )
        )
    assert focused[0] == "Stop listening"
    assert focused[1] == "What Lin and Chen say"
    assert focused[2:4] == ["Join", "Take over"]
    assert focused[4].startswith("Supervision with Chen")
    assert focused[5] == "Conversation"
    assert focused[6] == "To Chen only…"
    # New messages are announced only in the pane that has the focus.
    log = pane.transcript.get_by_role("log")
    await expect(log).to_have_attribute("aria-live", "off")
    await log.focus()
    await expect(log).to_have_attribute("aria-live", "polite")
    await pane.record.locator(".record-bar").press("Enter")
    await expect(pane.field).to_be_hidden()
