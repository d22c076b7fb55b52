"""A supervisor's desk when the network, or the server, is not there for a while."""

import signal

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.helpers.faults import FaultyProxy
from tests.pages.conftest import HOST, SUPERVISOR, People, Process
from tests.pages.supervising import desk, talking

NO_SOCKET = r"WebSocket connection to .* failed|Failed to load resource"  # a browser says so of each attempt


@pytest.mark.gen_test
async def test_what_was_said_and_called_meanwhile_is_there_afterwards(
    process: Process, people: People
) -> None:
    house = (await process.start()).house
    one = await talking(house)
    consultant = await house.chat(token("consultant", 2), one.record, type=1)
    supervisor = await desk(process, people)
    pane = await (await supervisor.open(one.number)).live()
    await one.say("before")
    await pane.hears("before")
    await supervisor.page.context.set_offline(True)
    await expect(supervisor.standing).to_contain_text("You are offline")
    await expect(pane.state).to_have_text("Interrupted")
    await expect(pane.record).to_contain_text("Not known right now")
    await one.say("meanwhile one", "meanwhile two")
    await consultant.send_json({"msg": "help me"})
    await pane.write("from the tunnel")
    body = {"role": "supervisor", "id": 3, "type": 0, "msg": "meanwhile"}
    await house.api("POST", "/api/v1/notifications", HOST, body)

    await supervisor.page.context.set_offline(False)
    await expect(supervisor.standing).to_contain_text("Connected again")
    await pane.live()
    await pane.hears("before", "meanwhile one", "meanwhile two")
    await pane.wrote("help me", "from the tunnel")
    await expect(supervisor.page.locator(".notice-title")).to_have_text(
        ["meanwhile", "Chen asks for supervision (visitor Lin)"]
    )
    while (await consultant.recv_json())["msg"] != "from the tunnel":
        pass


@pytest.mark.gen_test
async def test_cuts_and_a_second_window_lose_and_double_nothing(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(NO_SOCKET)
    house = (await process.start()).house
    one = await talking(house)
    async with FaultyProxy(int(process.url.rsplit(":", 1)[1])) as proxy:
        supervisor = await desk(process, people, url=proxy.url.replace("ws", "http"))
        second = await desk(process, people)
        pane = await (await supervisor.open(one.number)).live()
        there = await (await second.open(one.number)).live()
        said = [f"line {number}" for number in range(8)]
        for number, line in enumerate(said):
            if number % 3 == 1:
                proxy.cut()
            await one.say(line)
            # The other window has got it, so the socket will not bring it to this one any more.
            await there.hears(*said[: number + 1])
        await pane.hears(*said)
        await there.write("from there")
        await pane.wrote("from there")
        assert proxy.cuts


@pytest.mark.gen_test
async def test_a_restart_of_the_server_heals_by_itself(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(NO_SOCKET)
    house = (await process.start()).house
    one = await talking(house)
    supervisor = await desk(process, people)
    pane = await (await supervisor.open(one.number)).live()
    await one.say("before")
    await pane.hears("before")
    await process.stop(signal.SIGKILL)
    await expect(supervisor.standing).to_contain_text("onnect")
    await pane.write("while it was away")
    await process.start()
    again = await process.house.chat(token("user", 1), one.number, features="ack")
    await again.send_json({"msg": "after", "id": "after"})
    await pane.live()
    await pane.hears("before", "after")
    await pane.wrote("while it was away")
    await expect(pane.record.locator(".message")).to_have_attribute("data-delivery", "stored")
    await expect(supervisor.notices).to_have_count(1)


@pytest.mark.gen_test
async def test_a_token_that_ends_is_told(process: Process, people: People) -> None:
    await process.start()
    page = await people.page(f"{process.url}/supervise#token={SUPERVISOR[:-4]}AAAA")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your sign-in has expired")
