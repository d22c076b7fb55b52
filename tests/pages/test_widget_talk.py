"""A visitor of a web site talks in its corner."""

import pytest
from playwright.async_api import expect

from tests.pages.conftest import PHONE
from tests.pages.sites import Visitors, heard, seen, site, told, took, visitors

__all__ = ["site", "visitors"]


@pytest.mark.gen_test
async def test_from_the_line_through_a_conversation_to_the_rating(visitors: Visitors) -> None:
    await visitors.serve()
    first = await visitors.process.house.user(100)
    await first.get("connect_queue")
    corner = await (await visitors.visit(size=PHONE)).start()
    await expect(corner.place).to_have_text("You are 2nd in line")
    await corner.say("Where is my parcel?")
    await corner.became("Where is my parcel?", "held")
    await first.send_frame("disconnect")
    await expect(corner.place).to_have_text("You are next")

    waiter = await visitors.waiter()
    user = await took(waiter)
    assert (await heard(waiter, user))["payload"] == {"message": "Where is my parcel?"}
    await expect(corner.heading).to_have_text("Bob")
    await expect(corner.place).to_be_hidden()
    await waiter.send_frame("read", {"seq": 1}, to=user)
    await corner.became("Where is my parcel?", "read")
    await waiter.send_frame("typing", {"typing": True}, to=user)
    await expect(corner.inside.get_by_text("Bob is typing")).to_be_visible()
    await waiter.send_frame("message_text", {"message": "See https://track.example/4711."}, to=user)
    await corner.shows("Where is my parcel?", "See https://track.example/4711.")
    link = corner.inside.get_by_role("link", name="https://track.example/4711", exact=True)
    await expect(link).to_have_attribute("target", "_blank")
    assert await seen(waiter, user) == 2
    await corner.composer.press_sequentially("Th")
    assert (await waiter.until("typing"))["payload"] == {"typing": True}

    await waiter.send_frame("disconnect", to=user)
    await expect(corner.inside.get_by_text("The conversation has ended")).to_be_visible()
    await corner.inside.locator(".star").nth(3).click()
    await corner.inside.get_by_role("textbox", name="Anything you would like").fill("quick")
    await corner.inside.get_by_role("button", name="Send rating").click()
    await expect(corner.inside.get_by_text("Thank you for your rating")).to_be_visible()
    await corner.page.reload()
    await expect(corner.inside.get_by_text("Thank you for your rating")).to_be_visible()
    await corner.shows("Where is my parcel?", "See https://track.example/4711.")
    await corner.again.click()
    assert await took(waiter) != user
    await expect(corner.heading).to_have_text("Bob")
    await corner.shows()


@pytest.mark.gen_test
async def test_pages_change_at_any_moment_and_nothing_is_lost_or_doubled(visitors: Visitors) -> None:
    await visitors.serve()
    corner = await visitors.visit()
    await expect(corner.page.locator("iframe")).to_have_count(0)  # nothing is loaded for who wants nothing
    await corner.start()
    await corner.say("one")
    await corner.became("one", "held")
    await corner.page.reload()
    await expect(corner.place).to_have_text("You are next")
    await corner.became("one", "held")

    waiter = await visitors.waiter()
    user = await took(waiter)
    await corner.became("one", "stored")
    await waiter.send_frame("message_text", {"message": "two"}, to=user)
    await corner.shows("one", "two")
    await corner.composer.fill("half a thou")
    await corner.page.get_by_role("link", name="other").click()
    await corner.page.wait_for_url("**/other")
    await told(waiter, "three", user)
    await corner.shows("one", "two", "three")
    await expect(corner.composer).to_have_value("half a thou")
    await corner.say("half a thought")
    await corner.became("half a thought", "stored")
    for number in range(4):
        await corner.say(f"quick {number}")
        await corner.page.goto(f"{visitors.site.url}/{number}")
        await expect(corner.heading).to_have_text("Bob")
    said = ["one", "two", "three", "half a thought", *(f"quick {number}" for number in range(4))]
    await corner.shows(*said)
    await corner.became("quick 3", "stored")
    got = [(await heard(waiter, user))["payload"]["message"] for _ in range(5)]
    assert got == said[3:] or got == [said[0], *said[3:-1]]

    await corner.end()
    await corner.page.reload()
    await expect(corner.inside.get_by_text("How was it?")).to_be_visible()
    await corner.shows(*said)


LATE = "(() => { const own = setTimeout; window.setTimeout = (act, ms) => own(act, ms + 3000) })()"
"""Timers that come when the reader has gone on."""


@pytest.mark.gen_test
async def test_what_is_said_while_it_is_closed_is_counted_and_told(visitors: Visitors) -> None:
    visitors.site.script = "window.unread = []; (window.TornadoChat = []).push((chat) => chat.on('unread', (n) => unread.push(n)))"
    await visitors.serve()
    corner = await (await visitors.visit()).start()
    waiter = await visitors.waiter()
    user = await took(waiter)
    await expect(corner.heading).to_have_text("Bob")
    await corner.close()
    await expect(corner.launcher).to_be_focused()
    await expect(corner.badge).to_be_hidden()
    await told(waiter, "Hello?", user)
    await expect(corner.badge).to_have_text("1")
    await expect(corner.page.get_by_role("status")).to_have_text("1 new message")
    await told(waiter, "Are you there?", user)
    await expect(corner.badge).to_have_text("2")
    await expect(corner.page.get_by_role("button", name="Open the chat (2 new messages)")).to_be_visible()
    assert await corner.page.evaluate("unread") == [1, 2]
    await corner.page.goto(f"{visitors.site.url}/next")
    await expect(corner.badge).to_have_text("2")
    await told(waiter, "Good bye", user)
    await expect(corner.badge).to_have_text("3")
    await waiter.send_frame("disconnect", to=user)
    await waiter.until("disconnected")
    with pytest.raises(TimeoutError):
        await waiter.until("read", timeout=0.3)  # nobody has looked at it

    # Who closes it at once has read it, too.
    await corner.page.frames[-1].evaluate(LATE)
    await corner.open()
    await corner.shows("Hello?", "Are you there?", "Good bye")
    await expect(corner.inside.get_by_text("The conversation has ended")).to_be_visible()
    await corner.close()
    await expect(corner.badge).to_be_hidden()


@pytest.mark.gen_test
async def test_two_tabs_show_the_same(visitors: Visitors) -> None:
    await visitors.serve()
    corner = await visitors.visit()
    other, third = await visitors.tab(corner), await visitors.tab(corner)
    await other.open()
    await corner.start()
    await expect(other.place).to_have_text("You are next")
    waiter = await visitors.waiter()
    user = await took(waiter)
    await corner.say("from the one")
    await other.say("from the other")
    for each in (corner, other):
        await each.shows("from the one", "from the other")
    await corner.close()
    await other.close()
    await told(waiter, "for all", user)
    await expect(third.badge).to_have_text("1")  # it knows of the conversation, though it was never opened
    await other.open()
    await expect(third.badge).to_be_hidden()  # it was read
    await corner.open()
    await other.end()
    await expect(corner.inside.get_by_text("The conversation has ended")).to_be_visible()
    await corner.page.bring_to_front()
    await corner.again.click()
    await took(waiter)
    await expect(corner.inside.get_by_role("button", name="End the conversation")).to_be_visible()
    await expect(other.inside.get_by_role("button", name="End the conversation")).to_be_visible()
    await corner.shows()
    await other.shows()


@pytest.mark.gen_test
async def test_a_lost_waiter_is_explained_and_somebody_takes_over(visitors: Visitors) -> None:
    await visitors.serve("support.rejoin_grace=0.4")
    corner = await (await visitors.visit()).start()
    bob = await visitors.waiter()
    await took(bob)
    await corner.say("one")
    await corner.became("one", "stored")
    await bob.close(1001)
    await expect(corner.inside.get_by_text("Somebody will take over")).to_be_visible()
    await corner.say("two")
    await corner.became("two", "stored")  # it is not held back: the next one will read it
    ann = await visitors.waiter(8, "Ann")
    user = await took(ann)
    assert [(await heard(ann, user))["payload"]["message"] for _ in range(2)] == ["one", "two"]
    await expect(corner.heading).to_have_text("Ann")
    await corner.shows("one", "two")


@pytest.mark.gen_test
async def test_who_leaves_the_line_has_left_it_and_keeps_what_was_written(visitors: Visitors) -> None:
    await visitors.serve()
    corner = await (await visitors.visit()).start()
    await corner.say("never mind")
    await corner.inside.get_by_role("button", name="Leave the line").click()
    await expect(corner.inside.get_by_text("You have left the line")).to_be_visible()
    waiter = await visitors.waiter()
    with pytest.raises(TimeoutError):
        await waiter.until("new_connection", timeout=0.3)
    await corner.inside.get_by_role("button", name="Start a conversation").click()
    user = await took(waiter)
    await expect(corner.composer).to_have_value("never mind")  # for one's own decision
    await corner.shows()
    await waiter.send_frame("disconnect", to=user)
    await expect(corner.inside.get_by_text("The conversation has ended")).to_be_visible()


@pytest.mark.gen_test
async def test_what_could_not_be_sent_before_the_end_reaches_nobody_else(visitors: Visitors) -> None:
    await visitors.serve("support.rejoin_grace=0.4")
    corner = await (await visitors.visit()).start()
    bob = await visitors.waiter()
    user = await took(bob)
    await told(bob, "Hello", user)
    await corner.shows("Hello")
    await corner.page.context.set_offline(True)
    await expect(corner.inside.get_by_text("You are offline")).to_be_visible()
    await corner.say("for Bob only")
    await corner.became("for Bob only", "sending")
    await bob.until("disconnected")
    await corner.page.context.set_offline(False)
    await expect(corner.message("for Bob only")).to_contain_text("ended before it could be sent")
    await bob.close()
    await corner.again.click()
    ann = await visitors.waiter(8, "Ann")
    user = await took(ann)
    await corner.shows()
    await expect(corner.composer).to_have_value("for Bob only")
    await corner.say("for Ann")
    assert (await heard(ann, user))["payload"] == {"message": "for Ann"}
