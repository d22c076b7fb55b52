"""``/room``: the end of a session, transcripts, and the cards for refused visitors."""

import re

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.pages.conftest import COUNSELLOR, HOST, PHONE, VISITOR, People, Process, Room


@pytest.mark.gen_test
async def test_end_is_confirmed_shown_to_both_and_rated(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session, size=PHONE)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await visitor.send("Thank you")
    await counsellor.expect_messages("Thank you")

    await counsellor.menu("End the session")
    await counsellor.page.get_by_role("button", name="Cancel").click()
    await expect(counsellor.composer).to_be_enabled()
    await counsellor.menu("End the session")
    dialog = counsellor.page.get_by_role("dialog", name="End the session?")
    await dialog.get_by_role("button", name="End the session").click()
    for room in (visitor, counsellor):
        await expect(room.page.get_by_role("heading", name="The session has ended")).to_be_visible()
        await expect(room.composer).to_be_hidden()
        await room.expect_messages("Thank you")
    await expect(counsellor.page.get_by_role("radio")).to_have_count(0)

    await visitor.page.get_by_role("button", name="Send rating").click()
    await expect(visitor.page.get_by_role("alert")).to_have_text("Please choose a number of stars first.")
    await visitor.page.keyboard.press("ArrowRight")  # the focus is on the first star
    await visitor.page.keyboard.press("ArrowRight")
    await visitor.page.keyboard.press("ArrowRight")
    await expect(visitor.page.get_by_role("radio", name="4 stars, helpful")).to_be_checked()
    await visitor.page.get_by_label("Anything you would like to tell us").fill("Very kind.")
    await visitor.page.get_by_role("button", name="Send rating").click()
    await expect(visitor.page.get_by_text("Thank you for your rating.")).to_be_visible()
    answer = await harness.api("GET", f"/api/v1/sessions/{session}", HOST)
    assert b'"rate":4,"feedback":"Very kind."' in answer.body
    assert b'"state":"completed"' in answer.body

    await visitor.page.reload()
    await expect(visitor.page.get_by_text("Thank you for your rating.")).to_be_visible()
    await visitor.expect_messages("Thank you")
    await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Chen")


@pytest.mark.gen_test
@pytest.mark.parametrize("format", ["Plain text", "Web page, for printing", "JSON, for programs"])
async def test_transcript_download(process: Process, people: People, format: str) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await counsellor.send("您好")
    await counsellor.expect_delivery("您好", "stored")
    await counsellor.menu("Download transcript")
    await counsellor.page.get_by_role("radio", name=format).check()
    async with counsellor.page.expect_download() as waiting:
        await counsellor.page.get_by_role("button", name="Download", exact=True).click()
    download = await waiting.value
    assert download.suggested_filename.startswith(f"session-{session}.")
    path = await download.path()
    assert "您好" in path.read_text()
    await expect(counsellor.page.get_by_role("dialog")).to_be_hidden()


@pytest.mark.gen_test
async def test_end_requested_offline_takes_effect_after_reconnecting(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await visitor.context.set_offline(True)
    await visitor.send("last words")
    await visitor.menu("End the session")
    await expect(visitor.page.get_by_text("have not been sent yet")).to_be_visible()
    await visitor.page.get_by_role("dialog").get_by_role("button", name="End the session").click()
    await expect(visitor.connection_status).to_contain_text("as soon as the connection is back")
    await visitor.context.set_offline(False)
    for room in (visitor, counsellor):
        await expect(room.page.get_by_role("heading", name="The session has ended")).to_be_visible()
        await room.expect_messages("last words")
    # The socket closes with the end, perhaps before the other side's receipt.
    arrived = re.compile("^(delivered|read)$")
    await expect(visitor.message("last words")).to_have_attribute("data-delivery", arrived)
    await visitor.page.reload()
    await expect(visitor.message("last words")).to_have_attribute("data-delivery", arrived)


@pytest.mark.gen_test
async def test_refused_visitor_sees_the_reason(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    cases = [
        ("", "This link is incomplete"),
        (f"#token={VISITOR}&session=x", "This link is incomplete"),
        (f"#token=nonsense&session={session}", "Your sign-in has expired"),
        (f"#token={token('user', 1, lifetime=-60)}&session={session}", "Your sign-in has expired"),
        (f"#token={token('user', 9)}&session={session}", "This is not your conversation"),
        (f"#token={VISITOR}&session=999", "This conversation does not exist"),
    ]
    for fragment, title in cases:
        page = await people.page(f"{process.url}/room{fragment}")
        await expect(page.get_by_role("heading", level=1)).to_have_text(title)
        await expect(page.get_by_role("heading", level=1)).to_be_focused()
        await expect(page).to_have_title(title)
        assert page.url == f"{process.url}/room"


@pytest.mark.gen_test
async def test_new_link_in_the_same_tab_replaces_the_old_one(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    page = await people.page(f"{process.url}/room#token=nonsense&session={session}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your sign-in has expired")
    await page.goto(f"{process.url}/room#token={VISITOR}&session={session}")
    await Room(page).wait_ready()
