"""``/console`` during outages of network and server, and with a second window."""

import signal
import sqlite3

import pytest
from playwright.async_api import expect

from tests.pages.conftest import People, Process
from tests.pages.consoles import BOB, Console, connect_visitor, receive_text, send_messages

CONNECTION_ERRORS = "net::ERR_|WebSocket connection to"


@pytest.mark.gen_test
async def test_messages_written_offline_are_sent_after_reconnecting(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(CONNECTION_ERRORS)
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin, ada = await connect_visitor(harness, 1, "Lin"), await connect_visitor(harness, 2, "Ada")
    await bob.open_conversation("Lin")
    await bob.page.context.set_offline(True)
    await expect(bob.connection_status).to_contain_text("offline")
    await expect(bob.page.locator("#my-connection")).to_contain_text("Not connected")
    await expect(bob.ready_switch).to_have_accessible_description("Not connected, no new visitors")
    await expect(bob.page.locator("#queue-empty")).to_have_text("Not known right now")
    await bob.send("to Lin")
    await bob.expect_delivery("to Lin", "sending")
    await bob.open_conversation("Ada")
    await bob.send("to Ada")
    await expect(bob.row("Lin")).to_contain_text("Sending")
    await send_messages(lin, "from Lin")
    await bob.click_button("Ada", "End conversation")
    await expect(bob.page.get_by_role("dialog")).to_contain_text("have not been sent yet")
    await bob.page.keyboard.press("Enter")
    await expect(bob.panel("Ada")).to_contain_text("Ending…")
    await bob.page.context.set_offline(False)
    await expect(bob.ready_switch).to_have_accessible_description("The next one comes to you")
    assert await receive_text(ada) == "to Ada"  # it is delivered before the conversation ends
    await ada.until("disconnected")
    assert await receive_text(lin) == "to Lin"
    await bob.open_conversation("Lin")
    await bob.expect_messages("Lin", "from Lin", "to Lin")
    await expect(bob.rows).to_have_count(1)


RECORD_NOTICES = """
  window.notices = [];
  new MutationObserver(() => {
    const words = document.querySelector("#toast")?.textContent;
    if (words && words !== notices.at(-1)) {
      notices.push(words);
    }
  }).observe(document, { subtree: true, childList: true, characterData: true });
"""
"""Records the short notices of a page, which disappear after some seconds."""


@pytest.mark.gen_test
async def test_conversations_that_were_there_are_not_announced_again(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin, ada = await connect_visitor(harness, 1, "Lin"), await connect_visitor(harness, 2, "Ada")
    await expect(bob.toast).to_have_text("Ada is with you now.")
    await bob.page.context.add_init_script(RECORD_NOTICES)
    await bob.page.reload()
    await bob.wait_connected()
    await expect(bob.ready_switch).to_have_accessible_description("The next one comes to you")
    await expect(bob.row("Ada")).to_contain_text("New visitor")  # the agent has not looked yet
    assert await bob.page.evaluate("notices") == []
    await send_messages(lin, "from Lin")
    await send_messages(ada, "from Ada")
    await bob.open_conversation("Lin")
    await bob.send("to Lin")
    assert await receive_text(lin) == "to Lin"
    await bob.open_conversation("Ada")
    await bob.send("to Ada")
    assert await receive_text(ada) == "to Ada"

    async def expect_silence(console: Console) -> None:
        await console.wait_connected()
        for name in ("Lin", "Ada"):
            await expect(console.row(name)).to_contain_text(f"to {name}")  # its messages are loaded
        assert await console.page.evaluate("notices") == []
        await expect(console.page.locator(".row.unread, .row-count:visible")).to_have_count(0)

    await bob.page.reload()
    await expect_silence(bob)
    url = f"{process.url}/console#token={BOB}"
    await expect_silence(Console(await people.tab(bob.page.context, url)))
    other = await people.page("about:blank")  # a browser that has stored nothing
    await other.context.add_init_script(RECORD_NOTICES)
    await other.goto(url)
    await expect_silence(Console(other))


@pytest.mark.gen_test
async def test_an_unseen_conversation_is_announced_when_the_page_is_loaded(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    crashed = await harness.waiter(5, features=["ack", "ready"])
    await connect_visitor(harness, 1, "Lin")
    await crashed.until("new_connection")
    await crashed.close(1001)
    bob = await Console.open(people, process.url, ready=False)
    await expect(bob.toast).to_have_text("Lin is with you now.")
    await expect(bob.panel("Lin")).to_be_visible()


@pytest.mark.gen_test
async def test_a_disconnected_agent_is_promised_no_visitor(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(CONNECTION_ERRORS)
    await process.start()
    bob = await Console.open(people, process.url)
    placeholder = bob.page.locator("#placeholder")
    await expect(placeholder).to_contain_text("The next visitor appears here by itself.")
    await bob.page.context.set_offline(True)
    await expect(bob.ready_switch).to_have_accessible_description("Not connected, no new visitors")
    await expect(placeholder).to_contain_text("When the connection is back, the next visitor appears here")
    await bob.page.context.set_offline(False)
    await expect(bob.ready_switch).to_have_accessible_description("The next one comes to you")
    await expect(placeholder).to_contain_text("All is quiet")


@pytest.mark.gen_test
async def test_server_kill_neither_loses_nor_duplicates_messages(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(CONNECTION_ERRORS)
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin, ada = await connect_visitor(harness, 1, "Lin"), await connect_visitor(harness, 2, "Ada")
    await send_messages(lin, "one")
    await bob.open_conversation("Lin")
    await bob.send("two")
    assert await receive_text(lin) == "two"
    await process.stop(signal.SIGKILL)
    await expect(bob.page.locator("#my-connection")).to_contain_text("Not connected")
    await bob.send("three")
    await process.start()
    await bob.wait_connected()
    await bob.expect_delivery("three", "stored")
    await expect(bob.page.locator(".message.last-own .delivery")).to_have_text("Sent")
    lin, ada = (
        await connect_visitor(process.harness, 1, "Lin"),
        await connect_visitor(process.harness, 2, "Ada"),
    )
    lin._count = ada._count = 100  # ids that the previous connections have not used
    await send_messages(lin, "four")
    await send_messages(ada, "hello")
    await bob.expect_messages("Lin", "one", "two", "three", "four")
    await bob.open_conversation("Ada")
    await bob.expect_messages("Ada", "hello")
    # The page has told the new server that the waiter is ready.
    tom = await connect_visitor(process.harness, 3, "Tom")
    await expect(bob.row("Tom")).to_contain_text("New visitor")
    await send_messages(tom, "Hi")
    with sqlite3.connect(process.directory / "state" / "tornado-chat.sqlite3") as database:
        stored = database.execute("SELECT text FROM message WHERE thread_id = 1 ORDER BY seq").fetchall()
    assert stored == [("one",), ("two",), ("three",), ("four",)]


@pytest.mark.gen_test
async def test_only_the_newest_window_of_a_waiter_is_connected(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin = await connect_visitor(harness, 1, "Lin")
    await bob.composer.fill("half a thou")
    other = await Console.open(people, process.url, BOB)
    await expect(bob.page.get_by_role("heading", name="The desk is open elsewhere")).to_be_focused()
    await other.open_conversation("Lin")
    await other.send("from the other window")
    assert await receive_text(lin) == "from the other window"
    await bob.page.get_by_role("button", name="Use it here").click()
    await bob.expect_messages("Lin", "from the other window")
    await expect(bob.composer).to_have_value("half a thou")
    await expect(other.page.get_by_role("button", name="Use it here")).to_be_visible()
    await expect(bob.page.locator("#load")).to_have_text("1 of 5")


@pytest.mark.gen_test
async def test_refused_message_is_shown_and_can_be_edited(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    lin, _ = await connect_visitor(harness, 1, "Lin"), await connect_visitor(harness, 2, "Ada")
    await bob.open_conversation("Lin")
    # The outbox of the page, as it is after the server refused a message.
    await bob.page.evaluate(
        """sessionStorage.setItem("console:5:1:unsent", JSON.stringify([
             { id: "x1", text: "an awful word", refused: "it has an awful word" }]))"""
    )
    await bob.page.reload()
    await expect(bob.panel("Lin")).to_contain_text("Not sent: it has an awful word")
    await bob.open_conversation("Ada")
    await expect(bob.row("Lin")).to_contain_text("A message was not sent")
    await bob.open_conversation("Lin")
    await bob.click_button("Lin", "Edit")
    await bob.send("a kind word")
    assert await receive_text(lin) == "a kind word"
    await expect(bob.row("Lin")).to_contain_text("You: a kind word")
    await lin.send_frame("disconnect")
    await expect(bob.panel("Lin")).to_contain_text("Lin has left")
