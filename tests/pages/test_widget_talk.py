"""The widget: queue, conversation, rating, page changes and several tabs."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import expect

from tests.conftest import Harness, token
from tests.pages.conftest import PHONE
from tests.pages.sites import (
    UNSERVED,
    Visitors,
    next_message_of,
    next_read_seq,
    next_user,
    send_text,
    site,
    visitors,
)

__all__ = ["site", "visitors"]


async def left_messages(harness: Harness, who: str) -> list[dict[str, Any]]:
    answer = await harness.api("GET", "/api/v1/support/left-messages", who)
    return list(json.loads(answer.body)["items"])


@pytest.mark.gen_test
async def test_queue_conversation_and_rating(visitors: Visitors) -> None:
    await visitors.serve("support.capacity=1")
    waiter = await visitors.waiter()
    served, first = [await visitors.process.harness.user(id) for id in (100, 101)]
    user = await next_user(waiter)
    await first.get("connect_queue")
    widget = await (await visitors.visit(size=PHONE)).start()
    await expect(widget.position).to_have_text("You are 2nd in line")
    await widget.send("Where is my parcel?")
    await widget.expect_delivery("Where is my parcel?", "stored")
    await first.send_frame("disconnect")
    await expect(widget.position).to_have_text("You are next")

    await served.send_frame("disconnect")
    user = await next_user(waiter)
    assert (await next_message_of(waiter, user))["payload"] == {"message": "Where is my parcel?"}
    await expect(widget.heading).to_have_text("Bob")
    await expect(widget.position).to_be_hidden()
    await waiter.send_frame("read", {"seq": 1}, to=user)
    await widget.expect_delivery("Where is my parcel?", "read")
    await waiter.send_frame("typing", {"typing": True}, to=user)
    await expect(widget.inside.get_by_text("Bob is typing")).to_be_visible()
    await waiter.send_frame("message_text", {"message": "See https://track.example/4711."}, to=user)
    await widget.expect_messages("Where is my parcel?", "See https://track.example/4711.")
    link = widget.inside.get_by_role("link", name="https://track.example/4711", exact=True)
    await expect(link).to_have_attribute("target", "_blank")
    assert await next_read_seq(waiter, user) == 2
    await widget.composer.press_sequentially("Th")
    assert (await waiter.until("typing"))["payload"] == {"typing": True}

    await waiter.send_frame("disconnect", to=user)
    await expect(widget.inside.get_by_text("The conversation has ended")).to_be_visible()
    await widget.inside.locator(".star").nth(3).click()
    await widget.inside.get_by_role("textbox", name="Anything you would like").fill("quick")
    await widget.inside.get_by_role("button", name="Send rating").click()
    await expect(widget.inside.get_by_text("Thank you for your rating")).to_be_visible()
    await widget.page.reload()
    await expect(widget.inside.get_by_text("Thank you for your rating")).to_be_visible()
    await widget.expect_messages("Where is my parcel?", "See https://track.example/4711.")
    await widget.new_conversation.click()
    assert await next_user(waiter) != user
    await expect(widget.heading).to_have_text("Bob")
    await widget.expect_messages()


@pytest.mark.gen_test
async def test_the_visitor_learns_whether_an_agent_is_on_duty(visitors: Visitors) -> None:
    await visitors.serve("support.capacity=1", "support.rejoin_grace=0.4")
    widget = await (await visitors.visit(size=PHONE)).start()
    await expect(widget.position).to_have_text(UNSERVED)
    await expect(widget.inside.locator("#queue-text")).to_contain_text("Your place in the line is 1.")
    await expect(widget.inside.get_by_text("You are next")).to_have_count(0)
    waiter = await visitors.waiter()
    user = await next_user(waiter)
    await widget.send("Hello?")
    await next_message_of(waiter, user)

    waiting = await (await visitors.visit()).start()
    await expect(waiting.position).to_have_text("You are next")  # the agent serves, but has no free place
    await waiter.send_frame("unready")
    await expect(waiting.position).to_have_text(UNSERVED)
    await waiter.send_frame("ready")
    await expect(waiting.position).to_have_text("You are next")
    await expect(waiting.inside.locator("#subtitle")).to_have_text("Waiting for one of us")
    await send_text(waiter, "One moment", user)
    await waiter.close(1001)
    await expect(widget.inside.get_by_text("and none of us is on duty")).to_be_visible()
    await expect(waiting.position).to_have_text(UNSERVED)


@pytest.mark.gen_test
async def test_page_changes_neither_lose_nor_duplicate_messages(visitors: Visitors) -> None:
    await visitors.serve()
    widget = await visitors.visit()
    # The frame is loaded only when the chat is opened.
    await expect(widget.page.locator("iframe")).to_have_count(0)
    await widget.start()
    await widget.send("one")
    await widget.expect_delivery("one", "stored")
    await widget.page.reload()
    await expect(widget.position).to_have_text(UNSERVED)
    await widget.expect_delivery("one", "stored")

    waiter = await visitors.waiter()
    user = await next_user(waiter)
    await widget.expect_delivery("one", "delivered")
    await waiter.send_frame("message_text", {"message": "two"}, to=user)
    await widget.expect_messages("one", "two")
    await widget.composer.fill("half a thou")
    await widget.page.get_by_role("link", name="other").click()
    await widget.page.wait_for_url("**/other")
    await send_text(waiter, "three", user)
    await widget.expect_messages("one", "two", "three")
    await expect(widget.composer).to_have_value("half a thou")
    await widget.send("half a thought")
    await widget.expect_delivery("half a thought", "delivered")
    for number in range(4):
        await widget.send(f"quick {number}")
        await widget.page.goto(f"{visitors.site.url}/{number}")
        await expect(widget.heading).to_have_text("Bob")
    sent = ["one", "two", "three", "half a thought", *(f"quick {number}" for number in range(4))]
    await widget.expect_messages(*sent)
    await widget.expect_delivery("quick 3", "delivered")
    got = [(await next_message_of(waiter, user))["payload"]["message"] for _ in range(5)]
    assert got == sent[3:] or got == [sent[0], *sent[3:-1]]

    await widget.end()
    await widget.page.reload()
    await expect(widget.inside.get_by_text("How was it?")).to_be_visible()
    await widget.expect_messages(*sent)


DELAY_TIMERS = "(() => { const own = setTimeout; window.setTimeout = (act, ms) => own(act, ms + 3000) })()"
"""Delays timers of the frame by 3 s, so that they fire after the chat is closed again."""


@pytest.mark.gen_test
async def test_messages_are_counted_while_the_chat_is_closed(visitors: Visitors) -> None:
    visitors.site.script = (
        "window.unread = []; "
        "(window.TornadoChat = []).push((chat) => chat.on('unread', (n) => unread.push(n)))"
    )
    await visitors.serve()
    widget = await (await visitors.visit()).start()
    waiter = await visitors.waiter()
    user = await next_user(waiter)
    await expect(widget.heading).to_have_text("Bob")
    await widget.close()
    await expect(widget.launcher).to_be_focused()
    await expect(widget.badge).to_be_hidden()
    await send_text(waiter, "Hello?", user)
    await expect(widget.badge).to_have_text("1")
    await expect(widget.page.get_by_role("status")).to_have_text("1 new message")
    await send_text(waiter, "Are you there?", user)
    await expect(widget.badge).to_have_text("2")
    await expect(widget.page.get_by_role("button", name="Open the chat (2 new messages)")).to_be_visible()
    assert await widget.page.evaluate("unread") == [1, 2]
    await widget.page.goto(f"{visitors.site.url}/next")
    await expect(widget.badge).to_have_text("2")
    await send_text(waiter, "Good bye", user)
    await expect(widget.badge).to_have_text("3")
    await waiter.send_frame("disconnect", to=user)
    await waiter.until("disconnected")
    with pytest.raises(TimeoutError):
        await waiter.until("read", timeout=0.3)  # the chat is closed, so the message is unread

    # Messages count as read even if the chat is closed at once.
    await widget.page.frames[-1].evaluate(DELAY_TIMERS)
    await widget.open()
    await widget.expect_messages("Hello?", "Are you there?", "Good bye")
    await expect(widget.inside.get_by_text("The conversation has ended")).to_be_visible()
    await widget.close()
    await expect(widget.badge).to_be_hidden()


@pytest.mark.gen_test
async def test_two_tabs_show_the_same_messages(visitors: Visitors) -> None:
    await visitors.serve()
    widget = await visitors.visit()
    other, third = await visitors.tab(widget), await visitors.tab(widget)
    await other.open()
    await widget.start()
    await expect(other.position).to_have_text(UNSERVED)
    waiter = await visitors.waiter()
    user = await next_user(waiter)
    await widget.send("from the one")
    await other.send("from the other")
    for each in (widget, other):
        await each.expect_messages("from the one", "from the other")
    await widget.close()
    await other.close()
    await send_text(waiter, "for all", user)
    # This tab knows the conversation, though its chat was never opened.
    await expect(third.badge).to_have_text("1")
    await other.open()
    await expect(third.badge).to_be_hidden()  # read in the other tab
    await widget.open()
    await other.end()
    await expect(widget.inside.get_by_text("The conversation has ended")).to_be_visible()
    await widget.page.bring_to_front()
    await widget.new_conversation.click()
    await next_user(waiter)
    await expect(widget.inside.get_by_role("button", name="End the conversation")).to_be_visible()
    await expect(other.inside.get_by_role("button", name="End the conversation")).to_be_visible()
    await widget.expect_messages()
    await other.expect_messages()


@pytest.mark.gen_test
async def test_the_earlier_conversation_is_there_after_a_new_one_begins(visitors: Visitors) -> None:
    await visitors.serve()
    waiter = await visitors.waiter()
    widget = await (await visitors.visit(size=PHONE)).start()
    earlier = widget.inside.locator(".earlier")
    messages = widget.inside.locator("#conversation-body > chat-messages .text")
    user = await next_user(waiter)
    await widget.send("Where is my parcel?")
    await next_message_of(waiter, user)
    await send_text(waiter, "It comes tomorrow, number 4711.", user)
    await widget.expect_messages("Where is my parcel?", "It comes tomorrow, number 4711.")
    await expect(earlier).to_have_count(0)
    await widget.end()

    await widget.new_conversation.click()
    user = await next_user(waiter)
    await expect(widget.heading).to_have_text("Bob")
    await widget.expect_messages()  # folded, and not loaded
    await widget.send("Me again")
    await earlier.get_by_text("Earlier conversation", exact=True).click()
    await expect(earlier.locator(".text")).to_have_text(
        ["Where is my parcel?", "It comes tomorrow, number 4711."]
    )
    await expect(messages).to_have_text(["Me again"])
    await widget.page.reload()
    await expect(messages).to_have_text(["Me again"])
    await earlier.get_by_text("Earlier conversation", exact=True).click()
    await expect(earlier.locator(".text").first).to_have_text("Where is my parcel?")
    await widget.end()

    await widget.new_conversation.click()
    await next_user(waiter)
    await earlier.get_by_text("Earlier conversations", exact=True).click()
    await expect(earlier.locator(".text").last).to_have_text("Me again")
    # In a low window it is scrolled, and covers nothing.
    await widget.page.set_viewport_size({"width": 360, "height": 420})
    lists = earlier.locator(".earlier-lists")
    await lists.evaluate(
        "(lists) => lists.append(...Array.from({ length: 30 }, () => lists.cloneNode(true)))"
    )
    assert await earlier.evaluate("(section) => section.clientHeight < section.scrollHeight")
    covered = await earlier.evaluate(
        """(section) => {
          const below = section.getBoundingClientRect().bottom + 4;
          return section.contains(document.elementFromPoint(innerWidth / 2, below));
        }"""
    )
    assert not covered
    # Another tab, perhaps of another person at the same computer, shows none.
    tab = await visitors.tab(widget)
    await tab.open()
    await expect(tab.heading).to_have_text("Bob")
    await expect(tab.inside.locator(".earlier")).to_have_count(0)


@pytest.mark.gen_test
async def test_lost_waiter_is_explained_and_replaced(visitors: Visitors) -> None:
    await visitors.serve("support.rejoin_grace=0.4")
    widget = await (await visitors.visit()).start()
    bob = await visitors.waiter()
    await next_user(bob)
    await widget.send("one")
    await widget.expect_delivery("one", "delivered")
    await bob.close(1001)
    await expect(widget.inside.get_by_text("and none of us is on duty")).to_be_visible()
    await widget.send("two")
    await widget.expect_delivery("two", "stored")  # it is stored at once: the next waiter will read it
    ann = await visitors.waiter(8, "Ann")
    user = await next_user(ann)
    assert [(await next_message_of(ann, user))["payload"]["message"] for _ in range(2)] == ["one", "two"]
    await expect(widget.heading).to_have_text("Ann")
    await widget.expect_messages("one", "two")
    await widget.expect_delivery("two", "delivered")
    line = "Bob lost the connection, and Ann took over"
    await expect(widget.inside.locator(".handover")).to_have_text(line)


@pytest.mark.gen_test
async def test_after_a_hand_over_each_line_has_its_own_agents_name(visitors: Visitors) -> None:
    await visitors.serve()
    widget = await (await visitors.visit()).start()
    bob = await visitors.waiter()
    user = await next_user(bob)
    await widget.send("one")
    await widget.expect_delivery("one", "delivered")
    await expect(widget.message("one")).to_contain_text("Delivered")
    await send_text(bob, "I am Bob", user)
    await expect(widget.inside.locator(".author-name")).to_be_hidden()  # two people need no names
    ann = await visitors.waiter(8, "Ann")
    await ann.send_frame("nonsense")
    await ann.until("error")  # so ``ready`` was handled before
    await bob.send_frame("transfer", {"waiter": 8}, to=user)
    await bob.until("transfer_success")
    await expect(widget.inside.locator(".handover")).to_have_text("Bob handed over to Ann")
    await send_text(ann, "I am Ann", await next_user(ann))
    rows = widget.inside.locator(".message, .handover")
    for _ in range(2):  # also after a reload
        await expect(widget.heading).to_have_text("Ann")
        await expect(rows).to_contain_text(["one", "I am Bob", "Bob handed over to Ann", "I am Ann"])
        for name in ("Bob", "Ann"):
            author = widget.message(f"I am {name}").locator(".author-name")
            await expect(author).to_have_text(name)
            await expect(author).to_be_visible()
        await widget.expect_delivery("one", "delivered")
        await widget.page.reload()


@pytest.mark.gen_test
async def test_leaving_the_queue_asks_what_becomes_of_the_words(visitors: Visitors) -> None:
    await visitors.serve("support.rejoin_grace=0.2")
    widget = await (await visitors.visit(size=PHONE)).start()
    start = widget.inside.get_by_role("button", name="Start a conversation")
    leave = widget.inside.get_by_role("button", name="Leave the line")
    dialog = widget.inside.get_by_role("dialog", name="Leave the line?")
    note = widget.inside.locator("#start-note")
    await leave.click()  # nothing was written: nothing is asked
    await expect(note).to_have_text("You have left the line.")

    for words, choice in (("keep this", "Leave it as a message"), ("not this", "Delete it and leave")):
        await start.click()
        await widget.send(words)
        await widget.expect_delivery(words, "stored")
        await leave.click()
        await expect(dialog.get_by_role("button", name="Stay in the line")).to_be_focused()
        await widget.page.keyboard.press("Enter")
        await expect(dialog).to_be_hidden()
        await leave.click()
        await dialog.get_by_role("button", name=choice).click()
        await expect(note).to_contain_text("You have left the line.")
        await expect(note.filter(has_text="stays with us")).to_have_count(int(words == "keep this"))
    await start.click()
    await widget.send("lost")
    await widget.expect_delivery("lost", "stored")
    await widget.page.goto("about:blank")  # the place is lost, and the words stay
    admin = token("admin", 1)
    while len(left := await left_messages(visitors.process.harness, admin)) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    assert [each["beginning"] for each in left] == ["keep this", "lost"]
    await widget.page.go_back()
    await expect(note).to_have_text(
        "You were offline for too long, and have lost your place in the line. "
        "What you wrote stays with us as a message."
    )


@pytest.mark.gen_test
async def test_message_unsent_before_the_end_does_not_reach_the_next_waiter(visitors: Visitors) -> None:
    await visitors.serve("support.rejoin_grace=0.4")
    widget = await (await visitors.visit()).start()
    bob = await visitors.waiter()
    user = await next_user(bob)
    await send_text(bob, "Hello", user)
    await widget.expect_messages("Hello")
    await widget.page.context.set_offline(True)
    await expect(widget.inside.get_by_text("You are offline")).to_be_visible()
    await widget.send("for Bob only")
    await widget.expect_delivery("for Bob only", "sending")
    await bob.until("disconnected")
    await widget.page.context.set_offline(False)
    await expect(widget.message("for Bob only")).to_contain_text("ended before it could be sent")
    await bob.close()
    await widget.new_conversation.click()
    ann = await visitors.waiter(8, "Ann")
    user = await next_user(ann)
    await widget.expect_messages()
    await expect(widget.composer).to_have_value("for Bob only")
    await widget.send("for Ann")
    assert (await next_message_of(ann, user))["payload"] == {"message": "for Ann"}
