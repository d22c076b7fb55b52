"""``/room`` without a token in the address: sign-in by an account, and by the embedding page."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.conftest import Harness, token
from tests.helpers.accounts import cheap_passwords, make_account
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.pages.conftest import VISITOR, People, Room
from tests.pages.hosts import hosts, open_embedded, open_popup, settings, sign_in
from tornado_chat.server import builders
from tornado_chat.services.auth import accounts
from tornado_chat.storage import staff

__all__ = ["hosts", "settings"]  # the fixtures


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders, "Passwords", cheap_passwords)


@pytest.mark.gen_test
async def test_counsellor_signs_in_and_sends_messages(
    harness: Harness, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("status of 401")
    await make_account(harness, "chen", id="2")
    session = await harness.session()
    visitor = await people.room(harness.http, VISITOR, session)
    page = await people.page(f"{harness.http}/room#session={session}")
    await page.wait_for_url("**/signin?next=*")
    await sign_in(page, "chen")
    await page.wait_for_url(f"**/room#session={session}")
    counsellor = await Room(page).wait_ready()
    await counsellor.send("What brings you here?")
    await visitor.expect_messages("What brings you here?")

    # The sign-in session ends during the conversation. Unsent messages are sent after signing in again.
    await counsellor.composer.fill("half a sentence")
    await page.context.set_offline(True)
    await counsellor.send("Take your time")
    await counsellor.composer.fill("half a sentence")
    await harness.server._store.write(lambda tx: staff.set_disabled(tx.database, "chen", False))
    await harness.server._accounts.close_ended_sessions()
    await page.context.set_offline(False)
    await page.wait_for_url("**/signin?next=*")
    await sign_in(page, "chen")
    await counsellor.expect_delivery("Take your time", "read")
    await visitor.expect_messages("What brings you here?", "Take your time")
    await expect(counsellor.composer).to_have_value("half a sentence")


@pytest.mark.gen_test
async def test_the_open_socket_gets_newer_tokens(
    harness: Harness, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "TOKEN_LIFETIME_SECONDS", 57.0)  # the page renews it 55 s before its end
    await make_account(harness, "chen", id="2")
    session = await harness.session()
    page = await people.page(f"{harness.http}/signin?next=/room%23session={session}")
    await sign_in(page, "chen")
    counsellor = await Room(page).wait_ready()
    ((socket, grant),) = harness.server._connections.grants.items()
    first = grant.expires
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while grant.expires == first:  # noqa: ASYNC110 - the page's own clock
            await asyncio.sleep(0.05)
    assert grant.expires > first
    await counsellor.send("Still on the same socket")
    assert [*harness.server._connections.grants] == [socket]


@pytest.mark.gen_test
async def test_the_consoles_open_sockets_get_newer_tokens(
    harness: Harness, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "TOKEN_LIFETIME_SECONDS", 57.0)
    await make_account(harness, "bob", "waiter")
    page = await people.page(f"{harness.http}/signin?next=/console")
    await sign_in(page, "bob")
    await expect(page.get_by_role("switch")).to_be_visible()
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while len(waiters := harness.server._local_conversations._local_waiters) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        (waiter,) = waiters.values()
        (connection,) = waiter.connections
        grant = harness.server._connections.grants[connection.socket_stream]
        first = grant.expires
        while grant.expires == first:  # noqa: ASYNC110 - the page's own clock
            await asyncio.sleep(0.05)
    assert grant.expires > first
    assert [*waiter.connections] == [connection]


@pytest.mark.gen_test
async def test_supervision_link_of_an_account_needs_no_token(harness: Harness, people: People) -> None:
    await make_account(harness, "chen", id="2")
    session = await harness.session()
    page = await people.page(f"{harness.http}/signin?next=/room%23session={session}")
    await sign_in(page, "chen")
    counsellor = await Room(page).wait_ready()
    await counsellor.menu("Ask for supervision")
    await page.locator("#supervisor").fill("staff-wu")
    await page.get_by_role("button", name="Send request").click()
    link = page.get_by_role("link", name="Open the supervision")
    await expect(link).to_have_attribute("href", "/room#session=1&type=1")
    async with page.context.expect_page() as opened:
        await link.click()
    await Room(await opened.value).wait_ready()


@pytest.mark.gen_test
async def test_wrong_role_is_rejected(harness: Harness, people: People) -> None:
    await make_account(harness, "bob", "waiter")
    page = await people.page(f"{harness.http}/signin?next=/room%23session=1")
    await sign_in(page, "bob")
    await expect(page.get_by_role("heading")).to_have_text("This page is not for your account")


@pytest.mark.gen_test
async def test_frame_uses_the_token_of_its_host(harness: Harness, people: People, hosts: list[str]) -> None:
    session = await harness.session()
    tokens = token("user", 1, "Lin"), "no token at all", token("user", 1, "Lin")
    page = await open_embedded(people, hosts[0], f"{harness.http}/room#session={session}", *tokens)
    frame = page.frame_locator("iframe")
    composer = frame.get_by_role("textbox", name="Message")
    await composer.fill("Hello")
    await composer.press("Enter")
    await expect(frame.locator(".message")).to_have_attribute("data-delivery", "stored")


@pytest.mark.gen_test
async def test_host_is_asked_for_another_token_after_a_refusal(
    harness: Harness, people: People, hosts: list[str]
) -> None:
    session = await harness.session()
    page = await open_popup(
        people,
        hosts[0],
        f"{harness.http}/room#session={session}",
        "not what the server takes",
        token("user", 1, "Lin"),
    )
    await Room(page).wait_ready()
    await expect(page.get_by_role("textbox", name="Message")).to_be_enabled()


@pytest.mark.gen_test
async def test_link_without_token_and_accounts_is_incomplete(harness: Harness, people: People) -> None:
    page = await people.page(f"{harness.http}/room#session=1")
    await expect(page.get_by_role("heading", level=1)).to_have_text("This link is incomplete")
