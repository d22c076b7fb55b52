"""The console when the network, the server or the window is not what it was."""

import signal
import sqlite3

import pytest
from playwright.async_api import expect

from tests.pages.conftest import People, Process
from tests.pages.consoles import BOB, Console, hears, says, visitor

REFUSED = "net::ERR_|WebSocket connection to"


@pytest.mark.gen_test
async def test_what_is_written_without_a_network_goes_out_later(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(REFUSED)
    house = (await process.start()).house
    bob = await Console.open(people, process.url)
    lin, ada = await visitor(house, 1, "Lin"), await visitor(house, 2, "Ada")
    await bob.choose("Lin")
    await bob.page.context.set_offline(True)
    await expect(bob.standing).to_contain_text("offline")
    await expect(bob.page.locator("#my-connection")).to_contain_text("Not connected")
    await expect(bob.page.locator("#queue-empty")).to_have_text("Not known right now")
    await bob.say("to Lin")
    await bob.became("to Lin", "sending")
    await bob.choose("Ada")
    await bob.say("to Ada")
    await expect(bob.row("Lin")).to_contain_text("Sending")
    await says(lin, "from Lin")
    await bob.act("Ada", "End conversation")
    await expect(bob.page.get_by_role("dialog")).to_contain_text("have not been delivered yet")
    await bob.page.keyboard.press("Enter")
    await expect(bob.panel("Ada")).to_contain_text("Ending…")
    await bob.page.context.set_offline(False)
    assert await hears(ada) == "to Ada"  # before the end
    await ada.until("disconnected")
    assert await hears(lin) == "to Lin"
    await bob.choose("Lin")
    await bob.shows("Lin", "from Lin", "to Lin")
    await expect(bob.rows).to_have_count(1)


@pytest.mark.gen_test
async def test_a_killed_server_loses_and_doubles_nothing(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(REFUSED)
    house = (await process.start()).house
    bob = await Console.open(people, process.url)
    lin, ada = await visitor(house, 1, "Lin"), await visitor(house, 2, "Ada")
    await says(lin, "one")
    await bob.choose("Lin")
    await bob.say("two")
    assert await hears(lin) == "two"
    await process.stop(signal.SIGKILL)
    await expect(bob.page.locator("#my-connection")).to_contain_text("Not connected")
    await bob.say("three")
    await process.start()
    await bob.connected()
    await bob.became("three", "stored")
    lin, ada = await visitor(process.house, 1, "Lin"), await visitor(process.house, 2, "Ada")
    lin._count = ada._count = 100  # ids that are as new as the messages
    await says(lin, "four")
    await says(ada, "hello")
    await bob.shows("Lin", "one", "two", "three", "four")
    await bob.choose("Ada")
    await bob.shows("Ada", "hello")
    tom = await visitor(process.house, 3, "Tom")  # the server knows that the waiter is ready
    await expect(bob.row("Tom")).to_contain_text("New visitor")
    await says(tom, "Hi")
    with sqlite3.connect(process.directory / "state" / "tornado-chat.sqlite3") as database:
        said = database.execute("SELECT text FROM message WHERE thread_id = 1 ORDER BY seq").fetchall()
    assert said == [("one",), ("two",), ("three",), ("four",)]


@pytest.mark.gen_test
async def test_one_desk_at_a_time(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url)
    lin = await visitor(house, 1, "Lin")
    await bob.composer.fill("half a thou")
    other = await Console.open(people, process.url, BOB)
    await expect(bob.page.get_by_role("heading", name="The desk is open elsewhere")).to_be_focused()
    await other.choose("Lin")
    await other.say("from the other window")
    assert await hears(lin) == "from the other window"
    await bob.page.get_by_role("button", name="Use it here").click()
    await bob.shows("Lin", "from the other window")
    await expect(bob.composer).to_have_value("half a thou")
    await expect(other.page.get_by_role("button", name="Use it here")).to_be_visible()
    await expect(bob.page.locator("#load")).to_have_text("1 of 5")


@pytest.mark.gen_test
async def test_what_could_not_be_sent_is_shown_and_not_lost(process: Process, people: People) -> None:
    house = (await process.start()).house
    bob = await Console.open(people, process.url)
    lin, _ = await visitor(house, 1, "Lin"), await visitor(house, 2, "Ada")
    await bob.choose("Lin")
    # Its outbox as a server that refuses leaves it.
    await bob.page.evaluate(
        """sessionStorage.setItem("console:5:1:unsent", JSON.stringify([
             { id: "x1", text: "an awful word", refused: "it has an awful word" }]))"""
    )
    await bob.page.reload()
    await expect(bob.panel("Lin")).to_contain_text("Not sent: it has an awful word")
    await bob.choose("Ada")
    await expect(bob.row("Lin")).to_contain_text("A message was not sent")
    await bob.choose("Lin")
    await bob.act("Lin", "Edit")
    await bob.say("a kind word")
    assert await hears(lin) == "a kind word"
    await expect(bob.row("Lin")).to_contain_text("You: a kind word")
    await lin.send_frame("disconnect")
    await expect(bob.panel("Lin")).to_contain_text("Lin has left")
