"""Accessibility of ``/console``: axe-core in both colour schemes and two sizes, and live regions."""

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.pages.conftest import PHONE, People, Process
from tests.pages.consoles import CAROL, Console, connect_visitor, send_messages
from tests.pages.test_room_accessible import axe_violations

WIDE = (1600, 900)


@pytest.mark.gen_test
@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (WIDE, "dark")])
async def test_axe_finds_nothing(
    process: Process, people: People, size: tuple[int, int], scheme: str
) -> None:
    harness = (await process.start()).harness
    look: dict[str, Any] = {"size": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    bob = await Console.open(people, process.url, ready=False, **look)
    waiting = [
        await connect_visitor(harness, id, name, served=False)
        for id, name in enumerate(("Lin", "Ada", "Tom"), 1)
    ]
    await expect(bob.queue).to_have_count(3)
    assert await axe_violations(bob.page) == []
    await bob.take_new()
    await expect(bob.rows).to_have_count(3)
    for peer in waiting:
        await peer.until("connect_success")
    await send_messages(waiting[0], "Hello", "Hello?")
    await send_messages(waiting[1], "Hi")
    await waiting[2].send_frame("disconnect")
    await expect(bob.row("Tom")).to_contain_text("Over")
    await expect(bob.row("Ada").locator(".row-count")).to_be_visible()
    assert await axe_violations(bob.page) == []
    await bob.open_conversation("Lin")
    await bob.send("How can I help?")
    await bob.expect_delivery("How can I help?", "delivered")
    await waiting[0].send_frame("typing", {"typing": True})
    await expect(bob.panel("Lin").get_by_text("Lin is typing")).to_be_visible()
    assert await axe_violations(bob.page) == []
    await bob.click_button("Lin", "About this visitor")
    await expect(bob.page.get_by_role("complementary")).to_contain_text("This is the first one")
    assert await axe_violations(bob.page) == []
    await bob.page.keyboard.press("Escape")

    await Console.open(people, process.url, CAROL)
    dialog = bob.page.get_by_role("dialog")
    await bob.click_button("Lin", "Hand over")
    await expect(dialog.get_by_role("radio", name="Carol")).to_be_visible()
    assert await axe_violations(bob.page) == []
    await bob.page.keyboard.press("Escape")
    await bob.click_button("Lin", "End conversation")
    assert await axe_violations(bob.page) == []
    await bob.page.keyboard.press("Escape")
    if size == PHONE:
        await bob.click_button("Lin", "Back to the list")
    for button in ("#settings-button", "#keys-button"):
        await bob.page.locator(button).click()
        await expect(dialog).to_be_visible()
        if button == "#settings-button":
            await dialog.get_by_role("button", name="Add a quick reply").click()
        assert await axe_violations(bob.page) == []
        await bob.page.keyboard.press("Escape")
    await bob.open_conversation("Tom")
    assert await axe_violations(bob.page) == []
    assert await bob.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.gen_test
async def test_live_regions_announce_only_new_events(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    await bob.page.evaluate(
        """() => {
          window.announced = [];
          new MutationObserver((changes) => {
            for (const { target, addedNodes } of changes) {
              const region = (target.nodeType === 1 ? target : target.parentElement)
                ?.closest('[role="log"], [role="status"], [role="alert"], [aria-live]');
              const live = region && region.getAttribute("aria-live") !== "off"
                && region.getAttribute("aria-busy") !== "true";
              const words = [...addedNodes].map((node) => node.textContent).join(" ").trim();
              if (live && words) announced.push(words);
            }
          }).observe(document.body, { subtree: true, childList: true, characterData: true });
        }"""
    )
    lin, ada = await connect_visitor(harness, 1, "Lin"), await connect_visitor(harness, 2, "Ada")
    await expect(bob.page.get_by_role("log")).to_have_attribute("aria-busy", "false")
    await send_messages(lin, "in view")
    await send_messages(ada, "not in view")
    await ada.send_frame("typing", {"typing": True})
    await expect(bob.row("Ada")).to_contain_text("typing…")
    await bob.page.wait_for_timeout(1_100)  # the waiting times change
    announced = " | ".join(await bob.page.evaluate("announced"))
    assert "Lin is with you now." in announced
    assert "Ada is with you now." in announced
    assert "in view" in announced
    assert "not in view" not in announced
    assert not re.search(r"(?<!\d)0:0", announced)  # a waiting time; 00:02 is a time of day
