"""What a page does when the network, or the server, is not there for a while."""

import signal

import pytest
from playwright.async_api import Page, expect

from tests.helpers.faults import FaultyProxy
from tests.pages.conftest import COUNSELLOR, VISITOR, People, Process

NO_SOCKET = r"WebSocket connection to .* failed"  # a browser says so of each attempt


COUNT_SOCKETS = """() => {
  globalThis.opened = 0;
  globalThis.WebSocket = class extends WebSocket {
    constructor(...where) {
      super(...where);
      globalThis.opened += 1;
    }
  };
}"""


async def let_time_pass(page: Page, most: int) -> None:
    """Turn the page's clock on until it opens another socket, and no further: an attempt has its time by
    the same clock, but not its network, which is as slow as the machine is busy. So is what tells of it from
    outside: the page itself counts.

    :arg most: seconds.
    """
    await page.evaluate(COUNT_SOCKETS)
    for _ in range(most):
        await page.clock.run_for(1000)
        if await page.evaluate("opened"):
            return
    pytest.fail(f"no other socket within {most} seconds")


def port(process: Process) -> int:
    return int(process.url.rsplit(":", 1)[1])


@pytest.mark.gen_test
async def test_offline_is_told_and_what_was_written_goes_out_afterwards(
    process: Process, people: People
) -> None:
    house = (await process.start()).house
    session = await house.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await visitor.say("before")
    await visitor.became("before", "read")

    await visitor.context.set_offline(True)
    await expect(visitor.standing).to_contain_text("You are offline")
    await expect(visitor.page.locator("#presence")).to_have_text("Not known right now")
    await visitor.say("from the tunnel")
    await counsellor.say("meanwhile")
    await visitor.became("from the tunnel", "sending")

    await visitor.context.set_offline(False)
    await expect(visitor.standing).to_contain_text("Connected again")
    await visitor.became("from the tunnel", "read")
    await visitor.shows("before", "meanwhile", "from the tunnel")
    await counsellor.shows("before", "meanwhile", "from the tunnel")
    await expect(visitor.standing).to_have_text("Try now")  # the button, which nobody sees
    await expect(visitor.standing.get_by_role("button")).to_be_hidden()


@pytest.mark.gen_test
async def test_cuts_in_the_middle_of_talking_lose_and_double_nothing(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(NO_SOCKET)
    house = (await process.start()).house
    session = await house.session()
    async with FaultyProxy(port(process)) as proxy:
        visitor = await people.room(proxy.url.replace("ws", "http"), VISITOR, session)
        counsellor = await people.room(process.url, COUNSELLOR, session)
        said = []
        for number in range(8):
            if number % 2:
                proxy.cut()
            await visitor.say(f"mine {number}")
            said.append(f"mine {number}")
        for number in range(8):
            await visitor.became(f"mine {number}", "read")
        await counsellor.shows(*said)
        await visitor.shows(*said)
        assert proxy.cuts


@pytest.mark.gen_test
async def test_an_acknowledgement_that_was_lost_doubles_nothing(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(NO_SOCKET)
    house = (await process.start()).house
    session = await house.session()
    async with FaultyProxy(port(process)) as proxy:
        visitor = await people.room(proxy.url.replace("ws", "http"), VISITOR, session)
        counsellor = await people.room(process.url, COUNSELLOR, session)
        await visitor.say("again")
        await visitor.became("again", "read")
        for link in proxy.links:
            link.limit_down = link.down + 1  # the first byte of the answer is the last that arrives
        await visitor.say("again")
        await counsellor.shows("again", "again")
        await expect(visitor.page.locator('.message[data-delivery="read"]')).to_have_count(2)
        await visitor.shows("again", "again")


@pytest.mark.gen_test
async def test_a_silent_connection_is_given_up_when_nothing_is_acknowledged(
    process: Process, people: People
) -> None:
    house = (await process.start()).house
    session = await house.session()
    async with FaultyProxy(port(process)) as proxy:
        url = proxy.url.replace("ws", "http")
        visitor = await people.room(url, VISITOR, session)
        await visitor.page.clock.install()
        await visitor.page.reload()
        await visitor.ready()
        proxy.stall()
        await visitor.say("into the void")
        await let_time_pass(visitor.page, 20)
        await visitor.became("into the void", "stored")
        await visitor.shows("into the void")
        await visitor.context.close()  # before the proxy goes, which the page would complain about


@pytest.mark.gen_test
async def test_a_silent_connection_is_found_out_by_who_only_listens(process: Process, people: People) -> None:
    house = (await process.start()).house
    session = await house.session()
    raw = await house.chat(COUNSELLOR, session, features="history")
    assert await raw.recv_json() is not None
    await raw.send_json({"history": 1})  # the sign of life that the page asks for
    while (frame := await raw.recv_json()) != {"history": [], "next": None}:
        assert "错误" not in frame.get("msg", "")
    async with FaultyProxy(port(process)) as proxy:
        visitor = await people.room(proxy.url.replace("ws", "http"), VISITOR, session)
        await visitor.page.clock.install()
        await visitor.page.reload()
        await visitor.ready()
        proxy.stall()
        await raw.send_json({"msg": "Are you there?"})
        await let_time_pass(visitor.page, 60)
        await visitor.shows("Are you there?")
        await expect(visitor.page.locator("#presence")).to_have_text("Here now")
        await visitor.context.close()


@pytest.mark.gen_test
async def test_a_restart_of_the_server_heals_by_itself(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(NO_SOCKET)
    house = (await process.start()).house
    session = await house.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await counsellor.say("before")
    await visitor.shows("before")

    await process.stop(signal.SIGKILL)
    await expect(visitor.standing).to_contain_text("onnect")
    await visitor.say("while it was away")
    await visitor.became("while it was away", "sending")
    await process.start()
    await visitor.became("while it was away", "read")
    for room in (visitor, counsellor):
        await room.shows("before", "while it was away")
    await expect(visitor.page.locator("#presence")).to_have_text("Here now")


@pytest.mark.gen_test
async def test_unsent_messages_survive_a_reload_in_their_order(process: Process, people: People) -> None:
    house = (await process.start()).house
    session = await house.session()
    visitor = await people.room(process.url, VISITOR, session)
    # The page as it is while no socket can be had, though pages can.
    await visitor.page.route_web_socket("**/chat?*", lambda socket: None)
    await visitor.page.reload()
    await expect(visitor.standing).to_contain_text("Connecting")
    await visitor.say("one")
    await visitor.say("two")
    await visitor.page.reload()
    await visitor.shows("one", "two")
    await visitor.became("two", "sending")
    url = visitor.page.url
    kept = await visitor.page.evaluate("JSON.stringify({...sessionStorage})")
    # Routes of sockets cannot be taken away again: the next page of the same tab is another one.
    page = await visitor.context.new_page()
    await page.goto(f"{process.url}/static/none")
    await page.evaluate("kept => Object.assign(sessionStorage, JSON.parse(kept))", kept)
    await page.goto(url)
    await expect(page.locator('.message[data-delivery="stored"]')).to_have_count(2)
    await expect(page.locator(".message .text")).to_have_text(["one", "two"])
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await counsellor.shows("one", "two")
