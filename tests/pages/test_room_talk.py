"""Two people talk in two pages."""

import re

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.pages.conftest import COUNSELLOR, PHONE, VISITOR, People, Process, Room


async def two(process: Process, people: People) -> tuple[Room, Room, int]:
    house = (await process.start()).house
    session = await house.session(user_name="Lin", consultant_name="Chen")
    visitor = await people.room(process.url, VISITOR, session, size=PHONE)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    return visitor, counsellor, session


@pytest.mark.gen_test
async def test_they_see_each_other_and_what_became_of_what_they_said(
    process: Process, people: People
) -> None:
    visitor, counsellor, _ = await two(process, people)
    await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Chen")
    await expect(counsellor.page.get_by_role("heading", level=1)).to_have_text("Lin")
    await expect(visitor.page.locator("#presence")).to_have_text("Here now")
    await expect(counsellor.page).to_have_title("Lin · Counselling session")

    await visitor.say("Hello")
    await visitor.became("Hello", "read")
    await counsellor.composer.press_sequentially("What")
    await expect(visitor.page.get_by_text("Chen is typing")).to_be_visible()
    await counsellor.say("What brings you here?")
    await expect(visitor.page.get_by_text("Chen is typing")).to_be_hidden()
    for room in (visitor, counsellor):
        await room.shows("Hello", "What brings you here?")

    await counsellor.page.close()
    await expect(visitor.page.locator("#presence")).to_have_text("Not here right now")
    await visitor.say("Are you there?")
    await visitor.became("Are you there?", "stored")
    await expect(visitor.message("Are you there?")).to_contain_text("Delivered")


@pytest.mark.gen_test
async def test_a_reload_loses_and_doubles_nothing(process: Process, people: People) -> None:
    visitor, counsellor, _ = await two(process, people)
    await visitor.say("one")
    await counsellor.say("two")
    await visitor.shows("one", "two")
    await visitor.composer.fill("half a thou")
    assert "token" not in visitor.page.url
    await visitor.page.reload()
    await counsellor.say("three")
    await visitor.ready()
    await visitor.shows("one", "two", "three")
    await expect(visitor.composer).to_have_value("half a thou")
    await visitor.say("half a thought")
    for room in (visitor, counsellor):
        await room.shows("one", "two", "three", "half a thought")


@pytest.mark.gen_test
async def test_enter_sends_but_not_in_the_middle_of_a_word(process: Process, people: People) -> None:
    visitor, _, _ = await two(process, people)
    await visitor.composer.press_sequentially("first")
    await visitor.composer.press("Shift+Enter")
    await visitor.composer.press_sequentially("second")
    await visitor.composer.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    await expect(visitor.messages).to_have_count(0)
    await visitor.composer.press("Enter")
    await visitor.shows("first\nsecond")
    await expect(visitor.composer).to_be_focused()
    await expect(visitor.composer).to_have_value("")


@pytest.mark.gen_test
async def test_two_tabs_of_one_person_show_the_same(process: Process, people: People) -> None:
    visitor, counsellor, session = await two(process, people)
    url = f"{process.url}/room#token={VISITOR}&session={session}"
    tab = await Room(await people.tab(visitor.context, url)).ready()
    await visitor.say("from the one")
    await tab.say("from the other")
    for room in (visitor, tab, counsellor):
        await room.shows("from the one", "from the other")
    await tab.became("from the one", "read")


@pytest.mark.gen_test
async def test_the_past_comes_by_scrolling_and_news_wait_for_who_reads_it(
    process: Process, people: People
) -> None:
    house = (await process.start()).house
    session = await house.session()
    client = await house.chat(COUNSELLOR, session, features="ack")
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
    await visitor.shows(*(f"line {number}" for number in range(130)))
    await expect(visitor.page.locator("li.day")).to_have_count(1)

    await log.evaluate("log => log.scrollTo(0, 0)")
    await client.send_json({"msg": "news", "id": "news"})
    news = visitor.page.get_by_role("button", name="New messages")
    await expect(news).to_be_visible()
    await expect(visitor.page.get_by_text("news", exact=True)).not_to_be_in_viewport()
    await news.click()
    await expect(visitor.page.get_by_text("news", exact=True)).to_be_in_viewport()
    await expect(news).to_be_hidden()


@pytest.mark.gen_test
async def test_each_reads_their_own_language(process: Process, people: People) -> None:
    house = (await process.start()).house
    session = await house.session()
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
async def test_what_anybody_writes_stays_text(process: Process, people: People) -> None:
    visitor, counsellor, _ = await two(process, people)
    attack = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    await visitor.say(attack)
    await counsellor.shows(attack)
    await expect(counsellor.page).to_have_title(re.compile("^Lin"))


@pytest.mark.gen_test
async def test_a_counsellor_calls_a_supervisor_and_both_talk(process: Process, people: People) -> None:
    _, counsellor, _ = await two(process, people)
    await counsellor.menu("Ask for supervision")
    await counsellor.page.get_by_role("textbox", name="The supervisor's ID").fill("3")
    await counsellor.page.keyboard.press("Enter")
    async with counsellor.context.expect_page() as opened:
        await counsellor.page.get_by_role("link", name="Open the supervision").click()
    record = await Room(await opened.value).ready()
    supervisor = await people.room(process.url, token("supervisor", 3, "Wu"), 1, type=1)
    await expect(record.page.get_by_role("heading", level=1)).to_have_text("Wu")
    await expect(record.page.get_by_text("Supervision: the visitor does not see this")).to_be_visible()
    await expect(counsellor.page.get_by_text("the visitor does not see this")).to_be_hidden()
    await supervisor.say("How can I help?")
    await record.say("She asks for more than I know.")
    for room in (record, supervisor):
        await room.shows("How can I help?", "She asks for more than I know.")
    await supervisor.became("How can I help?", "read")
    await counsellor.shows()


@pytest.mark.gen_test
async def test_the_supervisor_on_duty_is_called_by_one_click(process: Process, people: People) -> None:
    house = (await process.start()).house
    session = await house.session()
    counsellor = await people.room(process.url, f"{COUNSELLOR}&supervisor=3", session)
    visitor = await people.room(process.url, f"{VISITOR}&supervisor=3", session)
    await expect(visitor.page.get_by_role("button", name="Ask for supervision")).to_be_hidden()
    inbox = await house.connect(f"/notify?token={token('supervisor', 3, 'Wu')}")
    await counsellor.page.get_by_role("button", name="Ask for supervision").click()
    assert (await inbox.recv_json())["type"] == 2
    async with counsellor.context.expect_page() as opened:
        await counsellor.page.get_by_role("link", name="Open the supervision").click()
    record = await Room(await opened.value).ready()
    await record.say("Have you got a moment?")
    await record.became("Have you got a moment?", "stored")
    await counsellor.shows()
    # Another one can still be named.
    await counsellor.page.get_by_role("button", name="Close").click()
    await counsellor.menu("Ask for supervision")
    await expect(counsellor.page.get_by_role("textbox", name="The supervisor's ID")).to_have_value("3")


@pytest.mark.gen_test
async def test_who_cannot_be_called_is_said_where_another_can_be_named(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("Failed to load resource")
    house = (await process.start()).house
    session = await house.session()
    counsellor = await people.room(process.url, f"{COUNSELLOR}&supervisor=3", session)
    await counsellor.page.route("**/supervision", lambda route: route.abort())
    await counsellor.page.get_by_role("button", name="Ask for supervision").click()
    dialog = counsellor.page.get_by_role("dialog")
    await expect(dialog.get_by_role("alert")).to_contain_text("cannot be reached")
    await expect(dialog.get_by_role("textbox", name="The supervisor's ID")).to_have_value("3")
    await counsellor.page.unroute("**/supervision")
    await dialog.get_by_role("button", name="Send request").click()
    await expect(dialog.get_by_text("The supervisor has been notified.")).to_be_visible()
