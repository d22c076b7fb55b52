"""The chat in the corner when the network, or the server, is not there for a while."""

import signal

import pytest
from playwright.async_api import expect

from tests.helpers.faults import FaultyProxy
from tests.pages.sites import Visitors, heard, site, took, visitors
from tests.pages.test_room_network import NO_SOCKET, port

__all__ = ["site", "visitors"]


@pytest.mark.gen_test
async def test_cuts_lose_and_double_nothing(visitors: Visitors, expected_complaints: list[str]) -> None:
    expected_complaints.append(NO_SOCKET)
    await visitors.serve()
    async with FaultyProxy(port(visitors.process)) as proxy:
        visitors.site.chat = proxy.url.replace("ws", "http")
        corner = await (await visitors.visit()).start()
        await corner.say("from the line")
        await corner.became("from the line", "held")
        proxy.cut()
        waiter = await visitors.waiter()
        user = await took(waiter)
        said = ["from the line"]
        for number in range(6):
            if number % 2:
                proxy.cut()
            await corner.say(f"mine {number}")
            said.append(f"mine {number}")
        await corner.became("mine 5", "stored")
        await corner.shows(*said)
        assert [(await heard(waiter, user))["payload"]["message"] for _ in said] == said
        assert proxy.cuts

        # Ended without a network: it ends as soon as it can.
        await corner.inside.get_by_role("button", name="End the conversation").click()
        dialog = corner.inside.get_by_role("dialog")
        await corner.page.context.set_offline(True)
        await dialog.get_by_role("button", name="End the conversation").click()
        await expect(corner.inside.get_by_text("ends as soon as")).to_be_visible()
        await corner.page.context.set_offline(False)
        await waiter.until("disconnected")
        await expect(corner.inside.get_by_text("The conversation has ended")).to_be_visible()


@pytest.mark.gen_test
async def test_a_restart_of_the_server_heals_by_itself(
    visitors: Visitors, expected_complaints: list[str]
) -> None:
    expected_complaints.append(NO_SOCKET)
    await visitors.serve()
    talking = await (await visitors.visit()).start()
    waiter = await visitors.waiter()
    user = await took(waiter)
    await waiter.send_frame("unready")
    waiting = await (await visitors.visit()).start()
    await expect(waiting.place).to_have_text("You are next")
    await visitors.process.stop(signal.SIGKILL)
    await expect(talking.inside.locator("#connection-status")).to_contain_text("onnect")
    await talking.say("while it was away")
    await talking.became("while it was away", "sending")
    await visitors.serve()
    waiter = await visitors.waiter()
    found = {(await waiter.until("new_connection"))["payload"]["uuid"] for _ in range(2)}
    assert user in found
    await talking.became("while it was away", "stored")
    await expect(waiting.heading).to_have_text("Bob")
    await talking.shows("while it was away")


@pytest.mark.gen_test
async def test_a_chat_that_does_not_answer_says_so_and_is_tried_again(
    visitors: Visitors, expected_complaints: list[str]
) -> None:
    expected_complaints.append("ERR_CONNECTION_REFUSED|chrome-error")
    await visitors.serve()
    corner = await visitors.visit()
    await corner.page.wait_for_function("window.TornadoChat")
    await visitors.process.stop()
    await corner.page.clock.install()
    await corner.open()
    await corner.page.wait_for_load_state()
    await expect(corner.page.locator("tornado-chat iframe")).to_have_count(1)
    await corner.page.wait_for_timeout(200)
    await corner.page.clock.run_for(10_000)
    await expect(corner.panel).to_contain_text("The chat cannot be reached right now")
    await visitors.serve()
    await corner.launcher.click()
    await expect(corner.panel).to_be_hidden()
    await corner.start()
    await expect(corner.place).to_have_text("You are next")


@pytest.mark.gen_test
async def test_a_guest_stays_the_same_for_longer_than_a_token_lasts(
    visitors: Visitors, expected_complaints: list[str]
) -> None:
    expected_complaints.append(NO_SOCKET)  # so long a silence is given up
    await visitors.serve("auth.guest_lifetime=120")
    corner = await visitors.visit()
    await corner.page.clock.install()
    await corner.start()
    waiter = await visitors.waiter()
    await took(waiter)
    await expect(corner.heading).to_have_text("Bob")
    read = "JSON.parse(localStorage['widget:guest'])"
    frame = next(frame for frame in corner.page.frames if "/widget" in frame.url)
    before = await frame.evaluate(read)
    async with corner.page.expect_response("**/api/v1/guest") as renewed:
        await corner.page.clock.run_for(70_000)
    assert (await renewed.value).status == 200
    after = await frame.evaluate(read)
    assert after["id"] == before["id"]
    assert after["expires"] > before["expires"]
    await corner.page.reload()
    await expect(corner.heading).to_have_text("Bob")
