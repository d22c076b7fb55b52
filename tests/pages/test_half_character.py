"""A message with half an emoji is sent with a replacement; a refused one is not sent again by itself."""

import json

import pytest
from playwright.async_api import Page, expect

from tests.pages.conftest import COUNSELLOR, VISITOR, People, Process
from tests.pages.consoles import Console, connect_visitor, receive_text
from tests.pages.sites import Visitors, next_message_of, next_user, site, visitors

__all__ = ["site", "visitors"]

HALF, REPLACED = "half \ud83d", "half \ufffd"

FILL = """(field, text) => {
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.form.requestSubmit();
}"""

SEND_AS_WRITTEN = """() => {
    // A page of an earlier version: what it sends is not made well-formed.
    const send = WebSocket.prototype.send;
    window.sent = [];
    WebSocket.prototype.send = function (data) {
        data = data.replaceAll("\\ufffd", "\\\\ud83d");
        window.sent.push(data);
        send.call(this, data);
    };
}"""


async def sent_messages(page: Page) -> int:
    frames = [json.loads(text) for text in await page.evaluate("window.sent")]
    return sum("msg" in frame for frame in frames)


@pytest.mark.gen_test
async def test_a_room_sends_a_replacement_for_half_a_character(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await visitor.composer.evaluate(FILL, HALF)
    await counsellor.expect_messages(REPLACED)
    await visitor.expect_messages(REPLACED)
    await visitor.send("whole 😀")
    await counsellor.expect_messages(REPLACED, "whole 😀")
    await visitor.page.reload()
    await visitor.wait_ready()
    await visitor.expect_messages(REPLACED, "whole 😀")


@pytest.mark.gen_test
async def test_a_refused_message_is_shown_with_its_text_to_copy_and_not_sent_again(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await visitor.context.add_init_script(f"({SEND_AS_WRITTEN})()")
    await visitor.page.reload()
    await visitor.wait_ready()
    await visitor.composer.evaluate(FILL, HALF)
    refused = visitor.message(REPLACED)
    await expect(refused).to_contain_text("Not sent: The text has half of a character")
    assert await sent_messages(visitor.page) == 1
    await refused.get_by_role("button", name="Copy").click()
    await expect(refused.get_by_role("button", name="Copied")).to_be_visible()
    assert await visitor.page.evaluate("navigator.clipboard.readText()") == REPLACED

    await visitor.page.reload()
    await visitor.wait_ready()
    await expect(refused).to_contain_text("Not sent")
    await visitor.send("whole")
    await counsellor.expect_messages("whole")
    assert await sent_messages(visitor.page) == 1  # only the whole one
    await refused.get_by_role("button", name="Edit").click()
    await expect(refused).to_have_count(0)
    await expect(visitor.composer).to_have_value(REPLACED)


@pytest.mark.gen_test
async def test_a_console_sends_a_replacement_for_half_a_character(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    visitor = await connect_visitor(harness, 1, "Lin")
    await bob.open_conversation("Lin")
    await bob.composer.evaluate(FILL, HALF)
    assert await receive_text(visitor) == REPLACED
    await bob.expect_messages("Lin", REPLACED)
    await visitor.close()


@pytest.mark.gen_test
async def test_the_widget_sends_a_replacement_for_half_a_character(visitors: Visitors) -> None:
    await visitors.serve()
    bob = await visitors.waiter()
    widget = await (await visitors.visit()).start()
    user = await next_user(bob)
    await widget.composer.evaluate(FILL, HALF)
    assert (await next_message_of(bob, user))["payload"]["message"] == REPLACED
    await widget.expect_messages(REPLACED)
    await widget.end()
    await widget.inside.get_by_role("radio", name="5").check(force=True)
    comment = widget.inside.locator("#feedback")
    await comment.evaluate("(field, text) => (field.value = text)", HALF)
    await widget.inside.locator("#rate").click()
    await expect(widget.inside.get_by_text("Thank you for your rating!")).to_be_visible()
