"""The widget during outages of the network and the server."""

import asyncio
import re
import signal

import pytest
from playwright.async_api import expect

from tests.helpers.faults import FaultyProxy
from tests.pages.sites import UNSERVED, Visitors, next_message_of, next_user, site, visitors
from tests.pages.test_room_network import SOCKET_FAILED, port

__all__ = ["site", "visitors"]


@pytest.mark.gen_test
async def test_cuts_neither_lose_nor_duplicate_messages(
    visitors: Visitors, expected_complaints: list[str]
) -> None:
    expected_complaints.append(SOCKET_FAILED)
    await visitors.serve()
    async with FaultyProxy(port(visitors.process)) as proxy:
        visitors.site.chat = proxy.url.replace("ws", "http")
        widget = await (await visitors.visit()).start()
        await widget.send("from the line")
        await widget.expect_delivery("from the line", "stored")
        proxy.cut()
        waiter = await visitors.waiter()
        user = await next_user(waiter)
        sent = ["from the line"]
        for number in range(6):
            if number % 2:
                proxy.cut()
            await widget.send(f"mine {number}")
            sent.append(f"mine {number}")
        await widget.expect_delivery("mine 5", "delivered")
        await widget.expect_messages(*sent)
        assert [(await next_message_of(waiter, user))["payload"]["message"] for _ in sent] == sent
        assert proxy.cuts

        # Ended offline: the conversation ends after reconnecting.
        await widget.page.context.set_offline(True)
        await widget.send("last words")
        await widget.inside.get_by_role("button", name="End the conversation").click()
        dialog = widget.inside.get_by_role("dialog")
        await dialog.get_by_role("button", name="End the conversation").click()
        status = widget.inside.locator("#connection-status")
        for _ in range(3):
            await expect(status).to_contain_text("ends as soon as")
            await asyncio.sleep(0.5)  # the status before was shown anew each second
        await widget.page.context.set_offline(False)
        assert (await next_message_of(waiter, user))["payload"]["message"] == "last words"
        await waiter.until("disconnected")
        await expect(widget.inside.get_by_text("The conversation has ended")).to_be_visible()
        await expect(widget.message("last words")).not_to_have_class(re.compile("refused"))
        await asyncio.sleep(1.1)
        await expect(status).to_have_text(re.compile("^(Try now)?$"))


@pytest.mark.gen_test
async def test_widget_recovers_from_a_server_restart(
    visitors: Visitors, expected_complaints: list[str]
) -> None:
    expected_complaints.append(SOCKET_FAILED)
    await visitors.serve()
    talking = await (await visitors.visit()).start()
    waiter = await visitors.waiter()
    user = await next_user(waiter)
    await waiter.send_frame("unready")
    waiting = await (await visitors.visit()).start()
    await expect(waiting.position).to_have_text(UNSERVED)
    await visitors.process.stop(signal.SIGKILL)
    await expect(talking.inside.locator("#connection-status")).to_contain_text("onnect")
    await talking.send("while it was away")
    await talking.expect_delivery("while it was away", "sending")
    await visitors.serve()
    waiter = await visitors.waiter()
    found = {(await waiter.until("new_connection"))["payload"]["uuid"] for _ in range(2)}
    assert user in found
    await talking.expect_delivery("while it was away", "delivered")
    await expect(waiting.heading).to_have_text("Bob")
    await talking.expect_messages("while it was away")


@pytest.mark.gen_test
async def test_unreachable_server_is_reported_and_tried_again(
    visitors: Visitors, expected_complaints: list[str]
) -> None:
    expected_complaints.append("ERR_CONNECTION_REFUSED|chrome-error")
    await visitors.serve()
    widget = await visitors.visit()
    await widget.page.wait_for_function("window.TornadoChat")
    await visitors.process.stop()
    await widget.page.clock.install()
    await widget.open()
    await widget.page.wait_for_load_state()
    await expect(widget.page.locator("tornado-chat iframe")).to_have_count(1)
    await widget.page.wait_for_timeout(200)
    await widget.page.clock.run_for(10_000)
    await expect(widget.panel).to_contain_text("The chat cannot be reached right now")
    await visitors.serve()
    await widget.launcher.click()
    await expect(widget.panel).to_be_hidden()
    await widget.start()
    await expect(widget.position).to_have_text(UNSERVED)


@pytest.mark.gen_test
async def test_guest_token_is_renewed_for_the_same_identity(
    visitors: Visitors, expected_complaints: list[str]
) -> None:
    expected_complaints.append(SOCKET_FAILED)  # the page gives up a connection that is silent for so long
    await visitors.serve("auth.guest_lifetime=120")
    widget = await visitors.visit()
    await widget.page.clock.install()
    await widget.start()
    waiter = await visitors.waiter()
    await next_user(waiter)
    await expect(widget.heading).to_have_text("Bob")
    read = "JSON.parse(localStorage['widget:guest'])"
    frame = next(frame for frame in widget.page.frames if "/widget" in frame.url)
    before = await frame.evaluate(read)
    async with widget.page.expect_response("**/api/v1/guest") as renewed:
        await widget.page.clock.run_for(70_000)
    assert (await renewed.value).status == 200
    after = await frame.evaluate(read)
    assert after["id"] == before["id"]
    assert after["expires"] > before["expires"]
    await widget.page.reload()
    await expect(widget.heading).to_have_text("Bob")
