"""``/room`` during outages of the network and the server."""

import signal

import pytest
from playwright.async_api import Page, expect

from tests.helpers.faults import FaultyProxy
from tests.pages.conftest import COUNSELLOR, VISITOR, People, Process

SOCKET_FAILED = r"WebSocket connection to .* failed"  # the browser logs each failed attempt


COUNT_SOCKETS = """() => {
  globalThis.openedSockets = 0;
  globalThis.WebSocket = class extends WebSocket {
    constructor(...where) {
      super(...where);
      globalThis.openedSockets += 1;
    }
  };
}"""


async def run_clock_until_new_socket(page: Page, max_seconds: int) -> None:
    """Advance the page's clock until the page opens another socket, and no further.

    The timeout of the new attempt runs on the same clock, but the network does not: it is as slow as the
    machine is busy. Events outside of the page are as late, so the page itself counts its sockets.

    :arg max_seconds: the limit, on the page's clock.
    """
    await page.evaluate(COUNT_SOCKETS)
    for _ in range(max_seconds):
        await page.clock.run_for(1000)
        if await page.evaluate("openedSockets"):
            return
    pytest.fail(f"no other socket within {max_seconds} seconds")


def port(process: Process) -> int:
    return int(process.url.rsplit(":", 1)[1])


@pytest.mark.gen_test
async def test_offline_is_shown_and_messages_are_sent_after_reconnecting(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await visitor.send("before")
    await visitor.expect_delivery("before", "read")

    await visitor.context.set_offline(True)
    await expect(visitor.connection_status).to_contain_text("You are offline")
    await expect(visitor.page.locator("#presence")).to_have_text("Not known right now")
    await visitor.send("from the tunnel")
    await counsellor.send("meanwhile")
    await visitor.expect_delivery("from the tunnel", "sending")

    await visitor.context.set_offline(False)
    await expect(visitor.connection_status).to_contain_text("Connected again")
    await visitor.expect_delivery("from the tunnel", "read")
    await visitor.expect_messages("before", "meanwhile", "from the tunnel")
    await counsellor.expect_messages("before", "meanwhile", "from the tunnel")
    await expect(visitor.connection_status).to_have_text("Try now")  # only the hidden button is left
    await expect(visitor.connection_status.get_by_role("button")).to_be_hidden()


@pytest.mark.gen_test
async def test_cuts_neither_lose_nor_duplicate_messages(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(SOCKET_FAILED)
    harness = (await process.start()).harness
    session = await harness.session()
    async with FaultyProxy(port(process)) as proxy:
        visitor = await people.room(proxy.url.replace("ws", "http"), VISITOR, session)
        counsellor = await people.room(process.url, COUNSELLOR, session)
        sent = []
        for number in range(8):
            if number % 2:
                proxy.cut()
            await visitor.send(f"mine {number}")
            sent.append(f"mine {number}")
        for number in range(8):
            await visitor.expect_delivery(f"mine {number}", "read")
        await counsellor.expect_messages(*sent)
        await visitor.expect_messages(*sent)
        assert proxy.cuts


@pytest.mark.gen_test
async def test_lost_acknowledgement_duplicates_no_message(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(SOCKET_FAILED)
    harness = (await process.start()).harness
    session = await harness.session()
    async with FaultyProxy(port(process)) as proxy:
        visitor = await people.room(proxy.url.replace("ws", "http"), VISITOR, session)
        counsellor = await people.room(process.url, COUNSELLOR, session)
        await visitor.send("again")
        await visitor.expect_delivery("again", "read")
        for link in proxy.links:
            link.limit_down = link.down + 1  # the answer is cut after its first byte
        await visitor.send("again")
        await counsellor.expect_messages("again", "again")
        await expect(visitor.page.locator('.message[data-delivery="read"]')).to_have_count(2)
        await visitor.expect_messages("again", "again")


@pytest.mark.gen_test
async def test_silent_connection_is_replaced_when_a_message_is_not_acknowledged(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    async with FaultyProxy(port(process)) as proxy:
        url = proxy.url.replace("ws", "http")
        visitor = await people.room(url, VISITOR, session)
        await visitor.page.clock.install()
        await visitor.page.reload()
        await visitor.wait_ready()
        proxy.stall()
        await visitor.send("into the void")
        await run_clock_until_new_socket(visitor.page, 20)
        await visitor.expect_delivery("into the void", "stored")
        await visitor.expect_messages("into the void")
        await visitor.context.close()  # before the proxy closes, which would log an error in the page


@pytest.mark.gen_test
async def test_silent_connection_is_replaced_when_the_page_only_receives(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    raw = await harness.chat(COUNSELLOR, session, features="history")
    assert await raw.recv_json() is not None
    await raw.send_json({"history": 1})  # the frame that the page sends as a keep-alive request
    while (frame := await raw.recv_json()) != {"history": [], "next": None}:
        assert "错误" not in frame.get("msg", "")
    async with FaultyProxy(port(process)) as proxy:
        visitor = await people.room(proxy.url.replace("ws", "http"), VISITOR, session)
        await visitor.page.clock.install()
        await visitor.page.reload()
        await visitor.wait_ready()
        proxy.stall()
        await raw.send_json({"msg": "Are you there?"})
        await run_clock_until_new_socket(visitor.page, 60)
        await visitor.expect_messages("Are you there?")
        await expect(visitor.page.locator("#presence")).to_have_text("Here now")
        await visitor.context.close()


@pytest.mark.gen_test
async def test_page_recovers_from_a_server_restart(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(SOCKET_FAILED)
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await counsellor.send("before")
    await visitor.expect_messages("before")

    await process.stop(signal.SIGKILL)
    await expect(visitor.connection_status).to_contain_text("onnect")
    await visitor.send("while it was away")
    await visitor.expect_delivery("while it was away", "sending")
    await process.start()
    await visitor.expect_delivery("while it was away", "read")
    for room in (visitor, counsellor):
        await room.expect_messages("before", "while it was away")
    await expect(visitor.page.locator("#presence")).to_have_text("Here now")


@pytest.mark.gen_test
async def test_unsent_messages_survive_a_reload_in_order(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    # Sockets do not open, while pages are served.
    await visitor.page.route_web_socket("**/chat?*", lambda socket: None)
    await visitor.page.reload()
    await expect(visitor.connection_status).to_contain_text("Connecting")
    await visitor.send("one")
    await visitor.send("two")
    await visitor.page.reload()
    await visitor.expect_messages("one", "two")
    await visitor.expect_delivery("two", "sending")
    url = visitor.page.url
    stored_text = await visitor.page.evaluate("JSON.stringify({...sessionStorage})")
    # A WebSocket route cannot be removed, so the session storage moves to a new page of the same browser.
    page = await visitor.context.new_page()
    await page.goto(f"{process.url}/static/none")
    await page.evaluate("stored => Object.assign(sessionStorage, JSON.parse(stored))", stored_text)
    await page.goto(url)
    await expect(page.locator('.message[data-delivery="stored"]')).to_have_count(2)
    await expect(page.locator(".message .text")).to_have_text(["one", "two"])
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await counsellor.expect_messages("one", "two")
