"""``/desk``: earlier sessions, the search for a name and a day, pages, and transcripts."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import expect

from tests.conftest import Harness
from tests.pages.conftest import People
from tests.pages.desks import Desk, hold_session
from tornado_chat.storage import models, session_lists

ZONE = ZoneInfo("Asia/Shanghai")  # the browser's
DAY = timedelta(days=1)


def noon(days_ago: int) -> datetime:
    today = datetime.now(ZONE).replace(hour=12, minute=0, second=0, microsecond=0)
    return today - days_ago * DAY


async def move(harness: Harness, session: int, time: datetime) -> None:
    """Change the times of a session that has ended: it began at ``time`` and took 50 minutes."""
    begin = int(time.timestamp()) * 1_000_000
    table = models.ConsultationSession
    query = table.update(created=begin, started=begin, ended=begin + 3_000_000_000).where(table.id == session)
    await harness.server._store.write(lambda tx: query.execute(tx.database))


async def add_sessions(harness: Harness, count: int, begin: datetime) -> None:
    """Insert sessions that have ended, one an hour, the first at ``begin``."""
    times = [int((begin + timedelta(hours=index)).timestamp()) * 1_000_000 for index in range(count)]
    rows = [
        {
            "id": 10**6 + index,
            "asker": f"user:{100 + index}",
            "asker_name": f"Visitor {index}",
            "helper": "consultant:2",
            "state": "completed",
            "created": time,
            "started": time,
            "ended": time + 3_000_000_000,
        }
        for index, time in enumerate(times)
    ]
    query = models.ConsultationSession.insert_many(rows)
    await harness.server._store.write(lambda tx: query.execute(tx.database))


@pytest.mark.gen_test
async def test_earlier_sessions_by_day(harness: Harness, people: People) -> None:
    for name, days_ago in (("Tom", 400), ("Mia", 1), ("Lin", 1), ("Ada", 0)):
        session = await hold_session(harness, name, "hello", user=days_ago + 1)
        await move(harness, session, noon(days_ago))
    desk = await Desk.open(people, harness.http)
    await expect(desk.group("ended")).to_have_text(["Ada"])
    await expect(desk.history).to_have_text(["Lin", "Mia", "Tom"])
    headings = desk.page.locator("#history h3")
    await expect(headings).to_have_text(["Yesterday", re.compile(rf"\w+ {noon(400):%-d, %Y}")])
    await expect(desk.page.locator("#history .session-meta").first).to_have_text("12:00–12:50 · Ended")


@pytest.mark.gen_test
async def test_search_by_name_and_by_day(harness: Harness, people: People) -> None:
    for name, user, days_ago in (("小林", 1, 9), ("Lindsay", 2, 5), ("Mia", 77, 5), ("Ada", 4, 0)):
        session = await hold_session(harness, name, "hello", user=user)
        await move(harness, session, noon(days_ago))
    desk = await Desk.open(people, harness.http)
    await expect(desk.history).to_have_text(["Mia", "Lindsay", "小林"])
    await desk.search("lin")
    await expect(desk.history).to_have_text(["Lindsay"])
    await desk.search("林")
    await expect(desk.history).to_have_text(["小林"])
    await desk.search("77")
    await expect(desk.history).to_have_text(["Mia"])
    await desk.search("ada")  # today's are found, too
    await expect(desk.history).to_have_text(["Ada"])
    await desk.search("nobody")
    await expect(desk.history_status).to_have_text("No session matches.")
    await desk.search(day=noon(5).date().isoformat())
    await expect(desk.history).to_have_text(["Mia", "Lindsay"])
    await desk.search("mia", noon(5).date().isoformat())
    await expect(desk.history).to_have_text(["Mia"])
    await desk.page.get_by_role("button", name="Clear").click()
    await expect(desk.history).to_have_text(["Mia", "Lindsay", "小林"])
    await expect(desk.page.get_by_role("button", name="Clear")).to_have_count(0)


@pytest.mark.gen_test
async def test_a_day_is_that_of_the_reader(harness: Harness, people: People) -> None:
    session = await hold_session(harness, "Lin", "hello")
    just_before_midnight = noon(3).replace(hour=23, minute=59)
    await move(harness, session, just_before_midnight)
    desk = await Desk.open(people, harness.http)
    await desk.search(day=just_before_midnight.date().isoformat())
    await expect(desk.history).to_have_text(["Lin"])
    await desk.search(day=(just_before_midnight + DAY).date().isoformat())
    await expect(desk.history_status).to_have_text("No session matches.")


@pytest.mark.gen_test
async def test_pages_of_earlier_sessions(harness: Harness, people: People) -> None:
    await add_sessions(harness, 70, noon(20))
    desk = await Desk.open(people, harness.http)
    await expect(desk.history).to_have_count(30)
    await expect(desk.history.first).to_have_text("Visitor 69")
    more = desk.page.get_by_role("button", name="Show earlier ones")
    await more.click()
    await expect(desk.history).to_have_count(60)
    # The focus is at the first new one, so that the keyboard goes on there.
    await expect(desk.page.get_by_role("button", name="Read the session with Visitor 39")).to_be_focused()
    await more.click()
    await expect(desk.history).to_have_count(70)
    await expect(more).to_have_count(0)


@pytest.mark.gen_test
async def test_a_long_search_goes_on_step_by_step(
    harness: Harness, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_lists, "SCAN_ROWS", 30)
    await add_sessions(harness, 400, noon(30))
    desk = await Desk.open(people, harness.http)
    await desk.search("Visitor 7")
    await expect(desk.history_status).to_have_text("Nothing was found in the more recent sessions.")
    further = desk.page.get_by_role("button", name="Search further back")
    await further.click()
    await further.click()
    await expect(desk.history).to_have_text(
        [f"Visitor {index}" for index in (79, 78, 77, 76, 75, 74, 73, 72, 71, 70)]
    )


@pytest.mark.gen_test
async def test_a_transcript_is_read_only(harness: Harness, people: People) -> None:
    lines = ["I cannot sleep", "Since when?", "a week"]
    session = await hold_session(harness, "Lin", *lines, rate=4)
    await move(harness, session, noon(1))
    desk = await Desk.open(people, harness.http)
    await desk.read("Lin")
    await desk.expect_transcript(*lines)
    await expect(desk.transcript.get_by_role("heading")).to_have_text("Lin")
    await expect(desk.transcript.get_by_role("heading")).to_be_focused()
    await expect(desk.transcript).to_contain_text(f"Session {session} · Yesterday · 12:00–12:50 · Ended")
    await expect(desk.transcript).to_contain_text("4 stars, helpful")
    await expect(desk.transcript).to_contain_text("The visitor's words on it: It helped.")
    await expect(desk.transcript.get_by_role("textbox")).to_have_count(0)
    await expect(desk.transcript.locator(".message.own")).to_have_count(1)
    assert desk.page.url == f"{harness.http}/desk#session={session}"
    # A reload and a link open it, and going back closes it.
    await desk.page.reload()
    await desk.expect_transcript(*lines)
    await desk.page.get_by_role("button", name="Close the transcript").click()
    await expect(desk.transcript).to_be_hidden()
    await desk.read("Lin")
    await desk.expect_transcript(*lines)
    await desk.page.go_back()
    await expect(desk.transcript).to_be_hidden()
    await expect(desk.page.get_by_role("button", name="Read the session with Lin")).to_be_focused()


@pytest.mark.gen_test
async def test_a_transcript_that_cannot_be_read(
    harness: Harness, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("status of 40[34]|Failed to load resource")
    foreign = await harness.session(1, 99)
    own = await hold_session(harness, "Lin", "hello")
    desk = await Desk.open(people, harness.http)
    status = desk.page.locator("#transcript-status")
    for number, reason in ((foreign, "You take no part in this session"), (4711, "There is no session 4711")):
        await desk.page.evaluate(f"location.hash = 'session={number}'")
        await expect(status).to_have_text(f"That did not work: {reason}")
        await expect(desk.page.locator("#transcript-retry")).to_be_hidden()
    await desk.page.route("**/messages*", lambda route: route.abort())
    await desk.page.evaluate(f"location.hash = 'session={own}'")
    await expect(status).to_contain_text("cannot be reached")
    await desk.page.unroute("**/messages*")
    await desk.page.locator("#transcript-retry").click()
    await desk.expect_transcript("hello")
