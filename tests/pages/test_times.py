"""Times on pages: those of the reader's zone and day, also in the night in which clocks go back."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Locator, Page, expect

from tests.conftest import Harness, token
from tests.pages.conftest import COUNSELLOR, VISITOR, People, Process
from tests.pages.consoles import Console, connect_visitor, send_messages
from tests.pages.desks import Desk, hold_session
from tests.pages.sites import Visitors, next_user, site, visitors
from tests.pages.supervising import Session, open_desk, start_session
from tests.pages.test_admin import Dashboard

__all__ = ["site", "visitors"]

SERVER_ZONE = "Pacific/Pago_Pago"  # UTC-11: never the day of the readers
ZONES = ["Pacific/Kiritimati", "Europe/Berlin"]
FIRST, SECOND = datetime(2025, 10, 26, 0, 30, tzinfo=UTC), datetime(2025, 10, 26, 1, 30, tzinfo=UTC)
"""Two moments that clocks in Berlin both show as 02:30."""


async def expect_now(time: Locator, zone: str) -> None:
    """Wait until the element ``time`` shows a moment of the last minutes, in the reader's zone."""
    await expect(time).to_have_attribute("datetime", re.compile("T"))
    moment = datetime.fromisoformat(str(await time.get_attribute("datetime")))
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=10)
    await expect(time).to_have_text(f"{moment.astimezone(ZoneInfo(zone)):%H:%M}")


def move(process: Process, table: str, columns: tuple[str, ...], moment: datetime, condition: str) -> None:
    """Give rows of the server's database another time."""
    microseconds = int(moment.timestamp()) * 1_000_000
    with sqlite3.connect(process.directory / "state" / "tornado-chat.sqlite3") as database:
        for column in columns:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {condition}", (microseconds,))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.gen_test
async def test_a_room_shows_the_readers_time_and_day(process: Process, people: People, zone: str) -> None:
    harness = (await process.start(f"server.timezone={SERVER_ZONE}")).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session, zone=zone)
    counsellor = await people.room(process.url, COUNSELLOR, session, zone=zone)
    await visitor.send("hello")
    for room in (visitor, counsellor):
        await expect_now(room.message("hello").locator("time"), zone)
    await counsellor.page.reload()
    await counsellor.wait_ready()
    for room in (visitor, counsellor):
        await expect(room.page.locator(".day")).to_have_text(["Today"])
        await expect_now(room.message("hello").locator("time"), zone)


async def sleep_until_tomorrow(page: Page) -> None:
    """Let a device sleep for a day with the page open."""
    await page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=1))
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.gen_test
async def test_a_conversation_of_today_is_one_of_yesterday_after_midnight(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    for_days = {"lifetime": 4 * 86400}
    visitor = await people.room(process.url, token("user", 1, "Lin", **for_days), session)
    await visitor.send("hello")
    await visitor.expect_delivery("hello", "stored")
    supervisor = await people.page(
        f"{process.url}/supervise#token={token('admin', 1, **for_days)}&session={session}"
    )
    for page in (visitor.page, supervisor):
        await expect(page.locator(".day")).to_have_text(["Today"])
        await sleep_until_tomorrow(page)
        await expect(page.locator(".day")).to_have_text(["Yesterday"])


@pytest.mark.gen_test
async def test_the_sessions_of_today_are_earlier_ones_after_midnight(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    await hold_session(harness, "Lin", "hello")
    desk = await Desk.open(people, process.url, token("consultant", 2, "Chen", lifetime=4 * 86400))
    await expect(desk.group("ended")).to_have_text(["Lin"])
    await expect(desk.history).to_have_count(0)
    await sleep_until_tomorrow(desk.page)
    await expect(desk.history).to_have_text(["Lin"])
    await expect(desk.page.locator("#history h3")).to_have_text(["Yesterday"])


@pytest.mark.gen_test
async def test_a_console_shows_the_readers_time_and_day(process: Process, people: People) -> None:
    harness = (await process.start(f"server.timezone={SERVER_ZONE}")).harness
    bob = await Console.open(people, process.url, zone=ZONES[0])
    visitor = await connect_visitor(harness, 1, "Lin")
    await send_messages(visitor, "hello")
    panel = await bob.open_conversation("Lin")
    await expect_now(panel.locator(".message time"), ZONES[0])
    await expect(panel.locator(".day")).to_have_text(["Today"])
    await expect(bob.row("Lin")).to_contain_text(re.compile(r"Waiting\s*\d:\d\d$"))
    await bob.click_button("Lin", "About this visitor")
    await expect(bob.page.get_by_role("complementary")).to_contain_text("Today ")
    await visitor.close()


@pytest.mark.gen_test
async def test_a_supervisor_sees_the_readers_time_and_day(process: Process, people: People) -> None:
    harness = (await process.start(f"server.timezone={SERVER_ZONE}")).harness
    session: Session = await start_session(harness)
    desk = await open_desk(process, people, zone=ZONES[0])
    pane = await (await desk.open(session.number)).wait_live()
    await session.send("hello")
    await pane.expect_transcript("hello")
    await expect_now(pane.transcript.locator("time"), ZONES[0])
    await expect(pane.transcript.locator(".day")).to_have_text(["Today"])
    await pane.write("with you")
    await expect_now(pane.record.locator(".message time"), ZONES[0])
    local = datetime.now(ZoneInfo(ZONES[0]))
    shown = await desk.notices.first.inner_text()
    clocks = {f"{local - timedelta(minutes=n):%H:%M}" for n in range(5)}
    assert any(clock in shown for clock in clocks), shown
    assert "day" not in shown.lower(), shown


@pytest.mark.gen_test
async def test_the_widget_shows_the_readers_time_and_day(visitors: Visitors) -> None:
    await visitors.serve(f"server.timezone={SERVER_ZONE}")
    bob = await visitors.waiter()
    widget = await (await visitors.visit(zone=ZONES[0])).start()
    await next_user(bob)
    await widget.send("hello")
    await widget.expect_messages("hello")
    await expect_now(widget.message("hello").locator("time"), ZONES[0])
    await expect(widget.inside.locator(".day")).to_have_text(["Today"])


@pytest.mark.gen_test
async def test_the_admin_page_shows_the_readers_time(process: Process, people: People) -> None:
    await process.start(f"server.timezone={SERVER_ZONE}")
    admin = await Dashboard.open(people, process.url, zone=ZONES[0])
    local = datetime.now(ZoneInfo(ZONES[0]))
    clocks = "|".join(f"{local + timedelta(minutes=n):%H:%M}" for n in range(-2, 3))
    await expect(admin.page.locator("#machine")).to_contain_text(re.compile(rf"Started\s*({clocks})"))
    chart = admin.chart("Sockets open")
    await chart.locator("summary").click()
    await expect(chart.locator("tbody th").first).to_have_text(re.compile(rf"^({clocks}):\d\d$"))


@pytest.mark.gen_test
async def test_two_messages_of_the_hour_that_clocks_show_twice_are_told_apart(
    process: Process, people: People
) -> None:
    harness = (await process.start("server.timezone=Europe/Berlin")).harness
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    counsellor = await harness.chat(COUNSELLOR, session)
    for n, text in enumerate(("before the change", "after the change")):
        await visitor.send_json({"msg": text, "id": f"m{n}"})
        while "ack" not in await visitor.recv_json():
            pass
    move(process, "message", ("time",), FIRST, "seq = 1")
    move(process, "message", ("time",), SECOND, "seq = 2")
    room = await people.room(process.url, COUNSELLOR, session, zone="Europe/Berlin")
    await expect(room.page.locator(".message time")).to_have_text(["02:30 GMT+2", "02:30 GMT+1"])
    await expect(room.page.locator(".day")).to_have_text(["October 26, 2025"])
    elsewhere = await people.room(process.url, VISITOR, session, zone="Asia/Shanghai")
    await expect(elsewhere.page.locator(".message time")).to_have_text(["08:30", "09:30"])
    assert await _transcript(harness, session) == [
        "2025-10-26 02:30:00 +02:00",
        "2025-10-26 02:30:00 +01:00",
    ]
    await counsellor.close()


async def _transcript(harness: Harness, session: int) -> list[str]:
    """Return the times of the text transcript."""
    answer = await harness.api("GET", f"/api/v1/sessions/{session}/export", VISITOR)
    return [line.partition("  ")[0] for line in answer.body.decode().splitlines()[2:]]
