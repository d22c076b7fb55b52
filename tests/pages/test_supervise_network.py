"""``/supervise`` during outages of the network and the server."""

import signal

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.helpers.faults import FaultyProxy
from tests.pages.conftest import HOST, SUPERVISOR, People, Process
from tests.pages.supervising import open_desk, start_session

# The browser logs each failed attempt.
CONNECTION_FAILED = r"WebSocket connection to .* failed|Failed to load resource"


@pytest.mark.gen_test
async def test_messages_and_notifications_of_an_outage_arrive_after_reconnecting(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    one = await start_session(harness)
    consultant = await harness.chat(token("consultant", 2), one.record, type=1)
    supervisor = await open_desk(process, people)
    pane = await (await supervisor.open(one.number)).wait_live()
    await one.send("before")
    await pane.expect_transcript("before")
    await supervisor.page.context.set_offline(True)
    await expect(supervisor.connection_status).to_contain_text("You are offline")
    await expect(pane.state).to_have_text("Interrupted")
    await expect(pane.record).to_contain_text("Not known right now")
    await one.send("meanwhile one", "meanwhile two")
    await consultant.send_json({"msg": "help me"})
    await pane.write("from the tunnel")
    body = {"role": "supervisor", "id": 3, "type": 0, "msg": "meanwhile"}
    await harness.api("POST", "/api/v1/notifications", HOST, body)

    await supervisor.page.context.set_offline(False)
    await expect(supervisor.connection_status).to_contain_text("Connected again")
    await pane.wait_live()
    await pane.expect_transcript("before", "meanwhile one", "meanwhile two")
    await pane.expect_record("help me", "from the tunnel")
    await expect(supervisor.page.locator(".notice-title")).to_have_text(
        ["meanwhile", "Chen asks for supervision (visitor Lin)"]
    )
    while (await consultant.recv_json())["msg"] != "from the tunnel":
        pass


@pytest.mark.gen_test
async def test_cuts_and_a_second_window_neither_lose_nor_duplicate_messages(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(CONNECTION_FAILED)
    harness = (await process.start()).harness
    one = await start_session(harness)
    async with FaultyProxy(int(process.url.rsplit(":", 1)[1])) as proxy:
        supervisor = await open_desk(process, people, url=proxy.url.replace("ws", "http"))
        second = await open_desk(process, people)
        pane = await (await supervisor.open(one.number)).wait_live()
        second_pane = await (await second.open(one.number)).wait_live()
        lines = [f"line {number}" for number in range(8)]
        for number, line in enumerate(lines):
            if number % 3 == 1:
                proxy.cut()
            await one.send(line)
            # The second window has received the line, so the cut socket will not receive it any more.
            await second_pane.expect_transcript(*lines[: number + 1])
        await pane.expect_transcript(*lines)
        await second_pane.write("from the second window")
        await pane.expect_record("from the second window")
        assert proxy.cuts


@pytest.mark.gen_test
async def test_page_recovers_from_a_server_restart(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(CONNECTION_FAILED)
    harness = (await process.start()).harness
    one = await start_session(harness)
    supervisor = await open_desk(process, people)
    pane = await (await supervisor.open(one.number)).wait_live()
    await one.send("before")
    await pane.expect_transcript("before")
    await process.stop(signal.SIGKILL)
    await expect(supervisor.connection_status).to_contain_text("onnect")
    await pane.write("while it was away")
    await process.start()
    again = await process.harness.chat(token("user", 1), one.number, features="ack")
    await again.send_json({"msg": "after", "id": "after"})
    await pane.wait_live()
    await pane.expect_transcript("before", "after")
    await pane.expect_record("while it was away")
    await expect(pane.record.locator(".message")).to_have_attribute("data-delivery", "stored")
    await expect(supervisor.notices).to_have_count(1)


@pytest.mark.gen_test
async def test_invalid_token_is_reported(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("401")
    await process.start()
    page = await people.page(f"{process.url}/supervise#token={SUPERVISOR[:-4]}AAAA")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your sign-in has expired")
