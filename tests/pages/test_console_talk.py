"""``/console``: a waiter serves visitors."""

import re

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.pages.conftest import PHONE, People, Process, overlap
from tests.pages.consoles import CAROL, Console, connect_visitor, receive_text, send_messages


@pytest.mark.gen_test
async def test_several_conversations_at_once(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url, ready=False)
    await expect(bob.page.get_by_role("heading", name="You are paused")).to_be_visible()
    lin = await connect_visitor(harness, 1, "Lin", served=False)
    await expect(bob.queue).to_have_text(["Lin"])
    await bob.page.get_by_role("button", name="Start taking visitors").click()
    await lin.until("connect_success")
    await expect(bob.panel("Lin")).to_be_visible()  # opened at once, because no other conversation was open
    await expect(bob.queue).to_have_count(0)
    ada = await connect_visitor(harness, 2, "Ada")
    await expect(bob.toast).to_have_text("Ada is with you now.")
    await expect(bob.page.locator("#load")).to_have_text("2 of 5")

    await send_messages(lin, "Where is my parcel?")
    await send_messages(ada, "I was charged twice", "Hello?")
    await bob.expect_messages("Lin", "Where is my parcel?")
    await expect(bob.row("Ada").locator(".row-count")).to_have_text("2")
    await expect(bob.row("Ada")).to_contain_text("Hello?")
    await expect(bob.row("Ada")).to_contain_text(re.compile(r"\d:\d\d"))  # how long the visitor has waited
    await expect(bob.page).to_have_title("(2) Support desk")
    await bob.send("On its way")
    assert await receive_text(lin) == "On its way"
    await lin.send_frame("read", {"seq": 2})
    await bob.expect_delivery("On its way", "read")
    await expect(bob.row("Lin").locator(".row-wait")).to_have_text("")

    await ada.send_frame("typing", {"typing": True})
    await expect(bob.row("Ada")).to_contain_text("typing…")
    await bob.open_conversation("Ada")
    await bob.expect_messages("Ada", "I was charged twice", "Hello?")
    await expect(bob.panel("Ada").get_by_text("Ada is typing")).to_be_visible()
    await expect(bob.row("Ada").locator(".row-count")).to_be_hidden()
    await expect(bob.page).to_have_title("Support desk")
    receipt = await ada.until("read")
    while receipt["payload"] != {"seq": 2}:
        receipt = await ada.until("read")
    await bob.composer.press_sequentially("One")
    assert (await ada.until("typing"))["payload"] == {"typing": True}
    await bob.send("One moment")
    assert await receive_text(ada) == "One moment"
    await bob.open_conversation("Lin")
    await bob.expect_messages("Lin", "Where is my parcel?", "On its way")


@pytest.mark.gen_test
async def test_reload_restores_conversations_and_drafts(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin, ada = await connect_visitor(harness, 1, "Lin"), await connect_visitor(harness, 2, "Ada")
    tom = await connect_visitor(harness, 3)
    await send_messages(lin, "one")
    await send_messages(ada, "Hello?")
    await send_messages(tom, "My name is not known")
    await bob.open_conversation("Lin")
    await bob.send("two")
    await bob.expect_delivery("two", "delivered")
    await bob.composer.fill("half a thou")
    assert "token" not in bob.page.url
    await bob.page.goto("about:blank")
    await send_messages(lin, "three")
    await tom.send_frame("disconnect")
    await tom.until("disconnected")
    await bob.page.go_back()
    await bob.wait_connected()
    await bob.expect_messages("Lin", "one", "two", "three")
    await expect(bob.composer).to_have_value("half a thou")
    await expect(bob.ready_switch).to_have_attribute("aria-checked", "true")
    await expect(bob.row("Ada").locator(".row-count")).to_have_text("1")
    await bob.send("half a thought")
    await bob.expect_messages("Lin", "one", "two", "three", "half a thought")
    # A conversation that ended meanwhile stays readable until the waiter removes it.
    await bob.open_conversation("Visitor 3")
    await bob.expect_messages("Visitor 3", "My name is not known")
    await expect(bob.panel("Visitor 3")).to_contain_text("While you were disconnected it ended")
    await bob.click_button("Visitor 3", "Remove from the list")
    await expect(bob.rows).to_have_count(2)
    await expect(bob.panel("Ada")).to_be_visible()  # the next conversation that waits for an answer


@pytest.mark.gen_test
async def test_scrolling_up_loads_history(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin, ada = await connect_visitor(harness, 1, "Lin"), await connect_visitor(harness, 2, "Ada")
    lines = [f"line {number}" for number in range(170)]
    await send_messages(lin, *lines)
    await send_messages(ada, "short")
    await bob.page.reload()
    await bob.open_conversation("Ada")
    await bob.open_conversation("Lin")
    await bob.scroll_to_first_message("line 169")
    await bob.expect_messages("Lin", *lines)
    # Again, now from the messages that the page has kept; meanwhile the visitor has sent another one.
    await bob.open_conversation("Ada")
    await send_messages(lin, "line 170")
    await bob.open_conversation("Lin")
    await bob.scroll_to_first_message("line 170")
    await bob.expect_messages("Lin", *lines, "line 170")


@pytest.mark.gen_test
async def test_pausing_keeps_current_conversations(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin = await connect_visitor(harness, 1, "Lin")
    await bob.page.keyboard.press("Alt+p")
    await expect(bob.page.locator("#ready-description")).to_have_text("Paused, no new visitors")
    ada = await connect_visitor(harness, 2, "Ada", served=False)
    await expect(bob.queue).to_have_text(["Ada"])
    await send_messages(lin, "Still here")
    await bob.expect_messages("Lin", "Still here")
    await bob.take_new()
    await ada.until("connect_success")
    await expect(bob.row("Ada")).to_contain_text("New visitor")


@pytest.mark.gen_test
async def test_paused_waiter_sees_the_queue(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url, ready=False)
    await expect(bob.page.get_by_role("heading", name="You are paused")).to_be_visible()
    ada = await connect_visitor(harness, 2, "Ada", served=False)
    await expect(bob.page.get_by_role("heading", name="Visitors in line: 1")).to_be_visible()
    await bob.page.get_by_role("button", name="Start taking visitors").click()
    await ada.until("connect_success")
    await expect(bob.panel("Ada")).to_be_visible()


@pytest.mark.gen_test
async def test_short_notices_do_not_cover_the_switch_on_a_phone(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url, size=PHONE)
    await connect_visitor(harness, 2, "A visitor with a name that is as long as names on a phone can be")
    await expect(bob.toast).to_be_visible()
    for element in (bob.ready_switch, bob.rows.first, bob.page.locator(".profile")):
        assert not await overlap(bob.toast, element)


@pytest.mark.gen_test
async def test_hand_over_and_end(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin = await connect_visitor(harness, 1, "Lin")
    await send_messages(lin, "It is about the contract")
    await bob.send("I'll find a colleague")
    dialog = bob.page.get_by_role("dialog")
    await bob.click_button("Lin", "Hand over")
    await expect(dialog).to_contain_text("No other agent is free")
    carol = await Console.open(people, process.url, CAROL)
    await dialog.get_by_role("button", name="Look again").click()
    await expect(dialog.get_by_role("radio", name="Carol")).to_be_checked()
    # Carol is not free any more: the dialog shows the reason, and the choice can be made again.
    await carol.ready_switch.click()
    await expect(carol.page.locator("#ready-description")).to_have_text("Paused, no new visitors")
    await dialog.get_by_role("button", name="Hand over").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("That did not work")
    await carol.take_new()
    await dialog.get_by_role("button", name="Look again").click()
    await dialog.get_by_label("Note").fill("She is worried about a deadline")
    await dialog.get_by_role("button", name="Hand over").click()
    await expect(dialog).to_be_hidden()
    await expect(bob.toast).to_have_text("Carol was asked to take over Lin.")
    offer = carol.page.locator(".offer")
    await expect(offer).to_contain_text("Bob asks you to take over Lin")
    await expect(offer.locator("time")).to_have_text(re.compile(r"^[01]:\d\d$"))
    await offer.get_by_role("button", name="Decline").click()
    await expect(offer).to_be_hidden()
    await expect(bob.toast).to_have_text("Carol has declined. Lin stays with you.")
    await bob.click_button("Lin", "Hand over")
    await expect(dialog.get_by_role("radio", name="Carol")).to_be_checked()
    await dialog.get_by_label("Note").fill("She asked for you")
    await dialog.get_by_role("button", name="Hand over").click()
    await expect(offer).to_contain_text("She asked for you")
    await offer.get_by_role("button", name="Take over").click()
    await expect(bob.toast).to_have_text("Carol has taken over Lin.")
    await expect(offer).to_contain_text("Note about Lin")
    await offer.get_by_role("button", name="Got it").click()
    await expect(offer).to_be_hidden()
    await expect(bob.rows).to_have_count(0)
    await carol.expect_messages("Lin", "It is about the contract", "I'll find a colleague")
    await expect(carol.row("Lin").locator(".row-preview")).to_have_text("Bob: I'll find a colleague")
    await expect(carol.row("Lin").locator(".row-wait")).to_have_text("")  # Bob has answered
    for _ in range(2):  # also after a reload
        panel = carol.panel("Lin")
        await expect(panel.locator(".handover")).to_have_text("Bob handed over to you")
        await expect(panel.locator(".message.own")).to_have_count(0)
        colleague = panel.locator(".message.colleague")
        await expect(colleague.locator(".text")).to_have_text("I'll find a colleague")
        await expect(colleague.locator(".author-name")).to_have_text("Bob")
        await expect(colleague.locator(".author-name")).to_be_visible()
        await expect(colleague.locator(".delivery")).to_have_count(0)
        await carol.page.reload()
        await carol.wait_connected()
        await carol.open_conversation("Lin")

    await carol.click_button("Lin", "End conversation")
    await carol.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await carol.send("Goodbye")
    await carol.click_button("Lin", "End conversation")
    await carol.page.keyboard.press("Enter")
    await lin.until("disconnected")
    await expect(carol.rows).to_have_count(0)
    await expect(carol.page.get_by_role("heading", name="All is quiet")).to_be_visible()


@pytest.mark.gen_test
async def test_conversation_stays_readable_after_the_visitor_leaves(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin = await connect_visitor(harness, 1, "Lin")
    await send_messages(lin, "Thanks for https://example.org/a?b=1, bye <b>https://</b>")
    await bob.expect_messages("Lin", "Thanks for https://example.org/a?b=1, bye <b>https://</b>")
    links = bob.panel("Lin").locator(".text a")
    await expect(links).to_have_count(1)
    await expect(links).to_have_attribute("href", "https://example.org/a?b=1")
    await bob.composer.fill("half a sentence")
    await lin.send_frame("disconnect")
    await expect(bob.panel("Lin")).to_contain_text("Lin has left. The conversation is over.")
    await expect(bob.toast).to_have_text("Lin has left.")
    await expect(bob.composer).to_be_hidden()
    await expect(bob.page.locator("#load")).to_have_text("0 of 5")
    unsent = bob.panel("Lin").locator(".message.refused")
    for _ in range(2):
        await expect(unsent.locator(".text")).to_have_text("half a sentence")
        await expect(unsent.get_by_role("button", name="Copy")).to_be_visible()
        await bob.page.reload()
        await bob.wait_connected()
        await bob.open_conversation("Lin")
    await bob.click_button("Lin", "About this visitor")
    about = bob.page.get_by_role("complementary")
    await expect(about).to_contain_text("They can be read while the visitor is with you.")
    await about.press("Escape")
    # The same visitor comes back: this is another conversation.
    again = await connect_visitor(harness, 1, "Lin")
    await send_messages(again, "One more thing")
    await expect(bob.page.locator(".row-name")).to_have_text(["Lin · 1", "Lin · 2"])
    await bob.page.keyboard.press("Alt+x")
    await bob.expect_messages("Lin", "One more thing")


@pytest.mark.gen_test
async def test_earlier_conversations_of_the_visitor_are_shown(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin = await connect_visitor(harness, 1, "Lin")
    await send_messages(lin, "Where is my parcel?")
    await bob.send("On its way")
    await bob.expect_delivery("On its way", "delivered")
    await lin.send_frame("disconnect")
    await lin.until("disconnected")
    await lin.send_frame("rate", {"rate": 4, "feedback": "Quick"})
    await lin.until("rate_success")
    await bob.click_button("Lin", "Remove from the list")
    lin = await connect_visitor(harness, 1, "Lin")
    await send_messages(lin, "Thank you")
    await lin.send_frame("disconnect")
    await lin.until("disconnected")
    await bob.click_button("Lin", "Remove from the list")
    lin = await connect_visitor(harness, 1, "Lin")
    await bob.click_button("Lin", "About this visitor")
    about = bob.page.get_by_role("complementary")
    await expect(about.get_by_role("button", name=re.compile("Bob, 1 message$"))).to_be_visible()
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
async def test_guests_have_names_and_colours_that_stay(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    guests = ["guest-0123456789abcdef0123456789abcdef", "guest-00112233445566778899aabbccddeeff"]
    bob = await Console.open(people, process.url)
    for guest in guests:
        await (await harness.user(guest)).until("connect_success")
    await connect_visitor(harness, 3)
    await expect(bob.rows).to_have_count(3)
    await bob.page.reload()
    await bob.wait_connected()

    async def looks(console: Console) -> list[tuple[str, str, str]]:
        rows = [console.rows.nth(number) for number in range(3)]
        return [
            (
                await row.locator(".row-name").inner_text(),
                await row.locator(".avatar").inner_text(),
                await row.locator(".avatar").evaluate("avatar => getComputedStyle(avatar).backgroundColor"),
            )
            for row in rows
        ]

    (name, letter, colour), (other, _, other_colour), (nameless, *_) = before = await looks(bob)
    assert re.fullmatch(r"[A-Z]\w+ [A-Z]\w+", name)
    assert letter == name[0]
    assert nameless == "Visitor 3"  # not a guest: the host knows this id
    assert len({name, other}) == 2
    assert len({colour, other_colour, before[2][2]}) == 3
    await bob.open_conversation(name)
    await bob.click_button(name, "About this visitor")
    about = bob.page.get_by_role("complementary")
    await expect(about).to_contain_text("This one is made up")
    await expect(about).to_contain_text(guests[0])

    chinese = await Console.open(people, process.url, ready=False, locale="zh-CN", color_scheme="dark")
    await expect(chinese.rows).to_have_count(3)
    for found in (await looks(chinese))[:2]:
        assert re.fullmatch("[\u4e00-\u9fff]{4,5}", found[0])
        assert found[1] == found[0][0]


@pytest.mark.gen_test
async def test_phone_shows_list_and_conversation_in_separate_views(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url, size=PHONE, locale="zh-CN")
    lin = await connect_visitor(harness, 1, "小林")
    await send_messages(lin, "你好")
    await expect(bob.row("小林").locator(".row-count")).to_have_text("1")
    await expect(bob.panels).to_have_count(0)
    await bob.open_conversation("小林")
    await bob.expect_messages("小林", "你好")
    await expect(bob.ready_switch).to_be_hidden()
    await bob.send("您好！")
    assert await receive_text(lin) == "您好！"
    await bob.click_button("小林", "返回列表")
    await expect(bob.row("小林")).to_be_focused()
    await send_messages(lin, "还在吗？")  # the conversation is not in view now
    await expect(bob.row("小林").locator(".row-count")).to_have_text("1")
    await expect(bob.page).to_have_title("(1) 客服工作台")
    await bob.open_conversation("小林")
    await bob.page.go_back()
    await expect(bob.panels).to_have_count(0)


@pytest.mark.gen_test
async def test_two_conversations_side_by_side(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url, size=(1600, 900))
    peers = {
        name: await connect_visitor(harness, id, name) for id, name in enumerate(("Lin", "Ada", "Tom"), 1)
    }
    await bob.open_conversation("Lin")
    await bob.click_button("Lin", "Keep beside others")
    await bob.open_conversation("Ada")
    await expect(bob.panels).to_have_count(2)
    await send_messages(peers["Lin"], "from Lin")
    await send_messages(peers["Ada"], "from Ada")
    await bob.expect_messages("Lin", "from Lin")
    await bob.expect_messages("Ada", "from Ada")
    # Two are in view, only Tom counts.
    await expect(bob.page).to_have_title("(1) Support desk")
    await bob.panel("Lin").get_by_role("textbox").fill("to Lin")
    await bob.panel("Lin").get_by_role("textbox").press("Enter")
    assert await receive_text(peers["Lin"]) == "to Lin"
    await bob.open_conversation("Tom")  # replaces the conversation that is not pinned
    await expect(bob.panels).to_have_count(2)
    await expect(bob.panel("Ada")).to_have_count(0)
    await bob.page.reload()
    await expect(bob.panels).to_have_count(2)
    await bob.page.set_viewport_size({"width": 1200, "height": 800})
    await expect(bob.panels).to_have_count(1)
    await expect(bob.panel("Tom")).to_be_visible()


@pytest.mark.gen_test
async def test_wrong_role_and_missing_token_are_rejected(process: Process, people: People) -> None:
    await process.start()
    page = await people.page(f"{process.url}/console#token={token('user', 1, 'Lin')}")
    await expect(page.get_by_role("heading", name="This page is not for your account")).to_be_focused()
    page = await people.page(f"{process.url}/console")
    await expect(page.get_by_role("heading", name="Open this page from your system")).to_be_visible()
    expired = token("waiter", 5, "Bob", lifetime=-10)
    page = await people.page(f"{process.url}/console#token={expired}")
    await expect(page.get_by_role("heading", name="Open this page from your system")).to_be_visible()
