"""Signing in: the page ``/signin``, and the three ways in which other pages get their user's identity."""

import json
from importlib.resources.abc import Traversable
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.conftest import Harness, token
from tests.helpers.accounts import PASSWORD, cheap_passwords, make_account
from tests.pages.conftest import DESK, PHONE, People
from tests.pages.hosts import hosts, open_embedded, open_popup, settings, sign_in
from tests.pages.test_room_accessible import axe_violations
from tornado_chat.server import builders
from tornado_chat.storage import staff
from tornado_chat.web import pages
from tornado_chat.web.pages import Assets, PageHandler

__all__ = ["hosts", "settings"]  # the fixtures

PROBE = """<!doctype html>
<html lang="en"><head><title>Probe</title><link rel="icon" href="{{static}}/shared/icon.svg">
{{metas}}<script type="module" src="{{static}}/probe/probe.js"></script>
</head><body><p id="identity"></p></body></html>"""

PROBE_SCRIPT = """
import { showSignInCard, signInOrShowCard } from "../shared/card.js";
const me = await signInOrShowCard({ roles: ["consultant", "waiter"] });
window.me = me;
window.renew = (refused) => me.token(refused).catch((error) => { showSignInCard(error); return error.name; });
document.querySelector("#identity").textContent = `${me.by} ${me.role} ${me.id} ${me.name}`;
"""


@pytest.fixture(autouse=True)
def _probe_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a page to the server that signs in as the real pages do, and shows the identity."""
    read = Assets._read

    def with_probe(self: Assets, folder: Traversable, prefix: str) -> None:
        read(self, folder, prefix)
        self.files["probe/index.html"] = PROBE.encode()
        self.files["probe/probe.js"] = PROBE_SCRIPT.encode()

    monkeypatch.setattr(Assets, "_read", with_probe)
    monkeypatch.setattr(pages, "ROUTES", [*pages.ROUTES, (r"/probe", PageHandler, {"page": "probe"})])
    monkeypatch.setattr(builders, "Passwords", cheap_passwords)


def expect_identity(page: Page) -> Any:
    return expect(page.locator("#identity"))


# --- the page ---


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("locale", "wrong", "name"),
    [
        ("zh-CN", "用户名或密码不正确。", "退出登录"),
        ("en-GB", "The name or the password is wrong.", "Sign out"),
    ],
)
async def test_page_redirects_to_the_form_and_back(
    harness: Harness, people: People, expected_complaints: list[str], locale: str, wrong: str, name: str
) -> None:
    expected_complaints.append("status of 401")
    await make_account(harness, "chen", display_name="陈老师")
    page = await people.page(f"{harness.http}/probe?tab=2#place", locale=locale)
    await page.wait_for_url("**/signin?next=*")
    await sign_in(page, "Chen", "wrong but long")
    await expect(page.locator("#problem")).to_have_text(wrong)
    await expect(page.locator("#password")).to_be_focused()
    await expect(page.locator("#password")).to_have_attribute("aria-invalid", "true")
    await page.locator("#password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/probe?tab=2#place")
    await expect_identity(page).to_have_text("account consultant staff-chen 陈老师")

    # The form shows the current account, and signing out there also signs out the page.
    await page.goto(f"{harness.http}/signin")
    await expect(page.get_by_role("heading")).to_contain_text("陈老师")
    await page.get_by_role("button", name=name).click()
    await expect(page.locator("#name")).to_be_visible()
    await page.goto(f"{harness.http}/probe")
    await page.wait_for_url("**/signin?next=*")


@pytest.mark.gen_test
async def test_missing_fields_are_reported(harness: Harness, people: People) -> None:
    await make_account(harness, "chen")
    page = await people.page(f"{harness.http}/signin")
    await expect(page.locator("#name")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("Please enter your name.")
    await page.keyboard.type("chen")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("Please enter your password.")
    await expect(page.locator("#password")).to_be_focused()
    await page.keyboard.type("ab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="Hide the password")).to_be_focused()
    await expect(page.get_by_role("textbox", name="Password")).to_have_attribute("type", "text")
    await page.keyboard.press("Enter")
    await expect(page.locator("#password")).to_have_attribute("type", "password")


@pytest.mark.gen_test
async def test_disabled_account_and_too_many_attempts(
    harness: Harness, people: People, expected_complaints: list[str], expected_logs: list[str]
) -> None:
    expected_complaints.append("status of 4(01|03|29)")
    expected_logs.append("many attempts to sign in")
    await make_account(harness, "chen", disabled=True)
    page = await people.page(f"{harness.http}/signin")
    problem, submit = page.get_by_role("alert"), page.locator("#submit")
    await sign_in(page, "chen")
    await expect(problem).to_contain_text("disabled")
    for n in range(6):
        async with page.expect_response("**/staff/session"):
            await sign_in(page, "chen", f"wrong but long {n}")
        await expect(problem).to_have_text("The name or the password is wrong.")
    await sign_in(page, "chen")
    await expect(problem).to_contain_text("Too many attempts. Please try again in")
    await expect(submit).to_be_disabled()
    await expect(submit).to_be_enabled()  # after two seconds
    await expect(problem).to_have_text("")


@pytest.mark.gen_test
async def test_sign_in_offline_is_reported(
    harness: Harness, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("ERR_INTERNET_DISCONNECTED")
    await make_account(harness, "chen")
    page = await people.page(f"{harness.http}/signin")
    await expect(page.locator("#name")).to_be_visible()
    await page.context.set_offline(True)
    await sign_in(page, "chen")
    await expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    await expect(page.locator("#password")).to_have_value(PASSWORD)
    await page.context.set_offline(False)
    await page.locator("#submit").click()
    await page.wait_for_url("**/desk")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "next",
    ["https://evil.example/probe", "//evil.example/probe", "/api/v1/guest", "javascript:alert(1)", "/signin",
     "/probe#token=x.y.z", "\\\\evil.example", "/\t/evil.example"],
)  # fmt: skip
async def test_next_leads_only_to_pages_of_the_server(harness: Harness, people: People, next: str) -> None:
    await make_account(harness, "chen")
    page = await people.page("about:blank")
    await page.goto(f"{harness.http}/signin")
    await page.evaluate("next => history.replaceState(null, '', '?' + new URLSearchParams({next}))", next)
    await sign_in(page, "chen")
    await expect(page.get_by_role("heading")).to_have_text("You are signed in as chen")
    assert page.url.startswith(f"{harness.http}/signin")
    await expect(page.get_by_role("link")).to_have_count(0)


@pytest.mark.gen_test
async def test_server_without_accounts(harness: Harness, people: People) -> None:
    for path in ("/signin", "/probe"):
        page = await people.page(harness.http + path)
        await expect(page.get_by_role("heading")).to_have_text("Open this page from your system")
        assert page.url == harness.http + path


@pytest.mark.gen_test
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK])
async def test_axe_finds_nothing(
    harness: Harness, people: People, expected_complaints: list[str], size: tuple[int, int], scheme: str
) -> None:
    expected_complaints.append("status of 401")
    look: dict[str, Any] = {"size": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    page = await people.page(f"{harness.http}/probe", **look)
    await expect(page.get_by_role("heading")).to_be_visible()
    assert await axe_violations(page) == []
    await make_account(harness, "wu", "supervisor")
    await page.goto(f"{harness.http}/signin?next=/probe")
    await expect(page.locator("#submit")).to_be_visible()
    assert await axe_violations(page) == []
    await sign_in(page, "wu", "wrong but long")
    await expect(page.get_by_role("alert")).not_to_have_text("")
    assert await axe_violations(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
    await sign_in(page, "wu")
    await expect(page.get_by_role("button", name="Sign in with another account")).to_be_visible()
    assert await axe_violations(page) == []
    await page.goto(f"{harness.http}/signin")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert await axe_violations(page) == []


# --- by an account ---


@pytest.mark.gen_test
async def test_wrong_role_can_sign_in_with_another_account(harness: Harness, people: People) -> None:
    await make_account(harness, "wu", "supervisor")
    await make_account(harness, "chen")
    page = await people.page(f"{harness.http}/signin?next=/probe")
    await sign_in(page, "wu")
    await expect(page.get_by_role("heading")).to_have_text("This page is not for your account")
    await expect(page.get_by_role("paragraph")).to_have_text("You are signed in as wu (Supervisor).")
    await page.get_by_role("button", name="Sign in with another account").click()
    await page.wait_for_url("**/signin?next=%2Fprobe")
    await sign_in(page, "chen")
    await expect_identity(page).to_have_text("account consultant staff-chen chen")


@pytest.mark.gen_test
async def test_token_is_requested_once_and_only_when_needed(harness: Harness, people: People) -> None:
    await make_account(harness, "chen")
    page = await people.page(f"{harness.http}/signin?next=/probe")
    await sign_in(page, "chen")
    await expect_identity(page).to_contain_text("chen")
    requested_urls: list[str] = []
    page.on("request", lambda request: requested_urls.append(request.url))
    first = await page.evaluate("me.token()")
    assert requested_urls == []
    both = await page.evaluate("token => Promise.all([me.token(token), me.token(token)])", first)
    assert both[0] == both[1] != ""
    assert len(requested_urls) == 1
    assert (await harness.api("GET", "/api/v1/notifications", both[0])).code == 200


@pytest.mark.gen_test
async def test_ended_session_keeps_drafts_for_the_same_account_only(
    harness: Harness, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("status of 401")
    await make_account(harness, "chen")
    await make_account(harness, "bob", "waiter")
    page = await people.page(f"{harness.http}/signin?next=/probe")
    await sign_in(page, "chen")
    await expect_identity(page).to_contain_text("chen")
    await page.evaluate("sessionStorage.setItem('draft', 'half a sentence')")
    await harness.server._store.write(lambda tx: staff.set_disabled(tx.database, "chen", False))
    await page.evaluate("me.token().then((token) => void renew(token))")
    await page.wait_for_url("**/signin?next=%2Fprobe")
    await sign_in(page, "chen")
    await expect_identity(page).to_contain_text("chen")
    assert await page.evaluate("sessionStorage.getItem('draft')") == "half a sentence"

    # Another account does not get the draft.
    await harness.server._store.write(lambda tx: staff.set_disabled(tx.database, "chen", False))
    await page.evaluate("me.token().then((token) => void renew(token))")
    await page.wait_for_url("**/signin?next=%2Fprobe")
    await sign_in(page, "bob")
    await expect_identity(page).to_have_text("account waiter staff-bob bob")
    assert await page.evaluate("sessionStorage.getItem('draft')") is None


@pytest.mark.gen_test
async def test_signing_out_clears_the_session_storage(harness: Harness, people: People) -> None:
    await make_account(harness, "chen")
    page = await people.page(f"{harness.http}/signin?next=/probe")
    await sign_in(page, "chen")
    await expect_identity(page).to_contain_text("chen")
    await page.evaluate("sessionStorage.setItem('draft', 'half a sentence')")
    await page.evaluate("void me.signOut()")
    await page.wait_for_url("**/signin?next=%2Fprobe")
    await expect(page.locator("#name")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0


@pytest.mark.gen_test
async def test_page_follows_the_account_of_another_tab(harness: Harness, people: People) -> None:
    await make_account(harness, "chen")
    await make_account(harness, "bob", "waiter")
    page = await people.page(f"{harness.http}/signin?next=/probe")
    await sign_in(page, "chen")
    await expect_identity(page).to_contain_text("chen")
    other = await people.tab(page.context, f"{harness.http}/signin?next=/probe")
    await other.get_by_role("button", name="Sign out").click()
    await sign_in(other, "bob")
    await expect_identity(other).to_contain_text("bob")
    await page.evaluate("me.token().then((token) => void renew(token))")
    await expect_identity(page).to_contain_text("bob")


# --- by the fragment ---


@pytest.mark.gen_test
async def test_token_in_the_fragment(harness: Harness, people: People) -> None:
    text = token("consultant", 2, "陈老师")
    page = await people.page(f"{harness.http}/probe?tab=2#token={text}&place=3")
    await expect_identity(page).to_have_text("fragment consultant 2 陈老师")
    assert page.url == f"{harness.http}/probe?tab=2#place=3"
    assert await page.evaluate("me.token()") == text
    await page.reload()
    await expect_identity(page).to_have_text("fragment consultant 2 陈老师")
    await page.evaluate(f"location.hash = 'token={token('waiter', 5, 'Bob')}'")
    await expect_identity(page).to_have_text("fragment waiter 5 Bob")
    await page.evaluate(f"location.hash = 'token={token('user', 1, 'Lin')}'")
    await expect(page.get_by_role("heading")).to_have_text("This page is not for your account")
    await expect(page.get_by_role("button")).to_have_count(0)


@pytest.mark.gen_test
async def test_expired_token_in_the_fragment(
    harness: Harness, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("status of 401")
    old = token("consultant", 2, "Chen", lifetime=-60)
    page = await people.page(f"{harness.http}/probe#token={old}")
    await expect(page.get_by_role("heading")).to_have_text("Open this page from your system")
    page = await people.page(f"{harness.http}/probe#token={token('consultant', 2, 'Chen')}")
    await expect_identity(page).to_contain_text("Chen")
    assert await page.evaluate("me.token().then((token) => renew(token))") == "Error"
    await expect(page.get_by_role("heading")).to_have_text("Your sign-in has expired")
    await make_account(harness, "chen")
    await page.goto(f"{harness.http}/probe?again#token={old}")
    await page.wait_for_url("**/signin?next=*")


# --- by postMessage ---


@pytest.mark.gen_test
async def test_frame_gets_its_token_from_an_allowed_origin(
    harness: Harness, people: People, hosts: list[str]
) -> None:
    await make_account(harness, "chen")
    tokens = token("consultant", 2, "Chen", lifetime=30), token("consultant", 2, "Chen again")
    page = await open_embedded(people, hosts[0], f"{harness.http}/probe", *tokens)
    frame = page.frame_locator("iframe")
    await expect(frame.locator("#identity")).to_have_text("message consultant 2 Chen")
    probe = page.frames[1]
    assert probe.url == f"{harness.http}/probe"
    assert await probe.evaluate("me.token()") == tokens[1]  # the first token is about to expire
    received = await page.evaluate("received")
    assert received == [[harness.http, "tornado-chat:ready"], [harness.http, "tornado-chat:expired"]]


@pytest.mark.gen_test
async def test_host_without_a_new_token(harness: Harness, people: People, hosts: list[str]) -> None:
    context = (await people.page("about:blank")).context
    await context.clock.install()
    tokens = [token("waiter", 5, "Bob")]
    parameters = json.dumps({"src": f"{harness.http}/probe", "tokens": tokens, "framed": True})
    page = await people.tab(context, f"{hosts[0]}/#{parameters}")
    frame = page.frame_locator("iframe")
    await expect(frame.locator("#identity")).to_have_text("message waiter 5 Bob")
    await page.frames[1].evaluate("me.token().then((token) => void renew(token))")
    await page.wait_for_function("received.length === 2")
    await context.clock.run_for(11_000)
    await expect(frame.get_by_role("heading")).to_have_text("Your sign-in has expired")


@pytest.mark.gen_test
async def test_popup_gets_its_token_from_an_allowed_origin(
    harness: Harness, people: People, hosts: list[str]
) -> None:
    page = await open_popup(people, hosts[0], f"{harness.http}/probe", token("waiter", 5, "Bob"))
    await expect_identity(page).to_have_text("message waiter 5 Bob")


@pytest.mark.gen_test
async def test_token_of_a_foreign_origin_is_ignored(
    harness: Harness, people: People, hosts: list[str]
) -> None:
    page = await open_popup(
        people, hosts[1], f"{harness.http}/probe", *[token("waiter", 666, "Mallory")] * 30
    )
    await expect(page.get_by_role("heading")).to_have_text("Open this page from your system")
    await make_account(harness, "chen")
    page = await open_popup(
        people, hosts[1], f"{harness.http}/probe", *[token("waiter", 666, "Mallory")] * 30
    )
    await page.wait_for_url("**/signin?next=*")


@pytest.mark.gen_test
async def test_foreign_origin_cannot_frame_the_pages(
    harness: Harness, people: People, hosts: list[str], expected_complaints: list[str]
) -> None:
    expected_complaints.append("frame-ancestors|Refused to frame|Framing")
    await make_account(harness, "chen")
    page = await open_embedded(people, hosts[1], f"{harness.http}/probe", token("waiter", 666, "Mallory"))
    await page.wait_for_function("document.querySelector('iframe').contentDocument === null")
    page = await open_embedded(people, hosts[0], f"{harness.http}/signin")
    await page.wait_for_function("document.querySelector('iframe').contentDocument === null")
    for frame in page.frames[1:]:
        assert await frame.locator("#name").count() == 0


@pytest.mark.gen_test
async def test_frame_without_a_token_shows_no_form(
    harness: Harness, people: People, hosts: list[str]
) -> None:
    await make_account(harness, "chen")
    context: BrowserContext = (await people.page("about:blank")).context
    await context.clock.install()
    parameters = json.dumps({"src": f"{harness.http}/probe", "tokens": [], "framed": True})
    page = await people.tab(context, f"{hosts[0]}/#{parameters}")
    await page.wait_for_function("window.received.length > 0")
    await context.clock.run_for(11_000)
    frame = page.frame_locator("iframe")
    await expect(frame.get_by_role("heading")).to_have_text("Open this page from your system")
    received_count = await page.evaluate("received.length")
    assert received_count > 5  # repeated, because the host may still be loading
