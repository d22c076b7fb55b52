"""Nothing that axe-core finds on a supervisor's desk, and everything within reach of the keyboard."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.pages.conftest import DESK, PHONE, People, Process
from tests.pages.supervising import desk, talking, watch_for
from tests.pages.test_room_accessible import findings


@pytest.mark.gen_test
@pytest.mark.parametrize(("scheme", "size"), [("light", DESK), ("dark", PHONE)])
async def test_axe_finds_nothing(
    process: Process, people: People, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    watch_for(process, tmp_path, "crisis")
    house = (await process.start()).house
    look: dict[str, Any] = {"size": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    supervisor = await desk(process, people, **look)
    await expect(supervisor.page.get_by_text("Nothing has come in yet")).to_be_visible()
    assert await findings(supervisor.page) == []
    one, two = await talking(house), await talking(house, 11, 12, ("Ada", "Berg"))
    await one.say("hello", "hello", "a crisis")
    await expect(supervisor.page.locator(".notice.alert")).to_be_visible()
    assert await findings(supervisor.page) == []
    for session in (one, two):
        if size == PHONE:
            await supervisor.page.locator("#to-inbox").click()
        pane = await (await supervisor.open(session.number)).live()
    await pane.write("How is it going?")
    await expect(pane.record.locator(".message")).to_have_attribute("data-delivery", "stored")
    await one.say("more")
    await two.consultant.close(4000)
    await expect(pane.end).to_be_visible()
    assert await findings(supervisor.page) == []
    await pane.place.locator(".more").click()
    assert await findings(supervisor.page) == []
    await supervisor.page.keyboard.press("Escape")
    if size == PHONE:
        await supervisor.page.locator("#to-inbox").click()
    await supervisor.page.locator("#settings-button").click()
    assert await findings(supervisor.page) == []


@pytest.mark.gen_test
async def test_the_keyboard_reaches_everything(process: Process, people: People) -> None:
    house = (await process.start()).house
    one = await talking(house)
    supervisor = await desk(process, people)
    page, press = supervisor.page, supervisor.page.keyboard.press
    await page.get_by_role("button", name=f"Open session {one.number}").focus()
    await press("Enter")
    pane = await supervisor.pane(one.number).live()
    await expect(pane.place.locator("h2")).to_be_focused()
    await expect(pane.place.get_by_role("textbox", name="To Chen only…")).to_be_attached()
    await press("Tab")
    await press("Enter")
    await expect(pane.place.locator(".menu")).to_be_visible()
    await press("Escape")
    await expect(pane.place.locator(".more")).to_be_focused()
    reached = []
    for _ in range(5):
        await press("Tab")
        reached.append(
            await page.evaluate(
                "document.activeElement.ariaLabel || document.activeElement.textContent.trim()"
            )
        )
    assert reached[0] == "Stop listening"
    assert reached[1] == "What Lin and Chen say"
    assert reached[2].startswith("Supervision with Chen")
    assert reached[3] == "Conversation"
    assert reached[4] == "To Chen only…"
    # What is said is read out for the pane that has the focus, and for no other.
    log = pane.script.get_by_role("log")
    await expect(log).to_have_attribute("aria-live", "off")
    await log.focus()
    await expect(log).to_have_attribute("aria-live", "polite")
    await pane.record.locator(".record-bar").press("Enter")
    await expect(pane.field).to_be_hidden()
