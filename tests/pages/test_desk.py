"""``/desk``: today's sessions, who waits, the way into ``/room`` and back, and notifications."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.conftest import Harness, token
from tests.helpers.accounts import cheap_passwords, make_account
from tests.pages.conftest import COUNSELLOR, DESK, PHONE, People, Process, Room
from tests.pages.desks import Desk, end_session, hold_session, notify, visit
from tests.pages.hosts import sign_in
from tornado_chat.server import builders


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders, "Passwords", cheap_passwords)


@pytest.mark.gen_test
async def test_an_empty_day(harness: Harness, people: People) -> None:
    for locale, empty, earlier, nothing in (
        ("en-GB", "No session today so far", "There are no earlier sessions yet.", "Nothing new"),
        ("zh-CN", "今天还没有会话", "还没有以往的会话。", "没有新通知"),
    ):
        desk = await Desk.open(people, harness.http, locale=locale)
        await expect(desk.empty_text).to_contain_text(empty)
        await expect(desk.history_status).to_have_text(earlier)
        await expect(desk.page.locator("#notices-empty")).to_have_text(nothing)
        await expect(desk.page.locator(".session")).to_have_count(0)


@pytest.mark.gen_test
async def test_sessions_by_who_waits(harness: Harness, people: People) -> None:
    await hold_session(harness, "Tom", "hello", user=3)
    ready = await harness.session(4, user_name="Mia")
    desk = await Desk.open(people, harness.http)
    await expect(desk.group("ready")).to_have_text(["Mia"])
    await expect(desk.group("ended")).to_have_text(["Tom"])
    await expect(desk.page).to_have_title("(1) Counsellor's desk")
    await expect(desk.new_marks).to_have_count(1)

    # A new session comes by its notification, and the visitor by the next look.
    lin = await harness.session(1, user_name="Lin")
    await expect(desk.group("ready")).to_have_text(["Mia", "Lin"])
    visitor = await visit(harness, lin)
    await desk.look()
    await expect(desk.group("waits")).to_have_text(["Lin"])
    await expect(desk.page.get_by_text("Lin is waiting for you")).to_be_visible()
    await expect(desk.page).to_have_title("● Waiting for you: 1 · Counsellor's desk")

    counsellor = await harness.chat(COUNSELLOR, lin, features="presence")
    while (await counsellor.recv_json()).get("presence") != {"user": True, "consultant": True}:
        pass
    await desk.look()
    await expect(desk.group("active")).to_have_text(["Lin"])
    await visitor.close(1001)
    while (await counsellor.recv_json()).get("presence") != {"user": False, "consultant": True}:
        pass
    await desk.look()
    await expect(desk.group("away")).to_have_text(["Lin"])
    await end_session(harness, lin)
    await end_session(harness, ready)
    await desk.look()
    await expect(desk.group("ended")).to_have_text(["Lin", "Mia", "Tom"])
    await expect(desk.page).to_have_title("Counsellor's desk")


@pytest.mark.gen_test
async def test_into_the_room_and_back_with_an_account(
    harness: Harness, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("status of 401")
    await make_account(harness, "chen", id="2", display_name="Chen")
    session = await harness.session(user_name="Lin", consultant_name="Chen")
    visitor = await visit(harness, session)
    page = await people.page(f"{harness.http}/signin")
    await sign_in(page, "chen")
    await page.wait_for_url("**/desk")
    desk = await Desk(page).wait_ready()
    await expect(page.locator("#my-name")).to_have_text("Chen")
    await expect(desk.group("waits")).to_have_text(["Lin"])
    await expect(desk.new_marks).to_have_count(1)
    await desk.enter("Lin").click()
    await page.wait_for_url(f"**/room#session={session}&type=0&back=desk")
    room = await Room(page).wait_ready()
    await room.send("What brings you here?")
    while (await visitor.recv_json()).get("msg") != "What brings you here?":
        pass
    await page.reload()
    await room.wait_ready()
    await page.get_by_role("link", name="Back to the desk").click()
    await page.wait_for_url("**/desk")
    await desk.wait_ready()
    await expect(desk.new_marks).to_have_count(0)  # the counsellor has seen to it
    # The visitor sits in the session alone: the desk says so, until the counsellor is back.
    await expect(desk.group("waits")).to_have_text(["Lin"])
    await desk.enter("Lin").click()
    await room.wait_ready()
    await visitor.close(4000)
    ended = page.locator("#ended")
    await expect(ended).to_be_visible()
    await ended.get_by_role("link", name="Back to the desk").click()
    await desk.wait_ready()
    await expect(desk.group("ended")).to_have_text(["Lin"])
    assert page.url == f"{harness.http}/desk"


@pytest.mark.gen_test
async def test_into_the_room_and_back_with_a_token(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    number = 2**63 - 1
    await harness.session(2**53 + 1, 2, session_id=number, user_name="Lin")
    desk = await Desk.open(people, process.url)
    page = desk.page
    assert page.url == f"{process.url}/desk"
    await expect(desk.new_marks).to_have_count(1)
    await desk.enter("Lin").click()
    room = await Room(page).wait_ready()
    assert page.url == f"{process.url}/room"
    await expect(page.get_by_role("heading", level=1)).to_have_text("Lin")
    await page.reload()
    await room.wait_ready()
    await page.get_by_role("link", name="Back to the desk").click()
    await desk.wait_ready()
    assert page.url == f"{process.url}/desk"
    await expect(desk.enter("Lin")).to_be_visible()
    # A room that the desk did not open has no way to it.
    other = await people.room(process.url, COUNSELLOR, number)
    await expect(other.page.locator("#back")).to_be_hidden()


@pytest.mark.gen_test
async def test_notifications(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    await notify(harness, 0, "Before the desk was opened")
    over = await hold_session(harness, "Tom", "hello")
    desk = await Desk.open(people, process.url)
    other = await Desk(
        await people.tab(desk.page.context, f"{process.url}/desk#token={COUNSELLOR}")
    ).wait_ready()
    # A new session is in the list of sessions, so its notification is none that asks for anything.
    await expect(desk.notices).to_have_text([re.compile("Before the desk was opened")])
    await notify(harness, 1, "预约时间已改为周五", {"apointmentId": 7, "consultantId": 2})
    await notify(harness, 2, "Someone is at risk", {"sessionId": over, "alert": True})
    titles = desk.page.locator(".notice-title")
    await expect(titles).to_have_text(["Alert", "Appointment 7 has changed", "Before the desk was opened"])
    await expect(desk.page.get_by_text("预约时间已改为周五")).to_be_visible()
    await expect(desk.page).to_have_title("(3) Counsellor's desk")
    await desk.page.get_by_role("button", name="Mark as read: Appointment 7 has changed").click()
    for page in (desk, other):
        await expect(page.page.locator(".notice-title")).to_have_text(["Alert", "Before the desk was opened"])
    await desk.page.reload()
    await desk.wait_ready()
    await expect(titles).to_have_text(["Alert", "Before the desk was opened"])
    await desk.page.get_by_role("button", name="Show all").click()
    await expect(titles).to_have_text(
        ["Alert", "Appointment 7 has changed", f"New session {over}", "Before the desk was opened"]
    )
    await desk.page.get_by_role("button", name="Show all").click()
    await expect(titles).to_have_count(2)


@pytest.mark.gen_test
async def test_many_notifications_come_in_pages(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    for number in range(60):
        await notify(harness, 0, f"note {number}")
    desk = await Desk.open(people, process.url)
    await expect(desk.notices.first).to_contain_text("note 59")
    await desk.page.get_by_role("button", name="Mark as read: note 59").click()
    await expect(desk.notices.first).to_contain_text("note 58")
    await desk.page.get_by_role("button", name="Show all").click()
    older = desk.page.get_by_role("button", name="Show earlier ones")
    if await older.count():  # all others came by the socket, as this is the first visit
        await older.click()
    await expect(desk.notices).to_have_count(60)
    await expect(older).to_have_count(0)


async def pass_time(page: Page, seconds: int) -> None:
    """Let the page's clock run on. The server answers between the steps, so that the page stays connected."""
    for _ in range(0, seconds, 5):
        await page.clock.run_for(5_000)
        await page.evaluate("fetch('/healthz')")


@pytest.mark.gen_test
async def test_sounds_and_desktop_notifications_name_no_person(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    page = await people.page("about:blank", permissions=["notifications"])
    await page.add_init_script(
        """
        window.shown = []; window.sounds = 0;
        window.Notification = class extends EventTarget {
          static permission = "granted";
          static requestPermission = async () => "granted";
          constructor(title, options) { super(); shown.push(title + "|" + options.body); }
          close() {}
        };
        document.hasFocus = () => false;
        AudioContext.prototype.createOscillator = new Proxy(AudioContext.prototype.createOscillator, {
          apply: (make, audio, given) => { window.sounds += 1; return Reflect.apply(make, audio, given); },
        });
        """
    )
    await page.clock.install()
    await page.goto(f"{process.url}/desk#token={COUNSELLOR}")
    desk = await Desk(page).wait_ready()
    await page.locator("#settings-button").click()
    await page.get_by_role("switch", name="Desktop notifications").check()
    await page.get_by_role("button", name="Close").click()
    session = await harness.session(user_name="Lin")
    await expect(desk.group("ready")).to_have_text(["Lin"])
    assert await page.evaluate("shown") == [f"New session|Session {session}"]
    await page.wait_for_function("sounds >= 3")
    visitor = await visit(harness, session)
    await page.clock.run_for(8_000)
    await expect(desk.group("waits")).to_have_text(["Lin"])
    assert await page.evaluate("shown[1]") == f"A visitor is waiting for you|Session {session}"
    before = await page.evaluate("sounds")
    await pass_time(page, 50)
    await page.wait_for_function(f"sounds > {before}")  # the sound repeats until the counsellor enters
    await visitor.close(4001)
    await page.clock.run_for(8_000)
    await expect(desk.group("ended")).to_have_text(["Lin"])
    before = await page.evaluate("sounds")
    await pass_time(page, 50)
    assert await page.evaluate("sounds") == before
    await page.locator("#settings-button").click()
    await page.get_by_role("switch", name="Sounds").uncheck()
    await page.reload()
    await page.locator("#settings-button").click()
    await expect(page.get_by_role("switch", name="Sounds")).not_to_be_checked()


@pytest.mark.gen_test
async def test_signing_out(harness: Harness, people: People, expected_complaints: list[str]) -> None:
    expected_complaints.append("status of 401")
    await make_account(harness, "chen")
    page = await people.page(f"{harness.http}/desk")
    await page.wait_for_url("**/signin?next=%2Fdesk")
    await sign_in(page, "chen")
    await Desk(page).wait_ready()
    await page.locator("#settings-button").click()
    await expect(page.locator("#my-id")).to_have_text("Your ID: staff-chen")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/signin?next=%2Fdesk")


@pytest.mark.gen_test
async def test_other_roles_have_other_pages(harness: Harness, people: People) -> None:
    page = await people.page(f"{harness.http}/desk#token={token('waiter', 5, 'Bob')}")
    await expect(page.get_by_role("heading")).to_have_text("This page is not for your account")


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [PHONE, DESK])
async def test_a_long_notice_is_not_wider_than_the_window(
    process: Process, people: People, size: tuple[int, int]
) -> None:
    await process.start()
    desk = await Desk.open(people, process.url, size=size)
    await notify(process.harness, 0, "https://example.org/" + "y" * 300)
    toast = desk.page.locator("#toast")
    await expect(toast).to_contain_text("https://example.org/")
    box = await toast.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= size[0]
