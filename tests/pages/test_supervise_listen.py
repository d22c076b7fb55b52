"""``/supervise``: requests, observing sessions, and supervision records that the visitor does not see."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.pages.conftest import (
    COUNSELLOR,
    HOST,
    PHONE,
    SUPERVISOR,
    VISITOR,
    People,
    Process,
    Room,
    overlap,
)
from tests.pages.consoles import Console
from tests.pages.supervising import Pane, open_desk, start_session

RESPONSE_REFUSED = r"Failed to load resource: .* status of 40[34]"  # the browser logs each such response


@pytest.mark.gen_test
async def test_supervision_request_is_opened_and_discussed(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    session = await harness.session(user_name="Lin", consultant_name="Chen")
    visitor = await people.room(process.url, VISITOR, session)
    consultant = await people.room(process.url, COUNSELLOR, session)
    await visitor.send("I cannot sleep.")
    await consultant.expect_messages("I cannot sleep.")
    supervisor = await open_desk(process, people)
    await expect(supervisor.page.get_by_text("Nothing has come in yet")).to_be_visible()
    await expect(supervisor.page.get_by_text("All is quiet")).to_be_visible()

    await consultant.menu("Ask for supervision")
    await consultant.page.get_by_role("textbox", name="The supervisor's ID").fill("3")
    await consultant.page.keyboard.press("Enter")
    async with consultant.context.expect_page() as opened:
        await consultant.page.get_by_role("link", name="Open the supervision").click()
    record = await Room(await opened.value).wait_ready()
    await consultant.page.get_by_role("button", name="Close").click()
    call = supervisor.page.get_by_role("heading", name="Chen asks for supervision (visitor Lin)")
    await expect(call).to_be_visible()
    await expect(supervisor.page).to_have_title("(1) Supervision desk")
    await expect(supervisor.page.get_by_text("Unread in the inbox: 1")).to_be_visible()
    await expect(supervisor.page.get_by_text("All is quiet")).to_be_hidden()
    pane = await supervisor.open(session)
    await expect(supervisor.page).to_have_title("Supervision desk")
    await pane.wait_live()
    await pane.expect_transcript("I cannot sleep.")
    await visitor.send("For weeks.")
    await consultant.send("What keeps you awake?")
    await pane.expect_transcript("I cannot sleep.", "For weeks.", "What keeps you awake?")
    await expect(pane.transcript.locator(".transcript-message .author:not(.visually-hidden)")).to_have_text(
        ["Lin", "Chen"]
    )

    await expect(pane.record).to_contain_text("Here now · Lin does not see this")
    await expect(pane.field).to_have_attribute("placeholder", "To Chen only…")
    await pane.field.press_sequentially("Ask")
    await expect(record.page.get_by_text("Wu is typing")).to_be_visible()
    await pane.write("Ask about the nights before.")
    await record.expect_messages("Ask about the nights before.")
    await record.send("I will.")
    await pane.expect_record("Ask about the nights before.", "I will.")
    await record.expect_delivery("I will.", "read")

    for room in (visitor, consultant):
        await room.expect_messages("I cannot sleep.", "For weeks.", "What keeps you awake?")
        await expect(room.page.locator("body")).not_to_contain_text("Wu")
        await expect(room.page.get_by_text("is typing")).to_be_hidden()
    await pane.expect_transcript("I cannot sleep.", "For weeks.", "What keeps you awake?")


@pytest.mark.gen_test
async def test_two_sessions_side_by_side_stay_separate_and_in_place(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    one = await start_session(harness)
    two = await start_session(harness, 11, 12, ("Ada", "Berg"))
    supervisor = await open_desk(process, people)
    first, second = await supervisor.open(one.number), await supervisor.open(two.number)
    await one.send("first, before")
    await two.send("second, before")
    await first.expect_transcript("first, before")
    await second.expect_transcript("second, before")
    await first.write("to Chen")
    await second.write("to Berg")
    await first.expect_record("to Chen")
    await second.expect_record("to Berg")
    boxes = [await pane.element.bounding_box() for pane in (first, second)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]

    await second.menu("Pin to the left")
    await expect(supervisor.page.locator(".pane").first).to_have_id(f"session-{two.number}")
    await second.expect_record("to Berg")  # moving the pane keeps its contents
    await supervisor.put_aside(one.number)
    await expect(first.element).to_be_hidden()
    await one.send("unseen", "unheard")
    berg = await harness.chat(token("consultant", 2), one.record, type=1)
    await berg.send_json({"msg": "are you there?"})
    row = supervisor.tab("Lin")
    await expect(row.locator(".messages-count")).to_have_text("2 2 new in the session")
    await expect(row).to_contain_text("1 from Chen to you")
    await second.field.fill("half a thou")
    stored_text = await supervisor.page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    assert "before" not in stored_text
    assert "there" not in stored_text

    await supervisor.page.reload()
    await supervisor.wait_ready()
    await expect(supervisor.page.locator(".pane").first).to_have_id(f"session-{two.number}")
    await expect(first.element).to_be_hidden()
    await expect(row.locator(".messages-count")).to_have_text("2 2 new in the session")
    await second.expect_transcript("second, before")
    await second.expect_record("to Berg")
    await expect(second.field).to_have_value("half a thou")
    await expect(row).to_contain_text("1 from Chen to you")
    await row.click()
    await first.expect_transcript("first, before", "unseen", "unheard")
    await first.expect_record("to Chen", "are you there?")
    await expect(row.locator(".count")).to_have_count(0)


@pytest.mark.gen_test
async def test_ended_session_stays_shown_and_closing_asks_for_confirmation(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    one = await start_session(harness)
    consultant = await harness.chat(COUNSELLOR, one.record, type=1)
    supervisor = await open_desk(process, people)
    pane = await supervisor.open(one.number)
    await one.send("goodbye")
    await expect(pane.record).to_contain_text("Here now")
    await one.consultant.close(4000)
    await expect(pane.end).to_contain_text("The session ended at")
    await expect(pane.state).to_have_text("Ended")
    await pane.expect_transcript("goodbye")
    await pane.write("Well done.")  # the supervision record goes on
    while (await consultant.recv_json())["msg"] != "Well done.":
        pass
    await expect(pane.record.locator(".message")).to_have_attribute("data-delivery", "delivered")
    await supervisor.page.reload()
    await expect(pane.end).to_contain_text("The session ended at")
    await pane.expect_transcript("goodbye")
    await pane.expect_record("Well done.")

    await expect(pane.record).to_contain_text("Here now")
    await pane.element.get_by_role("button", name="Stop listening").click()
    dialog = supervisor.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("your supervision with Chen")
    await supervisor.page.keyboard.press("Escape")
    await expect(pane.element).to_be_visible()
    await pane.element.get_by_role("button", name="Stop listening").click()
    await dialog.get_by_role("button", name="End the supervision, too").click()
    await expect(pane.element).to_have_count(0)
    while (await consultant.recv_json())["msg"] != "会话已结束":
        pass
    await supervisor.page.reload()
    await supervisor.wait_ready()
    await expect(supervisor.page.get_by_text("All is quiet")).to_be_visible()


@pytest.mark.gen_test
async def test_link_opens_a_session_and_a_new_request_opens_a_new_record(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    one = await start_session(harness)
    consultant = await harness.chat(COUNSELLOR, one.record, type=1)
    link = f"session={one.number}&record={one.record}"
    supervisor = await open_desk(process, people, f"{SUPERVISOR}&{link}")
    pane = await supervisor.pane(one.number).wait_live()
    assert "#" not in supervisor.page.url
    # The link has opened the session of the request, so it is read.
    await expect(supervisor.page.locator(".notice.unread")).to_have_count(0)
    await pane.write("first")
    await expect(pane.record.locator(".message")).to_have_attribute("data-delivery", "delivered")
    await pane.menu("End the supervision")
    await expect(pane.record).to_contain_text("The supervision with Chen is over")
    await expect(pane.field).to_be_hidden()
    assert await consultant.wait_closed()

    again = await harness.record(one.number)
    assert again != one.record
    await expect(pane.field).to_be_visible()
    await pane.write("second")
    await pane.expect_record("second")
    await supervisor.page.reload()
    await pane.expect_record("second")


@pytest.mark.gen_test
async def test_short_notices_do_not_cover_the_buttons_of_a_phone(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    one = await start_session(harness)
    supervisor = await open_desk(process, people, size=PHONE)
    await harness.record(one.number)
    notice = supervisor.page.locator("#toast-arrived")
    await expect(notice).to_have_text("Chen asks for supervision (visitor Lin)")
    for element in ("#settings-button", "#show-unread", "#to-inbox", "#by-number"):
        assert not await overlap(notice, supervisor.page.locator(element)), element


@pytest.mark.gen_test
async def test_new_messages_below_the_visible_part_are_counted(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    one = await start_session(harness)
    await one.send(*(f"line {number}" for number in range(60)))
    supervisor = await open_desk(process, people, size=PHONE)
    pane = await (await supervisor.open(one.number)).wait_live()
    await expect(pane.transcript.get_by_text("line 59", exact=True)).to_be_in_viewport()
    await pane.transcript.locator(".log").evaluate("log => log.scrollTo(0, 0)")
    await expect(pane.transcript.get_by_text("line 59", exact=True)).not_to_be_in_viewport()
    await one.send("one more")
    await pane.transcript.get_by_role("button", name="1 new message", exact=True).wait_for()
    await one.send("two more")
    await pane.transcript.get_by_role("button", name="2 new messages", exact=True).click()
    await expect(pane.transcript.get_by_text("two more", exact=True)).to_be_in_viewport()
    await expect(pane.transcript.get_by_role("button", name=re.compile("new message"))).to_have_count(0)


@pytest.mark.gen_test
async def test_phone_shows_sessions_in_tabs(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    one = await start_session(harness)
    two = await start_session(harness, 11, 12, ("Ada", "Berg"))
    supervisor = await open_desk(process, people, size=PHONE, locale="zh-CN")
    first = await supervisor.open(one.number)
    await expect(first.element).to_be_visible()
    await expect(supervisor.page.locator("#notices")).to_be_hidden()
    await supervisor.page.locator("#to-inbox").click()
    second = await supervisor.open(two.number)
    await expect(first.element).to_be_hidden()
    await one.send("你好？")
    await expect(supervisor.tab("Lin").locator(".count")).to_have_text("1 会话中有 1 条新消息")
    await supervisor.tab("Lin").click()
    await first.expect_transcript("你好？")
    await expect(second.element).to_be_hidden()
    await expect(supervisor.tab("Lin").locator(".count")).to_have_count(0)
    await supervisor.page.reload()
    await first.expect_transcript("你好？")
    await expect(first.element).to_be_visible()
    await expect(first.field).to_have_attribute("placeholder", "只发给Chen…")
    await expect(first.state).to_have_text("实时旁听")
    assert await supervisor.page.evaluate("document.documentElement.scrollWidth") == PHONE[0]


@pytest.mark.gen_test
async def test_inbox_shows_each_notification_once_and_keeps_read_state(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    one = await start_session(harness)
    wanted = [
        {"type": 0, "msg": "The team meets at three."},
        {"type": 1, "msg": "您好，您有一条预约状态变更", "data": {"apointmentId": 31}},
        {
            "type": 2,
            "msg": "Please look",
            "data": {"sessionId": 9, "observeSessionId": one.number, "alert": True},
        },
    ]

    async def post(body: dict[str, object]) -> None:
        answer = await harness.api(
            "POST", "/api/v1/notifications", HOST, {"role": "supervisor", "id": 3, **body}
        )
        assert answer.code == 202

    await post(wanted[0])
    supervisor = await open_desk(process, people)
    await post(wanted[1])
    await post(wanted[2])
    titles = supervisor.page.locator(".notice-title")
    expected = [
        "Alert: Lin and Chen",
        "Appointment 31 has changed",
        "The team meets at three.",
        "Chen asks for supervision (visitor Lin)",
    ]
    await expect(titles).to_have_text(expected)
    await expect(supervisor.notices.first).to_contain_text("Please look")
    await supervisor.notices.filter(has_text="three").get_by_role("button", name="Mark as read").click()
    await expect(supervisor.page.locator("#show-unread")).to_have_text("Unread 3")
    await supervisor.page.locator("#show-unread").click()
    await expect(titles).to_have_text([*expected[:2], expected[3]])
    await supervisor.page.reload()
    await expect(titles).to_have_text([*expected[:2], expected[3]])
    await supervisor.page.locator("#show-all").click()
    await expect(titles).to_have_text(expected)


@pytest.mark.gen_test
async def test_calls_of_ended_sessions_do_not_look_open(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    one = await start_session(harness)
    two = await start_session(harness, 11, 12, ("Ada", "Berg"))
    supervisor = await open_desk(process, people, size=PHONE)
    page = supervisor.page
    await page.clock.install()
    call = supervisor.notices.filter(has_text="visitor Lin")
    await expect(call).to_contain_text("Chen asks for supervision")
    await expect(call.get_by_role("button", name="Open session")).to_have_class("primary-button")
    assert (await harness.api("POST", f"/api/v1/sessions/{one.number}/end", HOST)).code == 200
    await page.clock.run_for(25_000)
    await expect(call).to_contain_text("Chen asked for supervision")
    await expect(call).to_contain_text("The session ended at")
    await expect(call.get_by_role("button", name="Open session")).to_have_class("secondary-button")
    await expect(page.locator("#show-unread")).to_have_text("Unread 2")  # the supervisor has missed it
    await expect(supervisor.notices.filter(has_text="visitor Ada")).to_contain_text("Berg asks for")

    await page.reload()
    await expect(call).to_contain_text("Chen asked for supervision")
    pane = await supervisor.open(one.number)
    await expect(pane.end).to_contain_text("The session ended at")
    assert two.number


@pytest.mark.gen_test
async def test_forbidden_listener_sees_the_reason_and_admin_brings_in_a_supervisor(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(RESPONSE_REFUSED)
    harness = (await process.start()).harness
    one = await start_session(harness, record=False)
    await one.send("before")
    stranger = await open_desk(process, people, token("supervisor", 44))
    pane = await stranger.open_by_number(one.number)
    await expect(pane.end).to_contain_text("You may not listen to this session")
    await expect(pane.record).to_have_count(0)
    await expect((await stranger.open_by_number(999)).end).to_have_text("There is no session of this number.")

    admin = await open_desk(process, people, token("admin", 9))
    pane = await admin.open_by_number(one.number)
    await pane.wait_live()
    await pane.expect_transcript("before")
    await expect(pane.element.get_by_text("Administrators only listen")).to_be_visible()
    await pane.element.get_by_label("The supervisor's ID").fill("44")
    await pane.element.get_by_role("button", name="Bring in").click()
    await expect(stranger.page.locator(".notice.call")).to_be_visible()
    await stranger.pane(one.number).element.get_by_role("button", name="Stop listening").click()
    pane = await stranger.open(one.number)
    await pane.wait_live()
    await pane.expect_transcript("before")

    await (
        (await people.page(f"{process.url}/supervise#token={VISITOR}"))
        .get_by_role("heading", level=1)
        .wait_for()
    )


class TestObserveAny:
    """``counselling.observe=any``: each supervisor may observe any session, but not read older messages."""

    @pytest.mark.gen_test
    async def test_receives_only_new_messages(
        self, process: Process, people: People, expected_complaints: list[str]
    ) -> None:
        expected_complaints.append(RESPONSE_REFUSED)
        harness = (await process.start("counselling.observe=any")).harness
        one = await start_session(harness, record=False)
        await one.send("before")
        supervisor = await open_desk(process, people, SUPERVISOR)
        pane = await supervisor.open_by_number(one.number)
        await pane.wait_live()
        await expect(pane.transcript).to_contain_text("You may not read what was said before")
        await one.send("now")
        await pane.expect_transcript("now")
        await expect(pane.element).to_contain_text("who can ask for it by your ID, 3")
        assert re.search(r"Session 1\b", await supervisor.tab("Session").inner_text())


@pytest.mark.gen_test
async def test_a_supervisor_joins_a_support_conversation_and_takes_it_over(
    process: Process, people: People, tmp_path: Path
) -> None:
    harness = (await process.start()).harness
    console = await Console.open(people, process.url, token("waiter", 7, "Anne"))
    user = await harness.user(1, name="Lin", features=["sender"])
    await user.until("connect_success")
    await console.panel("Lin").get_by_role("button", name="Ask for help").click()
    await console.page.get_by_label("The supervisor's ID").fill("3")
    await console.page.screenshot(path=tmp_path / "asking.png")
    await console.page.keyboard.press("Enter")
    async with console.page.context.expect_page() as opened:
        await console.page.get_by_role("link", name="Open the supervision").click()
    agent = await Room(await opened.value).wait_ready()
    await console.page.locator("#help-dialog").get_by_role("button", name="Close").click()
    await user.send_frame("message_text", {"message": "I cannot sleep."})
    supervisor = await open_desk(process, people)
    page = supervisor.page
    await expect(page.get_by_role("heading", name="Anne asks for supervision (visitor Lin)")).to_be_visible()
    await page.get_by_text("Open support conversations").click()
    await page.locator(".conversation-row", has_text="Lin · Anne").click()
    pane = Pane(page.locator("#session-c1"))
    await pane.wait_live()
    await pane.expect_transcript("I cannot sleep.")
    await expect(pane.element.locator(".pane-details")).to_contain_text("Conversation 1")
    await expect(pane.record).to_contain_text("Here now")
    await agent.send("What shall I say?")
    await expect(pane.record.locator(".message .text").last).to_have_text("What shall I say?")
    await agent.page.screenshot(path=tmp_path / "record.png")
    await page.screenshot(path=tmp_path / "listening.png")
    await pane.element.get_by_role("button", name="Join").click()
    assert (await user.get("supervisor"))["payload"]["joined"]
    field = pane.element.get_by_role("textbox", name="To both")
    await field.fill("I am here, too.")
    await field.press("Enter")
    assert (await user.get("message_text"))["payload"]["message"] == "I am here, too."
    await expect(field).to_have_value("")
    await pane.expect_transcript("I cannot sleep.", "I am here, too.")
    await page.screenshot(path=tmp_path / "joined.png")
    await pane.element.get_by_role("button", name="Take over").click()
    await pane.element.get_by_role("button", name="Take over, it leaves").click()
    await user.until("connect_success")
    await expect(pane.element.get_by_text("This is your conversation")).to_be_visible()
    await expect(console.page.get_by_text("has left").first).to_be_visible()
    await user.send_frame("message_text", {"message": "And you are?"})
    await expect(pane.record).to_contain_text("Supervision with Anne")
    own = pane.element.get_by_role("textbox", name="To Lin")
    await own.fill("Wu.")
    await own.press("Enter")
    await user.until("message_text")
    await page.screenshot(path=tmp_path / "taken.png")
    await user.send_frame("disconnect")
    await expect(pane.state).to_have_attribute("data-state", "ended")
    await expect(own).to_be_hidden()
