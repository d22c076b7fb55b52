"""A waiter serves visitors from /console."""

import re

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.pages.conftest import PHONE, People, Process
from tests.pages.consoles import CAROL, Console, hears, says, visitor


@pytest.mark.gen_test
async def test_several_conversations_at_once(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url, ready=False)
    await expect(bob.page.get_by_role("heading", name="You are paused")).to_be_visible()
    lin = await visitor(house, 1, "Lin", served=False)
    await expect(bob.line).to_have_text(["Lin"])
    await bob.page.get_by_role("button", name="Start taking visitors").click()
    await lin.until("connect_success")
    await expect(bob.panel("Lin")).to_be_visible()  # nothing else was open
    await expect(bob.line).to_have_count(0)
    ada = await visitor(house, 2, "Ada")
    await expect(bob.told).to_have_text("Ada is with you now.")
    await expect(bob.page.locator("#load")).to_have_text("2 of 5")

    await says(lin, "Where is my parcel?")
    await says(ada, "I was charged twice", "Hello?")
    await bob.shows("Lin", "Where is my parcel?")
    await expect(bob.row("Ada").locator(".row-count")).to_have_text("2")
    await expect(bob.row("Ada")).to_contain_text("Hello?")
    await expect(bob.row("Ada")).to_contain_text(re.compile(r"\d:\d\d"))  # how long it has waited
    await expect(bob.page).to_have_title("(2) Support desk")
    await bob.say("On its way")
    assert await hears(lin) == "On its way"
    await lin.send_frame("read", {"seq": 2})
    await bob.became("On its way", "read")
    await expect(bob.row("Lin").locator(".row-wait")).to_have_text("")

    await ada.send_frame("typing", {"typing": True})
    await expect(bob.row("Ada")).to_contain_text("typing…")
    await bob.choose("Ada")
    await bob.shows("Ada", "I was charged twice", "Hello?")
    await expect(bob.panel("Ada").get_by_text("Ada is typing")).to_be_visible()
    await expect(bob.row("Ada").locator(".row-count")).to_be_hidden()
    await expect(bob.page).to_have_title("Support desk")
    seen = await ada.until("read")
    while seen["payload"] != {"seq": 2}:
        seen = await ada.until("read")
    await bob.composer.press_sequentially("One")
    assert (await ada.until("typing"))["payload"] == {"typing": True}
    await bob.say("One moment")
    assert await hears(ada) == "One moment"
    await bob.choose("Lin")
    await bob.shows("Lin", "Where is my parcel?", "On its way")


@pytest.mark.gen_test
async def test_a_reload_keeps_the_desk(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url)
    lin, ada = await visitor(house, 1, "Lin"), await visitor(house, 2, "Ada")
    tom = await visitor(house, 3)
    await says(lin, "one")
    await says(ada, "Hello?")
    await says(tom, "My name is not known")
    await bob.choose("Lin")
    await bob.say("two")
    await bob.became("two", "stored")
    await bob.composer.fill("half a thou")
    assert "token" not in bob.page.url
    await bob.page.goto("about:blank")
    await says(lin, "three")
    await tom.send_frame("disconnect")
    await tom.until("disconnected")
    await bob.page.go_back()
    await bob.connected()
    await bob.shows("Lin", "one", "two", "three")
    await expect(bob.composer).to_have_value("half a thou")
    await expect(bob.ready).to_have_attribute("aria-checked", "true")
    await expect(bob.row("Ada").locator(".row-count")).to_have_text("1")
    await bob.say("half a thought")
    await bob.shows("Lin", "one", "two", "three", "half a thought")
    # Who left meanwhile is still there to be read, and goes when the waiter says so.
    await bob.choose("Visitor 3")
    await bob.shows("Visitor 3", "My name is not known")
    await expect(bob.panel("Visitor 3")).to_contain_text("While you were disconnected it ended")
    await bob.act("Visitor 3", "Remove from the list")
    await expect(bob.rows).to_have_count(2)
    await expect(bob.panel("Ada")).to_be_visible()  # the next one who waits


@pytest.mark.gen_test
async def test_the_past_comes_by_scrolling(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url)
    lin, ada = await visitor(house, 1, "Lin"), await visitor(house, 2, "Ada")
    lines = [f"line {number}" for number in range(170)]
    await says(lin, *lines)
    await says(ada, "short")
    await bob.page.reload()
    await bob.choose("Ada")
    await bob.choose("Lin")
    await bob.back_to_the_beginning("line 169")
    await bob.shows("Lin", *lines)
    # Once more, now from what the page has kept; meanwhile somebody has gone on.
    await bob.choose("Ada")
    await says(lin, "line 170")
    await bob.choose("Lin")
    await bob.back_to_the_beginning("line 170")
    await bob.shows("Lin", *lines, "line 170")


@pytest.mark.gen_test
async def test_pausing_keeps_whom_one_has(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url)
    lin = await visitor(house, 1, "Lin")
    await bob.page.keyboard.press("Alt+p")
    await expect(bob.page.locator("#ready-description")).to_have_text("Paused, nobody new for now")
    ada = await visitor(house, 2, "Ada", served=False)
    await expect(bob.line).to_have_text(["Ada"])
    await says(lin, "Still here")
    await bob.shows("Lin", "Still here")
    await bob.take_new()
    await ada.until("connect_success")
    await expect(bob.row("Ada")).to_contain_text("New visitor")


@pytest.mark.gen_test
async def test_who_is_paused_sees_that_people_wait(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url, ready=False)
    await expect(bob.page.get_by_role("heading", name="You are paused")).to_be_visible()
    ada = await visitor(house, 2, "Ada", served=False)
    await expect(bob.page.get_by_role("heading", name="Visitors in line: 1")).to_be_visible()
    await bob.page.get_by_role("button", name="Start taking visitors").click()
    await ada.until("connect_success")
    await expect(bob.panel("Ada")).to_be_visible()


@pytest.mark.gen_test
async def test_handing_over_and_ending(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url)
    lin = await visitor(house, 1, "Lin")
    await says(lin, "It is about the contract")
    await bob.say("I'll find somebody")
    dialog = bob.page.get_by_role("dialog")
    await bob.act("Lin", "Hand over")
    await expect(dialog).to_contain_text("Nobody else is free")
    carol = await Console.open(people, process.url, CAROL)
    await dialog.get_by_role("button", name="Look again").click()
    await expect(dialog.get_by_role("radio", name="Carol")).to_be_checked()
    # Not free any more when it is to happen: the reason is told, and the choice is another.
    await carol.ready.click()
    await expect(carol.page.locator("#ready-description")).to_have_text("Paused, nobody new for now")
    await dialog.get_by_role("button", name="Hand over").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("That did not work")
    await carol.take_new()
    await dialog.get_by_role("button", name="Look again").click()
    await dialog.get_by_role("button", name="Hand over").click()
    await expect(dialog).to_be_hidden()
    await expect(bob.told).to_have_text("Lin is with Carol now.")
    await expect(bob.rows).to_have_count(0)
    await carol.shows("Lin", "It is about the contract", "I'll find somebody")

    await carol.act("Lin", "End conversation")
    await carol.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await carol.say("Goodbye")
    await carol.act("Lin", "End conversation")
    await carol.page.keyboard.press("Enter")
    await lin.until("disconnected")
    await expect(carol.rows).to_have_count(0)
    await expect(carol.page.get_by_role("heading", name="All is quiet")).to_be_visible()


@pytest.mark.gen_test
async def test_a_visitor_who_leaves_stays_to_be_read(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url)
    lin = await visitor(house, 1, "Lin")
    await says(lin, "Thanks for https://example.org/a?b=1, bye <b>https://</b>")
    await bob.shows("Lin", "Thanks for https://example.org/a?b=1, bye <b>https://</b>")
    links = bob.panel("Lin").locator(".text a")
    await expect(links).to_have_count(1)
    await expect(links).to_have_attribute("href", "https://example.org/a?b=1")
    await lin.send_frame("disconnect")
    await expect(bob.panel("Lin")).to_contain_text("Lin has left. The conversation is over.")
    await expect(bob.told).to_have_text("Lin has left.")
    await expect(bob.composer).to_be_hidden()
    await expect(bob.page.locator("#load")).to_have_text("0 of 5")
    # The same visitor comes back with something else: that is another conversation.
    again = await visitor(house, 1, "Lin")
    await says(again, "One more thing")
    await expect(bob.page.locator(".row-name")).to_have_text(["Lin · 1", "Lin · 2"])
    await bob.page.keyboard.press("Alt+x")
    await bob.shows("Lin", "One more thing")


@pytest.mark.gen_test
async def test_what_was_said_earlier_is_at_hand(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url)
    lin = await visitor(house, 1, "Lin")
    await says(lin, "Where is my parcel?")
    await bob.say("On its way")
    await bob.became("On its way", "stored")
    await lin.send_frame("disconnect")
    await lin.until("disconnected")
    await lin.send_frame("rate", {"rate": 4, "feedback": "Quick"})
    await lin.until("rate_success")
    await bob.act("Lin", "Remove from the list")
    lin = await visitor(house, 1, "Lin")
    await bob.act("Lin", "About this visitor")
    about = bob.page.get_by_role("complementary")
    earlier = about.get_by_role("button", name=re.compile("Bob, 2 messages"))
    await expect(earlier).to_contain_text("Rated 4 of 5")
    await expect(earlier).to_contain_text("Quick")
    await earlier.click()
    await expect(about.locator(".text")).to_have_text(["Where is my parcel?", "On its way"])
    await about.get_by_role("button", name="Earlier conversations").click()
    await expect(earlier).to_be_focused()
    await about.press("Escape")
    await expect(about).to_be_hidden()
    await expect(bob.composer).to_be_focused()


@pytest.mark.gen_test
async def test_on_a_telephone_the_list_and_a_conversation_have_a_view_each(
    process: Process, people: People
) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url, size=PHONE, locale="zh-CN")
    lin = await visitor(house, 1, "小林")
    await says(lin, "你好")
    await expect(bob.row("小林").locator(".row-count")).to_have_text("1")
    await expect(bob.panels).to_have_count(0)
    await bob.choose("小林")
    await bob.shows("小林", "你好")
    await expect(bob.ready).to_be_hidden()
    await bob.say("您好！")
    assert await hears(lin) == "您好！"
    await bob.act("小林", "返回列表")
    await expect(bob.row("小林")).to_be_focused()
    await says(lin, "还在吗？")  # nobody looks at it now
    await expect(bob.row("小林").locator(".row-count")).to_have_text("1")
    await expect(bob.page).to_have_title("(1) 客服工作台")
    await bob.choose("小林")
    await bob.page.go_back()
    await expect(bob.panels).to_have_count(0)


@pytest.mark.gen_test
async def test_two_side_by_side(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url, size=(1600, 900))
    peers = {name: await visitor(house, id, name) for id, name in enumerate(("Lin", "Ada", "Tom"), 1)}
    await bob.choose("Lin")
    await bob.act("Lin", "Keep beside others")
    await bob.choose("Ada")
    await expect(bob.panels).to_have_count(2)
    await says(peers["Lin"], "from Lin")
    await says(peers["Ada"], "from Ada")
    await bob.shows("Lin", "from Lin")
    await bob.shows("Ada", "from Ada")
    await expect(bob.page).to_have_title("(1) Support desk")  # these are in view, and Tom was not yet
    await bob.panel("Lin").get_by_role("textbox").fill("to Lin")
    await bob.panel("Lin").get_by_role("textbox").press("Enter")
    assert await hears(peers["Lin"]) == "to Lin"
    await bob.choose("Tom")  # in the place of the one that is not kept
    await expect(bob.panels).to_have_count(2)
    await expect(bob.panel("Ada")).to_have_count(0)
    await bob.page.reload()
    await expect(bob.panels).to_have_count(2)
    await bob.page.set_viewport_size({"width": 1200, "height": 800})
    await expect(bob.panels).to_have_count(1)
    await expect(bob.panel("Tom")).to_be_visible()


@pytest.mark.gen_test
async def test_who_has_no_business_here(process: Process, people: People) -> None:
    await process.start()
    page = await people.page(f"{process.url}/console#token={token('user', 1, 'Lin')}")
    await expect(page.get_by_role("heading", name="This page is not for your account")).to_be_focused()
    page = await people.page(f"{process.url}/console")
    await expect(page.get_by_role("heading", name="Open this page from your system")).to_be_visible()
    expired = token("waiter", 5, "Bob", lifetime=-10)
    page = await people.page(f"{process.url}/console#token={expired}")
    await expect(page.get_by_role("heading", name="Open this page from your system")).to_be_visible()
