"""Approvals in the pages: the messages of a trainee, and the decisions of a supervisor."""

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.pages.conftest import PHONE, SUPERVISOR, VISITOR, People, Process
from tests.pages.supervising import open_desk

TRAINEE = token("consultant", 2, "Chen", trainee=True)


@pytest.mark.gen_test
async def test_a_trainee_is_approved_edited_and_refused(process: Process, people: People) -> None:
    process.options += ["group:default.supervisors=supervisor:3"]
    harness = (await process.start()).harness
    session = await harness.session(user_name="Lin", consultant_name="Chen")
    visitor = await people.room(process.url, VISITOR, session)
    agent = await people.room(process.url, TRAINEE, session)
    await visitor.send("I cannot sleep.")
    await agent.expect_messages("I cannot sleep.")
    await agent.send("Have you tried to sleep more?")
    await agent.send("Why not?")
    await expect(agent.page.get_by_text("no supervisor is here, called: 3")).to_have_count(2)
    await agent.expect_delivery("Why not?", "approval")

    desk = (await open_desk(process, people)).page
    held = desk.locator(".held-message")
    await expect(held).to_have_count(2)
    await expect(held.nth(1).get_by_role("button", name="Approve")).to_be_disabled()
    await held.first.focus()
    await desk.keyboard.press("e")
    await desk.locator(".held-field").fill("What keeps you awake?")
    await desk.keyboard.press("Control+Enter")
    await visitor.expect_messages("I cannot sleep.", "What keeps you awake?")
    await expect(held).to_have_count(1)
    await held.first.focus()
    await desk.keyboard.press("r")
    await desk.locator(".held-field").fill("Let her answer first.")
    await desk.keyboard.press("Control+Enter")
    await expect(desk.locator("#approvals")).to_be_hidden()
    await expect(agent.page.get_by_text("Let her answer first.")).to_be_visible()
    await agent.expect_messages("I cannot sleep.", "What keeps you awake?", "Why not?")
    await agent.page.reload()
    await expect(agent.page.get_by_text("You wrote: Have you tried to sleep more?")).to_be_visible()

    user = await harness.user(1)
    bob = token("waiter", 5, "Bob", trainee=True)
    console = await people.page(f"{process.url}/console#token={bob}", locale="zh-CN")
    await console.get_by_role("switch").click()
    await console.locator("[data-number]").first.click()
    await console.locator(".panel textarea").fill("请问有什么可以帮您？")
    await console.locator(".panel textarea").press("Enter")
    await expect(console.get_by_text("等待督导审批")).to_be_visible()
    phone = await people.page(f"{process.url}/supervise#token={SUPERVISOR}", locale="zh-CN", size=PHONE)
    await phone.get_by_role("button", name="批准").click()
    await expect(phone.locator("#approvals")).to_be_hidden()
    assert (await user.until("message_text"))["payload"]["message"] == "请问有什么可以帮您？"
    await expect(console.get_by_text("等待督导审批")).to_be_hidden()
