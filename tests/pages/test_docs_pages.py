"""``/docs/http`` and ``/docs/sockets``: the pages that show the API documents."""

import asyncio
import json
import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.conftest import Harness, changed
from tests.pages.conftest import COUNSELLOR, DESK, HOST, PHONE, SUPERVISOR, VISITOR, People, Process
from tests.pages.test_room_accessible import axe_violations
from tests.pages.test_serving import get
from tornado_chat import config
from tornado_chat.server.server import Server

PAGES = ("/docs/http", "/docs/sockets")
AS_SUPERVISOR = (
    *("join_session", "leave_session", "take_over_session"),
    *("join_conversation", "leave_conversation", "take_over_conversation"),
    *("list_approvals", "approve_message", "refuse_message"),
)
CALLERS = {
    "rate_session": VISITOR,
    "read_notification": COUNSELLOR,
    **dict.fromkeys(AS_SUPERVISOR, SUPERVISOR),
}
"""Who calls an operation that hosts may not call."""

NEED_STATE = frozenset(
    f"{verb}_{kind}_offer"
    for verb in ("get", "accept", "decline", "withdraw")
    for kind in ("session", "conversation")
) | {"mark_left_message_handled", "approve_message", "refuse_message"}
"""Operations on an offer, a left message or a held message, which need not be there."""

AT_THE_END = ("end_session", "rate_session")


async def unfold_all(page: Page) -> Page:
    """Open all ``details`` elements of the page."""
    await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    return page


@pytest.mark.gen_test
@pytest.mark.parametrize("path", PAGES)
async def test_page_headers_language_and_caching(harness: Harness, path: str) -> None:
    answer = await get(harness, path)
    assert answer.code == 200
    assert answer.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert answer.headers["Vary"] == "Accept-Language"
    text = answer.body.decode()
    assert "{{" not in text
    assert "{%" not in text
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", text)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert [each for each in addresses if not each.startswith(("../", "#"))] == []
    again = await get(harness, path, **{"If-None-Match": answer.headers["Etag"]})
    assert again.code == 304
    chinese = await get(harness, path, **{"Accept-Language": "fr, zh-TW;q=0.9, en;q=0.8"})
    assert b'<html lang="zh-CN">' in chinese.body
    for accepted in ("", "fr", "en-GB, zh;q=0.5", "nonsense;q=x"):
        assert b'<html lang="en">' in (await get(harness, path, **{"Accept-Language": accepted})).body


@pytest.mark.gen_test
async def test_documents_are_served_without_pages(settings: config.Config) -> None:
    server = Server(changed(settings, "web", pages=False))
    await server.start()
    harness = Harness(server, settings, [])
    for path in ("/docs", *PAGES):
        assert (await get(harness, path)).code == 404
    for path in ("/api/v1/openapi.json", "/asyncapi.json"):
        assert (await get(harness, path)).code == 200
    await server.stop()


@pytest.mark.gen_test
async def test_pages_show_the_whole_documents(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    page = await people.page(f"{process.url}/docs")
    await expect(page).to_have_url(f"{process.url}/docs/http")
    document = json.loads((await get(harness, "/api/v1/openapi.json")).body)
    for path, verbs in document["paths"].items():
        for verb, about in verbs.items():
            entry = page.locator(f"#{about['operationId']}")
            await expect(entry.locator(".path")).to_have_text(f"{verb.upper()} {path}")
            text = await entry.text_content() or ""
            assert about["x-who"].replace("`", "") in text
            for status in about["responses"].keys() - {"default"}:  # which is above all operations
                assert status in text
            for parameter in about.get("parameters", ()):
                assert parameter["name"] in text

    await page.get_by_role("link", name="WebSockets", exact=True).click()
    await expect(page).to_have_url(f"{process.url}/docs/sockets")
    document = json.loads((await get(harness, "/asyncapi.json")).body)
    for name, message in document["components"]["messages"].items():
        channel, way, _ = name.split(".", 2)
        frame = page.locator(f"[id='{name}']")
        assert await frame.locator("pre").count() == 1, (channel, way)
        assert message["x-about"].replace("`", "") in (await frame.text_content() or "")
    for name, channel in document["channels"].items():
        text = await page.locator(f"#{name}").text_content() or ""
        for known in (channel["address"], *channel["x-features"], *channel["x-close-codes"]):
            assert known in text

    for path in PAGES:  # every link within a page has a target
        await page.goto(process.url + path)
        assert (
            await page.evaluate(
                "[...document.querySelectorAll('a[href^=\"#\"]')]"
                ".filter((link) => !document.getElementById(link.hash.slice(1))).map(String)"
            )
            == []
        )
        repeated = await page.evaluate(
            "[...document.querySelectorAll('[id]')].map((each) => each.id)"
            ".filter((id, i, all) => all.indexOf(id) !== i)"
        )
        assert repeated == []


ACCOUNT_OPERATIONS = ("sign_in", "get_account", "sign_out", "make_own_token")


@pytest.mark.gen_test
async def test_curl_commands_succeed(process: Process, people: People) -> None:
    """Every curl command of the page is understood; all that find what they name succeed."""
    harness = (await process.start("auth.guests=on")).harness
    await harness.record(await harness.session())
    await harness.waiter(5)
    await (await harness.user(1)).until("connect_success")
    page = await people.page(f"{process.url}/docs/http")
    chat = await page.locator("#start ~ .copy-box code, #start ~ pre code").text_content() or ""
    assert f"CHAT={process.url}\n" in chat
    run_count = 0
    entries = {await entry.get_attribute("id"): entry for entry in await page.locator("article.entry").all()}
    names = [
        name for name in entries if name not in ACCOUNT_OPERATIONS
    ]  # those need the cookie of an account
    for name in sorted(names, key=lambda name: name in AT_THE_END):
        command = await entries[name].locator(".copy-box code").text_content() or ""
        assert command.startswith("curl")
        command = command.replace("curl", "curl -s -o /dev/null -w '%{http_code}'", 1)
        shell = await asyncio.create_subprocess_exec(
            *("sh", "-euc", command),
            env={"CHAT": process.url, "TOKEN": CALLERS.get(name, HOST), "PATH": "/usr/bin:/bin"},
            stdout=asyncio.subprocess.PIPE,
        )
        status, _ = await shell.communicate()
        expected = (200, 201, 202, 204, *((404, 409) if name in NEED_STATE else ()))
        assert int(status) in expected, (command, status)
        run_count += 1
    assert run_count >= 15


@pytest.mark.gen_test
async def test_copy_button_reports_success_and_failure(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    await process.start()
    page = await people.page(f"{process.url}/docs/http")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    entry = page.locator("#open_session")
    await entry.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("status")).to_have_text("Copied")
    assert (await page.evaluate("navigator.clipboard.readText()")).startswith(
        'curl -X POST "$CHAT/api/v1/sessions"'
    )
    await expect(entry.get_by_role("button", name="Copy")).to_be_visible()
    await page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error()))")
    await entry.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("status")).to_have_text("Could not copy, select it by hand")


@pytest.mark.slow
@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "look"),
    [  # both pages have the same styles; a check of one takes most of a minute
        ("/docs/http", {"size": PHONE, "color_scheme": "light", "locale": "en-GB"}),
        ("/docs/sockets", {"size": DESK, "color_scheme": "dark", "locale": "zh-CN"}),
    ],
)
async def test_axe_finds_nothing(process: Process, people: People, path: str, look: dict[str, Any]) -> None:
    await process.start()
    page = await people.page(process.url + path, **look)
    assert await axe_violations(await unfold_all(page)) == []


@pytest.mark.gen_test
@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("path", PAGES)
async def test_page_fits_a_narrow_phone(process: Process, people: People, path: str, locale: str) -> None:
    await process.start()
    page = await unfold_all(await people.page(process.url + path, size=(320, 568), locale=locale))
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    tables = await page.evaluate(
        "Math.max(...[...document.querySelectorAll('table')].map((t) => t.scrollWidth))"
    )
    assert tables <= 320


@pytest.mark.gen_test
async def test_keyboard_navigation(process: Process, people: People) -> None:
    await process.start()
    page = await people.page(f"{process.url}/docs/http")
    await page.keyboard.press("Tab")
    await expect(page.get_by_text("Skip to the contents")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="For machines (OpenAPI 3.1)")).to_be_focused()
    summary = page.locator("#open_session details summary").first
    await summary.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#open_session details").first).to_have_attribute("open", "")


@pytest.mark.gen_test
async def test_contents_are_folded_on_a_phone(process: Process, people: People) -> None:
    await process.start()
    page = await people.page(f"{process.url}/docs/http", size=PHONE)
    contents = page.get_by_role("navigation", name="Contents")
    await expect(contents.get_by_role("link").first).to_be_hidden()
    await contents.get_by_text("Contents").click()
    await contents.get_by_role("link", name="End a session").click()
    await expect(contents.get_by_role("link").first).to_be_hidden()
    await expect(page.locator("#end_session h3")).to_be_in_viewport()
