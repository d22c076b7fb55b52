"""The chat and the page around it: who is signed in there, whose page it may be, what each leaves the other."""

import json
from typing import Any

import pytest
from playwright.async_api import Page, Request, expect

from tests.conftest import token
from tests.pages.conftest import Process
from tests.pages.sites import Corner, Visitors, site, told, took, visitors

__all__ = ["site", "visitors"]

LIN, ADA = token("user", 1, "Lin"), token("user", 2, "Ada")


async def storages(corner: Corner) -> str:
    """Everything that the browser keeps, for the page and for the frame."""
    read = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    return "".join([await frame.evaluate(read) for frame in corner.page.frames])


def info(page: Page) -> list[str]:
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "info" else None)
    return found


@pytest.mark.gen_test
async def test_a_token_of_the_host_is_in_no_address_and_in_no_storage(visitors: Visitors) -> None:
    visitors.site.attributes = f'data-token="{LIN}"'
    await visitors.serve("auth.guests=off")
    corner = await visitors.visit()
    asked: list[Request] = []
    corner.page.on("request", lambda request: asked.append(request))
    sockets: list[str] = []
    corner.page.on("websocket", lambda socket: sockets.append(socket.url))
    await corner.start()
    waiter = await visitors.waiter()
    came = (await waiter.until("new_connection"))["payload"]
    assert (came["id"], came["name"]) == (1, "Lin")
    await told(waiter, "Hello Lin", came["uuid"])
    await corner.shows("Hello Lin")
    assert sockets
    assert all(LIN not in each for each in [*(request.url for request in asked), *sockets])
    kept = await storages(corner)
    assert LIN not in kept
    assert "Hello" not in kept


@pytest.mark.gen_test
async def test_another_identity_sees_nothing_of_the_former(visitors: Visitors) -> None:
    visitors.site.script = f"""
        window.who = {json.dumps(LIN)};
        (window.TornadoChat = []).push((chat) => chat.setToken(async () => window.who));
    """
    await visitors.serve()
    corner = await (await visitors.visit()).start()
    waiter = await visitors.waiter()
    lin = await took(waiter)
    await told(waiter, "For Lin only", lin)
    await corner.shows("For Lin only")
    await corner.composer.fill("a draft of Lin's")

    renewed = token("user", 1, "Lin", lifetime=7200)
    await corner.page.evaluate("text => TornadoChat.setToken(text)", renewed)
    await corner.shows("For Lin only")
    await expect(corner.composer).to_have_value("a draft of Lin's")

    await corner.page.evaluate("text => TornadoChat.setToken(text)", ADA)
    start = corner.inside.get_by_role("button", name="Start a conversation")
    await expect(start).to_be_visible()
    await expect(corner.inside.get_by_text("For Lin only")).to_have_count(0)
    await start.click()
    ada = await took(waiter)
    await expect(corner.heading).to_have_text("Bob")
    await expect(corner.composer).to_have_value("")
    await corner.shows()
    await corner.say("I am Ada")
    assert (await waiter.until("message_text"))["from"] == ada

    await corner.page.evaluate("text => TornadoChat.setToken(text)", LIN)
    await corner.shows("For Lin only")
    await expect(corner.composer).to_have_value("a draft of Lin's")

    # The host asks somebody else to sign in while the connection is down: its answer is another person's.
    await corner.page.evaluate("TornadoChat.setToken(async () => window.who)")
    await corner.shows("For Lin only")
    await corner.page.evaluate("text => { window.who = text }", ADA)
    await corner.page.context.set_offline(True)
    await expect(corner.inside.get_by_text("You are offline")).to_be_visible()
    await corner.page.context.set_offline(False)
    await corner.shows("I am Ada")

    await corner.page.evaluate("TornadoChat.signOut()")
    await expect(start).to_be_visible()
    await expect(corner.inside.get_by_text("I am Ada")).to_have_count(0)
    kept = await storages(corner)
    assert "draft" not in kept
    assert "user:" not in kept


@pytest.mark.gen_test
async def test_a_guest_who_signs_out_is_somebody_else_next_time(visitors: Visitors) -> None:
    await visitors.serve()
    corner = await (await visitors.visit()).start()
    waiter = await visitors.waiter()
    first = (await waiter.until("new_connection"))["payload"]["id"]
    await corner.page.goto(f"{visitors.site.url}/next")
    await expect(corner.heading).to_have_text("Bob")  # the same guest
    await corner.end()
    await corner.page.reload()
    await corner.again.click()
    assert (await waiter.until("new_connection"))["payload"]["id"] == first
    await corner.end()
    await corner.close()
    # The page is left in the same moment, when the frame cannot have heard of it.
    await corner.page.evaluate("TornadoChat.signOut(); location.href = '/gone'")
    await corner.page.wait_for_url("**/gone")
    await corner.start()
    assert (await waiter.until("new_connection"))["payload"]["id"] != first


@pytest.mark.gen_test
async def test_without_guests_it_waits_for_somebody_to_sign_in(visitors: Visitors) -> None:
    visitors.site.script = "document.addEventListener('DOMContentLoaded', () => { window.ready = true })"
    await visitors.serve("auth.guests=off")
    corner = await visitors.visit("/")
    notes = info(corner.page)
    await corner.page.reload()
    await corner.page.wait_for_function("window.TornadoChat")
    await expect(corner.launcher).to_be_hidden()
    await corner.page.evaluate("TornadoChat.open()")
    await expect(corner.panel).to_be_hidden()
    assert len(notes) == 1
    assert "[auth] guests is off" in notes[0]
    await corner.page.evaluate("text => TornadoChat.setToken(text)", LIN)
    await corner.start()
    await expect(corner.place).to_have_text("You are next")
    await corner.page.evaluate("TornadoChat.signOut()")
    await expect(corner.launcher).to_be_hidden()
    await expect(corner.panel).to_be_hidden()


@pytest.mark.gen_test
async def test_tokens_that_are_not_good_are_explained(visitors: Visitors) -> None:
    visitors.site.attributes = f'data-token="{token("user", 1, lifetime=-60)}"'
    await visitors.serve()
    corner = await visitors.visit()
    await corner.open()
    await expect(
        corner.inside.get_by_role("heading", level=2, name="Your sign-in has expired")
    ).to_be_visible()
    await corner.page.evaluate("text => TornadoChat.setToken(text)", token("waiter", 1))
    await expect(
        corner.inside.get_by_role("heading", level=2, name="no chat for this account")
    ).to_be_visible()
    await corner.page.evaluate("TornadoChat.setToken(() => Promise.reject(new Error('down')))")
    await expect(
        corner.inside.get_by_role("heading", level=2, name="The chat cannot be reached")
    ).to_be_visible()
    await corner.page.evaluate("text => { TornadoChat.setToken(async () => text) }", LIN)
    await expect(corner.inside.get_by_role("button", name="Start a conversation")).to_be_visible()
    await corner.page.evaluate("TornadoChat.setToken(async () => null)")  # signed out, as a function says it
    await corner.inside.get_by_role("button", name="Start a conversation").click()
    waiter = await visitors.waiter()
    assert (await waiter.until("new_connection"))["payload"]["id"].startswith("guest-")


@pytest.mark.gen_test
async def test_the_page_of_another_origin_has_no_chat(
    visitors: Visitors, expected_complaints: list[str]
) -> None:
    await visitors.serve("web.origins=https://shop.example")
    corner = await visitors.visit()
    notes = info(corner.page)
    await corner.page.reload()
    await corner.page.wait_for_function("window.TornadoChat")
    await expect(corner.launcher).to_be_hidden()
    assert notes == [f"TornadoChat: {visitors.site.url} is not in [web] origins of {visitors.site.chat}"]
    # Nor does the browser let it have the frame, whatever its script says.
    expected_complaints.append("frame-ancestors|chrome-error|ERR_BLOCKED_BY_RESPONSE")
    await corner.page.evaluate(
        """chat => new Promise(done => {
            const frame = document.createElement('iframe');
            frame.onload = done;
            frame.src = `${chat}/widget#origin=${location.origin}`;
            document.body.append(frame);
        })""",
        visitors.site.chat,
    )
    assert all("/widget" not in frame.url for frame in corner.page.frames)


@pytest.mark.gen_test
async def test_neither_side_listens_to_anybody_else(visitors: Visitors) -> None:
    visitors.site.attributes = f'data-token="{LIN}"'
    visitors.site.policy += "; child-src 'self' {chat}"
    await visitors.serve()
    corner = await (await visitors.visit()).start()
    await expect(corner.place).to_have_text("You are next")
    # The page's own scripts speak with the page's origin, not with the chat's.
    await corner.page.evaluate("postMessage({chat: 'state', going: true, unread: 9}, '*')")
    await corner.page.evaluate("postMessage({chat: 'token', number: 1}, '*')")
    frame = next(frame for frame in corner.page.frames if "/widget" in frame.url)
    # In the frame: the right origin of the wrong window, and the wrong origin.
    await frame.evaluate("postMessage({chat: 'identity', signedIn: false, forget: true}, '*')")
    await frame.evaluate(
        """() => dispatchEvent(new MessageEvent('message', {
            origin: 'https://evil.example', source: parent, data: {chat: 'identity', signedIn: false},
        }))"""
    )
    await corner.page.evaluate("new Promise(requestAnimationFrame)")
    await expect(corner.place).to_have_text("You are next")
    await expect(corner.badge).to_be_hidden()
    # A page that claims to be another one hears nothing.
    heard: list[Any] = []
    await corner.page.expose_function("hear", lambda data: heard.append(data))
    await corner.page.evaluate(
        """chat => new Promise(done => {
            addEventListener('message', (event) => event.source === frame.contentWindow && hear(event.data));
            const frame = document.createElement('iframe');
            frame.onload = () => setTimeout(done, 300);
            frame.src = `${chat}/widget#origin=https://shop.example`;
            document.body.append(frame);
        })""",
        visitors.site.chat,
    )
    assert heard == []


@pytest.mark.gen_test
async def test_a_page_with_the_rudest_style_sheet_breaks_nothing(visitors: Visitors) -> None:
    visitors.site.style = (
        "* { all: unset !important; display: none !important; font-size: 40px !important } "
        "html, body, main, h1 { display: block !important } html { font-size: 3px !important }"
    )
    visitors.site.attributes = 'data-position="left" data-color="#ffd400"'
    await visitors.serve()
    corner = await visitors.visit()
    box = await corner.launcher.bounding_box()
    assert box == {"x": 20, "y": 724, "width": 56, "height": 56}
    await corner.open()
    assert (await corner.page.locator("tornado-chat iframe").bounding_box() or {})["width"] == 400
    title = await corner.page.locator("h1").evaluate("h1 => getComputedStyle(h1).fontSize")
    assert title == "40px"  # nor does the chat change anything of the page
    assert await corner.page.evaluate("Object.keys(window).filter(name => /tornado/i.test(name))") == [
        "TornadoChat"
    ]


@pytest.mark.gen_test
async def test_where_the_browser_keeps_nothing_it_works_until_the_page_is_left(visitors: Visitors) -> None:
    await visitors.serve()
    corner = await visitors.visit()
    await corner.page.context.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"]) {
            Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError") } });
        }"""
    )
    await corner.page.reload()
    await corner.start()
    await corner.say("one")
    await corner.became("one", "held")
    waiter = await visitors.waiter()
    user = await took(waiter)
    await corner.became("one", "stored")
    await told(waiter, "two", user)
    await corner.shows("one", "two")
    await corner.close()
    await told(waiter, "three", user)
    await expect(corner.badge).to_have_text("1")
    await corner.open()
    await corner.shows("one", "two", "three")


@pytest.mark.gen_test
async def test_guests_are_off_since_the_page_was_loaded(
    visitors: Visitors, process: Process, expected_complaints: list[str]
) -> None:
    expected_complaints.append("403")
    await visitors.serve()
    corner = await visitors.visit()
    await corner.open()
    start = corner.inside.get_by_role("button", name="Start a conversation")
    await expect(start).to_be_visible()
    await process.stop()
    await visitors.serve("auth.guests=off")
    await start.click()
    await expect(
        corner.inside.get_by_role("heading", level=2, name="The chat is not available")
    ).to_be_visible()
