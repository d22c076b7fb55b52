"""``/room``: a visitor and a counsellor talk in two pages."""

import re

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.pages.conftest import COUNSELLOR, PHONE, VISITOR, People, Process, Room


async def open_both_rooms(process: Process, people: People) -> tuple[Room, Room, int]:
    """Open a session, and the pages of visitor and counsellor. Return both, and the session's id."""
    harness = (await process.start()).harness
    session = await harness.session(user_name="Lin", consultant_name="Chen")
    visitor = await people.room(process.url, VISITOR, session, size=PHONE)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    return visitor, counsellor, session


@pytest.mark.gen_test
async def test_presence_typing_and_delivery_states(process: Process, people: People) -> None:
    visitor, counsellor, session = await open_both_rooms(process, people)
    await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Chen")
    await expect(counsellor.page.get_by_role("heading", level=1)).to_have_text("Lin")
    await expect(visitor.page.locator("#presence")).to_have_text("Here now")
    await expect(counsellor.page).to_have_title("Lin · Counselling session")

    await visitor.send("Hello")
    await visitor.expect_delivery("Hello", "read")
    await counsellor.composer.press_sequentially("What")
    await expect(visitor.page.get_by_text("Chen is typing")).to_be_visible()
    await counsellor.send("What brings you here?")
    await expect(visitor.page.get_by_text("Chen is typing")).to_be_hidden()
    for room in (visitor, counsellor):
        await room.expect_messages("Hello", "What brings you here?")

    await counsellor.page.close()
    await expect(visitor.page.locator("#presence")).to_contain_text("Reconnecting")
    await visitor.send("Are you there?")
    await visitor.expect_delivery("Are you there?", "stored")
    await expect(visitor.message("Are you there?")).to_contain_text("Sent")
    await visitor.page.reload()
    await visitor.wait_ready()
    await visitor.expect_delivery("Are you there?", "stored")
    # The counsellor is back, in a client that says nothing of what was read.
    plain = await process.harness.chat(COUNSELLOR, session)
    await visitor.expect_delivery("Are you there?", "delivered")
    await expect(visitor.message("Are you there?")).to_contain_text("Delivered")
    await plain.close(1001)
    await visitor.page.reload()
    await visitor.wait_ready()
    await visitor.expect_delivery("Are you there?", "delivered")
    await visitor.expect_delivery("Hello", "read")


@pytest.mark.gen_test
async def test_reload_neither_loses_nor_duplicates_messages(process: Process, people: People) -> None:
    visitor, counsellor, _ = await open_both_rooms(process, people)
    await visitor.send("one")
    await counsellor.send("two")
    await visitor.expect_messages("one", "two")
    await visitor.composer.fill("half a thou")
    assert "token" not in visitor.page.url
    await visitor.page.reload()
    await counsellor.send("three")
    await visitor.wait_ready()
    await visitor.expect_messages("one", "two", "three")
    await expect(visitor.composer).to_have_value("half a thou")
    await visitor.send("half a thought")
    for room in (visitor, counsellor):
        await room.expect_messages("one", "two", "three", "half a thought")


@pytest.mark.gen_test
async def test_enter_sends_but_not_during_composition(process: Process, people: People) -> None:
    visitor, _, _ = await open_both_rooms(process, people)
    await visitor.composer.press_sequentially("first")
    await visitor.composer.press("Shift+Enter")
    await visitor.composer.press_sequentially("second")
    await visitor.composer.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    await expect(visitor.messages).to_have_count(0)
    await visitor.composer.press("Enter")
    await visitor.expect_messages("first\nsecond")
    await expect(visitor.composer).to_be_focused()
    await expect(visitor.composer).to_have_value("")


GIVE_FILES = """(field, [type, text]) => {
    const data = new DataTransfer();
    data.items.add(new File(["..."], "picture.png", { type: "image/png" }));
    if (text) {
        data.setData("text/plain", text);
    }
    const event = type === "paste"
        ? new ClipboardEvent(type, { clipboardData: data, bubbles: true, cancelable: true })
        : new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
    field.dispatchEvent(event);
    return event.defaultPrevented;
}"""
"""Pastes or drops a picture. Returns whether the page has prevented the browser's own action."""


@pytest.mark.gen_test
async def test_a_pasted_or_dropped_picture_cannot_be_sent(process: Process, people: People) -> None:
    visitor, _, _ = await open_both_rooms(process, people)
    note = visitor.page.get_by_role("status").filter(has_text="Pictures and files cannot be sent here.")
    await visitor.composer.press_sequentially("Look")
    for type in ("paste", "drop"):
        assert await visitor.composer.evaluate(GIVE_FILES, [type, ""])
        await expect(note).to_be_visible()
        await visitor.composer.press_sequentially("!")
        await expect(note).to_have_count(0)
    assert await visitor.composer.evaluate(GIVE_FILES, ["dragover", ""])
    # Copied cells are a text and a picture: the browser inserts the text.
    assert not await visitor.composer.evaluate(GIVE_FILES, ["paste", "cells"])
    await expect(note).to_have_count(0)
    await visitor.composer.press("Enter")
    await visitor.expect_messages("Look!!")


@pytest.mark.gen_test
async def test_two_tabs_show_the_same_messages(process: Process, people: People) -> None:
    visitor, counsellor, session = await open_both_rooms(process, people)
    url = f"{process.url}/room#token={VISITOR}&session={session}"
    tab = await Room(await people.tab(visitor.context, url)).wait_ready()
    await visitor.send("from the one")
    await tab.send("from the other")
    for room in (visitor, tab, counsellor):
        await room.expect_messages("from the one", "from the other")
    await tab.expect_delivery("from the one", "read")


@pytest.mark.gen_test
async def test_scrolling_up_loads_history_and_new_messages_do_not_scroll(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    client = await harness.chat(COUNSELLOR, session, features="ack")
    for number in range(130):
        await client.send_json({"msg": f"line {number}", "id": f"n{number}"})
    while "ack" not in (frame := await client.recv_json()) or frame["ack"] != "n129":
        pass
    visitor = await people.room(process.url, VISITOR, session, size=PHONE)
    await expect(visitor.page.get_by_text("line 129", exact=True)).to_be_in_viewport()

    log = visitor.page.get_by_role("log")
    for _ in range(6):
        await log.evaluate("log => log.scrollTo(0, 0)")
        await visitor.page.wait_for_timeout(150)
    await visitor.expect_messages(*(f"line {number}" for number in range(130)))
    await expect(visitor.page.locator("li.day")).to_have_count(1)

    await log.evaluate("log => log.scrollTo(0, 0)")
    await client.send_json({"msg": "news", "id": "news"})
    news = visitor.page.get_by_role("button", name=re.compile("new message"))
    await expect(news).to_have_accessible_name("1 new message")
    await client.send_json({"msg": "more", "id": "more"})
    await expect(news).to_have_accessible_name("2 new messages")
    await expect(visitor.page.get_by_text("news", exact=True)).not_to_be_in_viewport()
    await news.click()
    await expect(visitor.page.get_by_text("news", exact=True)).to_be_in_viewport()
    await expect(news).to_be_hidden()
    # A message that arrives in the same frame as the scrolling, before the event "scroll".
    await log.evaluate(
        """log => {
            log.scrollTo(0, 0);
            log.parentElement.add({ seq: 1000, text: "again", own: false, time: "2026-01-01T10:00:00" });
        }"""
    )
    await expect(news).to_have_accessible_name("1 new message")


@pytest.mark.gen_test
async def test_page_language_follows_the_browser(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session, locale="zh-CN")
    counsellor = await people.room(process.url, COUNSELLOR, session, locale="fr-FR")
    await expect(visitor.page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(counsellor.page.locator("html")).to_have_attribute("lang", "en")
    await expect(visitor.page.locator("#presence")).to_have_text("在线")
    await expect(counsellor.page.locator("#presence")).to_have_text("Here now")
    await expect(visitor.page.get_by_text("咨询师 Chen已进入会话")).to_be_visible()
    await expect(counsellor.page.get_by_text("Counsellor Chen has joined the session")).to_be_visible()
    await expect(visitor.page.locator("#menu-end")).to_have_text("结束会话")


@pytest.mark.gen_test
async def test_markup_in_messages_stays_text(process: Process, people: People) -> None:
    visitor, counsellor, _ = await open_both_rooms(process, people)
    attack = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    await visitor.send(attack)
    await counsellor.expect_messages(attack)
    await expect(counsellor.page).to_have_title(re.compile("^Lin"))


@pytest.mark.gen_test
async def test_counsellor_requests_supervision_and_both_write(process: Process, people: People) -> None:
    _, counsellor, _ = await open_both_rooms(process, people)
    await counsellor.menu("Ask for supervision")
    await counsellor.page.get_by_role("textbox", name="The supervisor's ID").fill("3")
    await counsellor.page.keyboard.press("Enter")
    async with counsellor.context.expect_page() as opened:
        await counsellor.page.get_by_role("link", name="Open the supervision").click()
    record = await Room(await opened.value).wait_ready()
    supervisor = await people.room(process.url, token("supervisor", 3, "Wu"), 1, type=1)
    await expect(record.page.get_by_role("heading", level=1)).to_have_text("Wu")
    await expect(record.page.get_by_text("Supervision: the visitor does not see this")).to_be_visible()
    await expect(counsellor.page.get_by_text("the visitor does not see this")).to_be_hidden()
    await supervisor.send("How can I help?")
    await record.send("She asks for more than I know.")
    for room in (record, supervisor):
        await room.expect_messages("How can I help?", "She asks for more than I know.")
    await supervisor.expect_delivery("How can I help?", "read")
    await counsellor.expect_messages()


@pytest.mark.gen_test
async def test_supervisor_named_in_the_address_is_requested_by_one_click(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    counsellor = await people.room(process.url, f"{COUNSELLOR}&supervisor=3", session)
    visitor = await people.room(process.url, f"{VISITOR}&supervisor=3", session)
    await expect(visitor.page.get_by_role("button", name="Ask for supervision")).to_be_hidden()
    inbox = await harness.connect(f"/notify?token={token('supervisor', 3, 'Wu')}")
    await counsellor.page.get_by_role("button", name="Ask for supervision").click()
    assert (await inbox.recv_json())["type"] == 2
    async with counsellor.context.expect_page() as opened:
        await counsellor.page.get_by_role("link", name="Open the supervision").click()
    record = await Room(await opened.value).wait_ready()
    await record.send("Have you got a moment?")
    await record.expect_delivery("Have you got a moment?", "stored")
    await counsellor.expect_messages()
    # The menu still allows to name another supervisor.
    await counsellor.page.get_by_role("button", name="Close").click()
    await counsellor.menu("Ask for supervision")
    await expect(counsellor.page.get_by_role("textbox", name="The supervisor's ID")).to_have_value("3")


@pytest.mark.gen_test
async def test_failed_supervision_request_is_shown_in_the_dialog(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("Failed to load resource")
    harness = (await process.start()).harness
    session = await harness.session()
    counsellor = await people.room(process.url, f"{COUNSELLOR}&supervisor=3", session)
    await counsellor.page.route("**/supervision", lambda route: route.abort())
    await counsellor.page.get_by_role("button", name="Ask for supervision").click()
    dialog = counsellor.page.get_by_role("dialog")
    await expect(dialog.get_by_role("alert")).to_contain_text("cannot be reached")
    await expect(dialog.get_by_role("textbox", name="The supervisor's ID")).to_have_value("3")
    await counsellor.page.unroute("**/supervision")
    await dialog.get_by_role("button", name="Send request").click()
    await expect(dialog.get_by_text("The supervisor has been notified.")).to_be_visible()
