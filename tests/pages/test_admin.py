"""``/admin``: live numbers, problems with advice, and a server that does not answer."""

import asyncio
import json
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.conftest import Harness, Peer, token
from tests.pages.conftest import COUNSELLOR, PHONE, VISITOR, People, Process
from tests.pages.test_room_accessible import axe_violations

ADMIN = token("admin", 6, "Grace")
DESK = (1280, 900)
SECRET_TEXT = "text that must not appear on the page"

PLUGIN = """
from tornado_chat import Plugin, hookimpl


class Moody(Plugin):
    @hookimpl
    async def message_posted(self, message):
        raise RuntimeError("broken")
"""


class Dashboard:
    """The page ``/admin``."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.health = page.locator("#health")
        self.problems = page.locator("#problems")

    @classmethod
    async def open(cls, people: People, url: str, **more: Any) -> "Dashboard":
        dashboard = cls(await people.page(f"{url}/admin#token={ADMIN}", **{"size": DESK, **more}))
        await expect(dashboard.page.locator("#numbers")).to_be_visible()
        return dashboard

    def chart(self, name: str) -> Locator:
        return self.page.locator(".chart").filter(has=self.page.get_by_role("heading", name=name, exact=True))

    def value(self, name: str) -> Locator:
        return self.chart(name).locator(".chart-value").first

    def list(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    def row(self, list: str, name: str) -> Locator:
        return self.list(list).get_by_role("row").filter(has_text=name)


async def hold_session(harness: Harness) -> None:
    """Open a counselling session, and send a message in it."""
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    counsellor = await harness.chat(COUNSELLOR, session)
    await visitor.send_json({"msg": SECRET_TEXT, "id": "m1"})
    while (await counsellor.recv_json())["msg"] != SECRET_TEXT:
        pass


async def override_status(page: Page, change: Mapping[str, Any]) -> None:
    """Replace parts of the server's status answers that the page gets from now on."""

    async def answer(route: Route) -> None:
        response = await route.fetch()
        await route.fulfill(response=response, body=json.dumps({**(await response.json()), **change}))

    await page.route("**/api/v1/status", answer)


@pytest.mark.gen_test
async def test_dashboard_follows_connections_and_conversations(process: Process, people: People) -> None:
    harness = (await process.start("support.capacity=1")).harness
    admin = await Dashboard.open(people, process.url)
    await expect(admin.health).to_have_text("Serving")
    await expect(admin.value("Sockets open")).to_have_text("0")
    empty_texts = (
        "Nobody is waiting.",
        "No agent is here.",
        "No conversation at",
        "No session at",
        "No plugins",
    )
    for text in empty_texts:
        await expect(admin.page.get_by_text(text).first).to_be_visible()

    users: list[Peer] = [await harness.user(n) for n in (11, 12)]
    await expect(admin.row("The line", "Visitor 11").get_by_role("cell").first).to_have_text("1")
    await expect(admin.value("People in line")).to_have_text("2")
    await expect(admin.value("Longest wait")).to_contain_text("sec")
    await expect(admin.problems).to_contain_text("Ask an agent to open the support desk")

    waiter = await harness.waiter(5, name="Bob")
    await hold_session(harness)
    await users[0].until("connect_success")
    await users[0].send_frame("message_text", {"message": SECRET_TEXT})
    await waiter.until("message_text")
    await expect(admin.value("Sockets open")).to_have_text("5")
    await expect(admin.value("People in line")).to_have_text("1")
    await expect(admin.row("Support agents", "Bob")).to_contain_text("Full1 of 1")
    await expect(admin.row("Support conversations", "Visitor 11")).to_contain_text("Active")
    await expect(admin.row("Support conversations", "Visitor 11")).to_contain_text(
        "Support agent Bob (5) (here)"
    )
    await expect(admin.row("Counselling and supervision", "Session 1")).to_contain_text("Counsellor 2 (here)")
    await expect(admin.problems).not_to_contain_text("support desk")
    await expect(admin.value("Messages per second")).to_contain_text("0.")
    await expect(admin.value("Time to deliver")).to_contain_text("ms")
    drawing = admin.chart("Sockets open").get_by_role("img")
    label = re.compile(r"^Sockets open, the last 15 minutes: 5\. Lowest \d, highest 5$")
    await expect(drawing).to_have_attribute("aria-label", label)
    assert SECRET_TEXT not in await admin.page.content()

    await users[0].client.close()
    await expect(admin.row("Support conversations", "Visitor 11")).to_contain_text("Visitor 11 (away)")
    await waiter.send_frame("unready")
    await expect(admin.row("Support agents", "Bob")).to_contain_text("Paused")
    await users[1].send_frame("disconnect")
    await expect(admin.list("The line")).to_contain_text("Nobody is waiting.")


@pytest.mark.gen_test
async def test_names_are_shown_where_they_are_known(process: Process, people: People) -> None:
    harness = (await process.start("support.capacity=1")).harness
    guest = "guest-0123456789abcdef0123456789abcdef"
    admin = await Dashboard.open(people, process.url)
    await harness.user(11, name="Ada")
    await harness.user(guest)
    await harness.user(13)
    line = admin.list("The line").get_by_role("rowheader")
    name = (await line.nth(1).inner_text()).removesuffix(f" {guest}")
    await expect(line).to_have_text(["Ada 11", f"{name} {guest}", "Visitor 13"])
    assert re.fullmatch(r"[A-Z]\w+ [A-Z]\w+", name)
    await harness.waiter(5, name="Bob")
    conversations = admin.list("Support conversations")
    await expect(conversations).to_contain_text("Visitor Ada (11)")
    await expect(conversations).to_contain_text("Support agent Bob (5) (here)")
    await expect(conversations).to_contain_text(f"Visitor {name} ({guest})")

    session = await harness.session(user_name="Lin", consultant_name="Chen")
    await harness.chat(VISITOR, session)
    room = admin.row("Counselling and supervision", f"Session {session}")
    await expect(room).to_contain_text("Visitor Lin (1) (here)")
    await expect(room).to_contain_text("Counsellor Chen (2) (away)")


@pytest.mark.gen_test
async def test_suspended_plugin_is_shown(process: Process, people: People, tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "moody.py").write_text(PLUGIN)
    harness = (await process.start(f"plugins.paths={folder}")).harness
    admin = await Dashboard.open(people, process.url)
    row = admin.row("Plugins", "moody")
    await expect(row).to_contain_text("Running")
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    for n in range(20):
        await visitor.send_json({"msg": f"m{n}", "id": f"m{n}"})
    await expect(row).to_contain_text("Suspended until ")
    await expect(admin.problems).to_contain_text("Plugin moody is suspended")
    process.expected.append("moody")


@pytest.mark.gen_test
async def test_problem_is_shown_with_advice_in_both_languages(process: Process, people: People) -> None:
    await process.start()
    admin = await Dashboard.open(people, process.url)
    await override_status(admin.page, {"problems": {"database": "database or disk is full"}})
    await expect(admin.health).to_have_text("Not serving")
    await expect(admin.problems).to_contain_text("The disk is full, so messages cannot be stored. Make room")
    await expect(admin.problems).to_contain_text("The server says: database or disk is full")
    await expect(admin.page).to_have_title("(Problem) Server status")
    await admin.page.unroute_all(behavior="wait")
    await expect(admin.health).to_have_text("Serving")
    await expect(admin.problems).not_to_contain_text("disk")

    # The whole page is translated to Chinese.
    admin = await Dashboard.open(people, process.url, locale="zh-CN")
    await expect(admin.health).to_have_text("正常服务")
    await expect(admin.page).to_have_title("服务器状态")
    await expect(admin.list("排队")).to_contain_text("没有人在排队")
    shown = await admin.page.locator("main").inner_text()
    assert not {"Sockets", "Nobody", "Since", "Lowest", "sec"} & set(shown.split())


@pytest.mark.gen_test
async def test_unreachable_server_is_shown_until_it_answers(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET")
    harness = (await process.start()).harness
    await harness.user(11)
    admin = await Dashboard.open(people, process.url)
    await expect(admin.value("People in line")).to_have_text("1")
    await process.stop(signal.SIGKILL)
    away = admin.page.get_by_role("alert")
    await expect(away).to_contain_text("The server does not answer")
    await expect(admin.health).to_have_text("No answer")
    await expect(admin.page.locator("#as-of")).to_contain_text(" ago")
    await expect(admin.value("People in line")).to_have_text("1")
    await expect(admin.page.locator("html")).to_have_class("stale")
    assert await axe_violations(admin.page) == []
    await process.start()
    await expect(admin.health).to_have_text("Serving")
    await expect(admin.page.locator("#unreachable")).to_be_hidden()
    await expect(admin.page.locator("html")).not_to_have_class("stale")


@pytest.mark.gen_test
async def test_page_is_for_admins_and_polls_only_while_visible(process: Process, people: People) -> None:
    await process.start()
    page = await people.page(f"{process.url}/admin#token={VISITOR}")
    await expect(page.get_by_role("heading", name="This page is not for your account")).to_be_visible()
    admin = await Dashboard.open(people, process.url)
    requested_urls: list[str] = []
    admin.page.on("request", lambda request: requested_urls.append(request.url))
    await admin.page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true });
          window.away = true;
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    await asyncio.sleep(2.5)  # enough for a pending request to end, and for another poll
    assert len(requested_urls) <= 1
    requested_urls.clear()
    async with admin.page.expect_request("**/api/v1/status"):
        await admin.page.evaluate("away = false; document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.gen_test
async def test_axe_finds_nothing(process: Process, people: People) -> None:
    harness = (await process.start("support.capacity=1")).harness
    phone = await Dashboard.open(people, process.url, size=PHONE, color_scheme="light")
    assert await axe_violations(phone.page) == []
    for n in (11, 12):
        await harness.user(n)
    await harness.waiter(5, name="Bob")
    await hold_session(harness)
    await override_status(phone.page, {"problems": {"database": "no answer within 1 s"}})
    await expect(phone.problems).to_contain_text("It hangs")
    desk = await Dashboard.open(people, process.url, color_scheme="dark")
    for admin in (phone, desk):
        await expect(admin.row("Support agents", "Bob")).to_contain_text("Full")
        await admin.chart("Time to deliver").get_by_text("As a table").click()
        assert await axe_violations(admin.page) == []
        assert await admin.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
