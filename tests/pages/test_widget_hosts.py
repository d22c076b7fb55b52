"""The widget and the host's page: tokens and identities, allowed origins, and isolation from each other."""

import json
from typing import Any

import pytest
from playwright.async_api import Page, Request, expect

from tests.conftest import token
from tests.pages.conftest import Process
from tests.pages.sites import UNSERVED, Visitors, Widget, next_user, send_text, site, visitors

__all__ = ["site", "visitors"]

LIN, ADA = token("user", 1, "Lin"), token("user", 2, "Ada")


async def read_storages(widget: Widget) -> str:
    """Return the storages and cookies of the page and the frame as text."""
    read = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    return "".join([await frame.evaluate(read) for frame in widget.page.frames])


def collect_info_messages(page: Page) -> list[str]:
    """Return a list that gets the info messages on the page's console from now on."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "info" else None)
    return found


@pytest.mark.gen_test
async def test_host_token_is_in_no_url_and_no_storage(visitors: Visitors) -> None:
    visitors.site.attributes = f'data-token="{LIN}"'
    await visitors.serve("auth.guests=off")
    widget = await visitors.visit()
    requests: list[Request] = []
    widget.page.on("request", lambda request: requests.append(request))
    sockets: list[str] = []
    widget.page.on("websocket", lambda socket: sockets.append(socket.url))
    await widget.start()
    waiter = await visitors.waiter()
    came = (await waiter.until("new_connection"))["payload"]
    assert (came["id"], came["name"]) == ("1", "Lin")
    await send_text(waiter, "Hello Lin", came["uuid"])
    await widget.expect_messages("Hello Lin")
    assert sockets
    assert all(LIN not in each for each in [*(request.url for request in requests), *sockets])
    stored_text = await read_storages(widget)
    assert LIN not in stored_text
    assert "Hello" not in stored_text


@pytest.mark.gen_test
async def test_new_identity_sees_nothing_of_the_previous_one(visitors: Visitors) -> None:
    visitors.site.script = f"""
        window.who = {json.dumps(LIN)};
        (window.TornadoChat = []).push((chat) => chat.setToken(async () => window.who));
    """
    await visitors.serve()
    widget = await (await visitors.visit()).start()
    waiter = await visitors.waiter()
    lin = await next_user(waiter)
    await send_text(waiter, "For Lin only", lin)
    await widget.expect_messages("For Lin only")
    await widget.composer.fill("a draft of Lin's")

    renewed = token("user", 1, "Lin", lifetime=7200)
    await widget.page.evaluate("text => TornadoChat.setToken(text)", renewed)
    await widget.expect_messages("For Lin only")
    await expect(widget.composer).to_have_value("a draft of Lin's")

    await widget.page.evaluate("text => TornadoChat.setToken(text)", ADA)
    start = widget.inside.get_by_role("button", name="Start a conversation")
    await expect(start).to_be_visible()
    await expect(widget.inside.get_by_text("For Lin only")).to_have_count(0)
    await start.click()
    ada = await next_user(waiter)
    await expect(widget.heading).to_have_text("Bob")
    await expect(widget.composer).to_have_value("")
    await widget.expect_messages()
    await widget.send("I am Ada")
    assert (await waiter.until("message_text"))["from"] == ada

    await widget.page.evaluate("text => TornadoChat.setToken(text)", LIN)
    await widget.expect_messages("For Lin only")
    await expect(widget.composer).to_have_value("a draft of Lin's")

    # Another person signs in at the host while the connection is down: the host's next token is theirs.
    await widget.page.evaluate("TornadoChat.setToken(async () => window.who)")
    await widget.expect_messages("For Lin only")
    await widget.page.evaluate("text => { window.who = text }", ADA)
    await widget.page.context.set_offline(True)
    await expect(widget.inside.get_by_text("You are offline")).to_be_visible()
    await widget.page.context.set_offline(False)
    await widget.expect_messages("I am Ada")

    await widget.page.evaluate("TornadoChat.signOut()")
    await expect(start).to_be_visible()
    await expect(widget.inside.get_by_text("I am Ada")).to_have_count(0)
    stored_text = await read_storages(widget)
    assert "draft" not in stored_text
    assert "user:" not in stored_text


@pytest.mark.gen_test
async def test_guest_gets_a_new_identity_after_signing_out(visitors: Visitors) -> None:
    await visitors.serve()
    widget = await (await visitors.visit()).start()
    waiter = await visitors.waiter()
    first = (await waiter.until("new_connection"))["payload"]["id"]
    await widget.page.goto(f"{visitors.site.url}/next")
    await expect(widget.heading).to_have_text("Bob")  # the same guest
    await widget.end()
    await widget.page.reload()
    await widget.new_conversation.click()
    assert (await waiter.until("new_connection"))["payload"]["id"] == first
    await widget.end()
    await widget.close()
    # The page navigates away at once, before the frame can receive the message.
    await widget.page.evaluate("TornadoChat.signOut(); location.href = '/gone'")
    await widget.page.wait_for_url("**/gone")
    await widget.start()
    assert (await waiter.until("new_connection"))["payload"]["id"] != first


@pytest.mark.gen_test
async def test_launcher_is_hidden_without_guests_until_sign_in(visitors: Visitors) -> None:
    visitors.site.script = "document.addEventListener('DOMContentLoaded', () => { window.ready = true })"
    await visitors.serve("auth.guests=off")
    widget = await visitors.visit("/")
    notes = collect_info_messages(widget.page)
    await widget.page.reload()
    await widget.page.wait_for_function("window.TornadoChat")
    await expect(widget.launcher).to_be_hidden()
    await widget.page.evaluate("TornadoChat.open()")
    await expect(widget.panel).to_be_hidden()
    assert len(notes) == 1
    assert "[auth] guests is off" in notes[0]
    await widget.page.evaluate("text => TornadoChat.setToken(text)", LIN)
    await widget.start()
    await expect(widget.position).to_have_text(UNSERVED)
    await widget.page.evaluate("TornadoChat.signOut()")
    await expect(widget.launcher).to_be_hidden()
    await expect(widget.panel).to_be_hidden()


@pytest.mark.gen_test
async def test_refused_tokens_are_explained(visitors: Visitors) -> None:
    visitors.site.attributes = f'data-token="{token("user", 1, lifetime=-60)}"'
    await visitors.serve()
    widget = await visitors.visit()
    await widget.open()
    await expect(
        widget.inside.get_by_role("heading", level=2, name="Your sign-in has expired")
    ).to_be_visible()
    await widget.page.evaluate("text => TornadoChat.setToken(text)", token("waiter", 1))
    await expect(
        widget.inside.get_by_role("heading", level=2, name="no chat for this account")
    ).to_be_visible()
    await widget.page.evaluate("TornadoChat.setToken(() => Promise.reject(new Error('down')))")
    await expect(
        widget.inside.get_by_role("heading", level=2, name="The chat cannot be reached")
    ).to_be_visible()
    await widget.page.evaluate("text => { TornadoChat.setToken(async () => text) }", LIN)
    await expect(widget.inside.get_by_role("button", name="Start a conversation")).to_be_visible()
    await widget.page.evaluate("TornadoChat.setToken(async () => null)")  # null: no user is signed in
    await widget.inside.get_by_role("button", name="Start a conversation").click()
    waiter = await visitors.waiter()
    assert (await waiter.until("new_connection"))["payload"]["id"].startswith("guest-")


@pytest.mark.gen_test
async def test_foreign_origin_cannot_embed_the_widget(
    visitors: Visitors, expected_complaints: list[str]
) -> None:
    await visitors.serve("web.origins=https://shop.example")
    widget = await visitors.visit()
    notes = collect_info_messages(widget.page)
    await widget.page.reload()
    await widget.page.wait_for_function("window.TornadoChat")
    await expect(widget.launcher).to_be_hidden()
    assert notes == [f"TornadoChat: {visitors.site.url} is not in [web] origins of {visitors.site.chat}"]
    # A script of the page cannot embed the frame either: the browser blocks it.
    expected_complaints.append("frame-ancestors|chrome-error|ERR_BLOCKED_BY_RESPONSE")
    await widget.page.evaluate(
        """chat => new Promise(done => {
            const frame = document.createElement('iframe');
            frame.onload = done;
            frame.src = `${chat}/widget#origin=${location.origin}`;
            document.body.append(frame);
        })""",
        visitors.site.chat,
    )
    assert all("/widget" not in frame.url for frame in widget.page.frames)


@pytest.mark.gen_test
async def test_messages_of_other_windows_and_origins_are_ignored(visitors: Visitors) -> None:
    visitors.site.attributes = f'data-token="{LIN}"'
    visitors.site.policy += "; child-src 'self' {chat}"
    await visitors.serve()
    widget = await (await visitors.visit()).start()
    await expect(widget.position).to_have_text(UNSERVED)
    # Messages of the page's own scripts have the page's origin.
    await widget.page.evaluate("postMessage({chat: 'state', going: true, unread: 9}, '*')")
    await widget.page.evaluate("postMessage({chat: 'token', number: 1}, '*')")
    frame = next(frame for frame in widget.page.frames if "/widget" in frame.url)
    # In the frame: the right origin but the wrong window, and the wrong origin.
    await frame.evaluate("postMessage({chat: 'identity', signedIn: false, forget: true}, '*')")
    await frame.evaluate(
        """() => dispatchEvent(new MessageEvent('message', {
            origin: 'https://evil.example', source: parent, data: {chat: 'identity', signedIn: false},
        }))"""
    )
    await widget.page.evaluate("new Promise(requestAnimationFrame)")
    await expect(widget.position).to_have_text(UNSERVED)
    await expect(widget.badge).to_be_hidden()
    # A page that claims another origin receives no message.
    received: list[Any] = []
    await widget.page.expose_function("receive", lambda data: received.append(data))
    await widget.page.evaluate(
        """chat => new Promise(done => {
            addEventListener('message', (sent) => sent.source === frame.contentWindow && receive(sent.data));
            const frame = document.createElement('iframe');
            frame.onload = () => setTimeout(done, 300);
            frame.src = `${chat}/widget#origin=https://shop.example`;
            document.body.append(frame);
        })""",
        visitors.site.chat,
    )
    assert received == []


@pytest.mark.gen_test
async def test_hostile_style_sheet_does_not_affect_the_widget(visitors: Visitors) -> None:
    visitors.site.style = (
        "* { all: unset !important; display: none !important; font-size: 40px !important } "
        "html, body, main, h1 { display: block !important } html { font-size: 3px !important }"
    )
    visitors.site.attributes = 'data-position="left" data-color="#ffd400"'
    await visitors.serve()
    widget = await visitors.visit()
    box = await widget.launcher.bounding_box()
    assert box == {"x": 20, "y": 724, "width": 56, "height": 56}
    await widget.open()
    assert (await widget.page.locator("tornado-chat iframe").bounding_box() or {})["width"] == 400
    title = await widget.page.locator("h1").evaluate("h1 => getComputedStyle(h1).fontSize")
    assert title == "40px"  # the widget does not change the page either
    assert await widget.page.evaluate("Object.keys(window).filter(name => /tornado/i.test(name))") == [
        "TornadoChat"
    ]


@pytest.mark.gen_test
async def test_widget_works_without_browser_storage(visitors: Visitors) -> None:
    await visitors.serve()
    widget = await visitors.visit()
    await widget.page.context.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"]) {
            Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError") } });
        }"""
    )
    await widget.page.reload()
    await widget.start()
    await widget.send("one")
    await widget.expect_delivery("one", "stored")
    waiter = await visitors.waiter()
    user = await next_user(waiter)
    await widget.expect_delivery("one", "delivered")
    await send_text(waiter, "two", user)
    await widget.expect_messages("one", "two")
    await widget.close()
    await send_text(waiter, "three", user)
    await expect(widget.badge).to_have_text("1")
    await widget.open()
    await widget.expect_messages("one", "two", "three")


@pytest.mark.gen_test
async def test_guests_switched_off_after_the_page_was_loaded(
    visitors: Visitors, process: Process, expected_complaints: list[str]
) -> None:
    expected_complaints.append("403")
    await visitors.serve()
    widget = await visitors.visit()
    await widget.open()
    start = widget.inside.get_by_role("button", name="Start a conversation")
    await expect(start).to_be_visible()
    await process.stop()
    await visitors.serve("auth.guests=off")
    await start.click()
    await expect(
        widget.inside.get_by_role("heading", level=2, name="The chat is not available")
    ).to_be_visible()
