"""``/room``: how long the session waits for an absent participant, and why it has ended."""

import re

import pytest
from playwright.async_api import expect

from tests.pages.conftest import COUNSELLOR, PHONE, VISITOR, People, Process


@pytest.mark.gen_test
async def test_the_other_one_is_shown_as_reconnecting_and_awaited_for_longer(
    process: Process, people: People
) -> None:
    harness = (await process.start("counselling.longest_grace=170")).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session, size=PHONE)
    presence = counsellor.page.locator("#presence")
    await expect(presence).to_have_text("Here now")
    await visitor.page.close()
    await expect(presence).to_have_text(re.compile(r"Reconnecting, (2:00|1:[345]\d) left"))
    wait = counsellor.page.get_by_role("button", name="Wait longer")
    await wait.click()
    await expect(presence).to_have_text(re.compile(r"Reconnecting, 2:[2-5]\d left"))
    await wait.click()
    await expect(counsellor.page.get_by_role("button", name="Cannot wait longer")).to_be_disabled()
    await people.room(process.url, VISITOR, session)
    await expect(presence).to_have_text("Here now")
    await expect(wait).to_be_hidden()


@pytest.mark.gen_test
async def test_a_closed_laptop_is_promised_no_more_than_the_grace_and_keeps_what_was_not_sent(
    process: Process, people: People
) -> None:
    harness = (await process.start("counselling.rejoin_grace=2")).harness
    session = await harness.session(user_name="Lin", consultant_name="Chen")
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await visitor.send("before")
    await counsellor.expect_messages("before")
    await visitor.context.set_offline(True)
    await expect(visitor.connection_status).to_contain_text("You are offline")
    await visitor.send("in the tunnel")
    await visitor.composer.fill("half a sentence")
    await expect(visitor.connection_status).to_contain_text("The session may have ended")
    await expect(counsellor.page.locator("#ended-reason")).to_have_text("Lin did not come back in time.")
    await counsellor.page.reload()
    await expect(counsellor.page.locator("#ended-reason")).to_have_text("Lin did not come back in time.")
    await visitor.context.set_offline(False)
    await expect(visitor.page.locator("#ended-reason")).to_have_text("It ended while you were away.")
    await visitor.expect_messages("before", "in the tunnel", "half a sentence")
    for text in ("in the tunnel", "half a sentence"):
        await expect(visitor.message(text)).to_contain_text("Not sent: The session ended before")
    await visitor.page.reload()
    await visitor.expect_messages("before", "in the tunnel", "half a sentence")
    await expect(visitor.message("half a sentence")).to_contain_text("Not sent")


@pytest.mark.gen_test
async def test_the_time_that_is_left_is_shown_while_the_connection_is_lost(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    await people.room(process.url, COUNSELLOR, session)
    await expect(visitor.page.locator("#presence")).to_have_text("Here now")
    await visitor.context.set_offline(True)
    await expect(visitor.connection_status).to_contain_text(
        re.compile(r"You are offline\. .* The session waits for you: (2:00|1:\d\d) left\.")
    )
    await visitor.context.set_offline(False)
    await expect(visitor.connection_status).to_contain_text("Connected again")


@pytest.mark.gen_test
async def test_a_participant_that_was_away_is_told_that_the_other_one_has_ended_it(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await expect(visitor.page.locator("#presence")).to_have_text("Here now")
    await visitor.context.set_offline(True)
    await harness.api("POST", f"/api/v1/sessions/{session}/end", COUNSELLOR)
    await expect(counsellor.page.locator("#ended-title")).to_be_visible()
    await visitor.context.set_offline(False)
    await expect(visitor.page.locator("#ended-reason")).to_have_text("It ended while you were away.")
    for page in (counsellor.page, (await people.room(process.url, VISITOR, session)).page):
        await expect(page.locator("#ended-title")).to_be_visible()
        await expect(page.locator("#ended-reason")).to_have_text("")


@pytest.mark.gen_test
async def test_a_consultant_learns_that_the_visitor_left_before_the_start(
    process: Process, people: People
) -> None:
    harness = (await process.start("counselling.ready_grace=2")).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    await visitor.page.close()
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await expect(counsellor.page.locator("#ended-reason")).to_have_text("The visitor left before it began.")
    late = await people.room(process.url, VISITOR, session)
    await expect(late.page.locator("#ended-reason")).to_have_text(
        "You were away for too long, so it did not begin."
    )
    await expect(late.page.get_by_role("button", name="Send rating")).to_be_hidden()
