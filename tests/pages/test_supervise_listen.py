"""A supervisor is called, listens, and talks with the consultant, while the visitor notices nothing."""

import re

import pytest
from playwright.async_api import expect

from tests.conftest import token
from tests.pages.conftest import COUNSELLOR, HOST, PHONE, SUPERVISOR, VISITOR, People, Process, Room
from tests.pages.supervising import desk, talking

REFUSED = r"Failed to load resource: .* status of 40[34]"  # a browser says so of each answer


@pytest.mark.gen_test
async def test_a_call_arrives_is_opened_and_talked_about(process: Process, people: People) -> None:
    house = (await process.start()).house
    session = await house.session(user_name="Lin", consultant_name="Chen")
    visitor = await people.room(process.url, VISITOR, session)
    consultant = await people.room(process.url, COUNSELLOR, session)
    await visitor.say("I cannot sleep.")
    await consultant.shows("I cannot sleep.")
    supervisor = await desk(process, people)
    await expect(supervisor.page.get_by_text("Nothing has come in yet")).to_be_visible()
    await expect(supervisor.page.get_by_text("All is quiet")).to_be_visible()

    await consultant.menu("Ask for supervision")
    await consultant.page.get_by_role("textbox", name="The supervisor's ID").fill("3")
    await consultant.page.keyboard.press("Enter")
    async with consultant.context.expect_page() as opened:
        await consultant.page.get_by_role("link", name="Open the supervision").click()
    record = await Room(await opened.value).ready()
    await consultant.page.get_by_role("button", name="Close").click()
    call = supervisor.page.get_by_role("heading", name="Chen asks for supervision (visitor Lin)")
    await expect(call).to_be_visible()
    await expect(supervisor.page).to_have_title("(1) Supervision desk")
    await expect(supervisor.page.get_by_text("Unread in the inbox: 1")).to_be_visible()
    await expect(supervisor.page.get_by_text("All is quiet")).to_be_hidden()
    pane = await supervisor.open(session)
    await expect(supervisor.page).to_have_title("Supervision desk")
    await pane.live()
    await pane.hears("I cannot sleep.")
    await visitor.say("For weeks.")
    await consultant.say("What keeps you awake?")
    await pane.hears("I cannot sleep.", "For weeks.", "What keeps you awake?")
    await expect(pane.script.locator(".transcript-message .author:not(.visually-hidden)")).to_have_text(
        ["Lin", "Chen"]
    )

    await expect(pane.record).to_contain_text("Here now · Lin does not see this")
    await expect(pane.field).to_have_attribute("placeholder", "To Chen only…")
    await pane.field.press_sequentially("Ask")
    await expect(record.page.get_by_text("Wu is typing")).to_be_visible()
    await pane.write("Ask about the nights before.")
    await record.shows("Ask about the nights before.")
    await record.say("I will.")
    await pane.wrote("Ask about the nights before.", "I will.")
    await record.became("I will.", "read")

    for room in (visitor, consultant):
        await room.shows("I cannot sleep.", "For weeks.", "What keeps you awake?")
        await expect(room.page.locator("body")).not_to_contain_text("Wu")
        await expect(room.page.get_by_text("is typing")).to_be_hidden()
    await pane.hears("I cannot sleep.", "For weeks.", "What keeps you awake?")


@pytest.mark.gen_test
async def test_two_sessions_side_by_side_stay_apart_and_where_they_are(
    process: Process, people: People
) -> None:
    house = (await process.start()).house
    one = await talking(house)
    two = await talking(house, 11, 12, ("Ada", "Berg"))
    supervisor = await desk(process, people)
    first, second = await supervisor.open(one.number), await supervisor.open(two.number)
    await one.say("first, before")
    await two.say("second, before")
    await first.hears("first, before")
    await second.hears("second, before")
    await first.write("to Chen")
    await second.write("to Berg")
    await first.wrote("to Chen")
    await second.wrote("to Berg")
    boxes = [await pane.place.bounding_box() for pane in (first, second)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]

    await second.menu("Pin to the left")
    await expect(supervisor.page.locator(".pane").first).to_have_id(f"session-{two.number}")
    await second.wrote("to Berg")  # moving it loses nothing
    await supervisor.put_aside(one.number)
    await expect(first.place).to_be_hidden()
    await one.say("unseen", "unheard")
    berg = await house.chat(token("consultant", 2), one.record, type=1)
    await berg.send_json({"msg": "are you there?"})
    row = supervisor.tab("Lin")
    await expect(row.locator(".messages-count")).to_have_text("2 2 new in the session")
    await expect(row).to_contain_text("1 from Chen to you")
    await second.field.fill("half a thou")
    kept = await supervisor.page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    assert "before" not in kept
    assert "there" not in kept

    await supervisor.page.reload()
    await supervisor.ready()
    await expect(supervisor.page.locator(".pane").first).to_have_id(f"session-{two.number}")
    await expect(first.place).to_be_hidden()
    await expect(row.locator(".messages-count")).to_have_text("2 2 new in the session")
    await second.hears("second, before")
    await second.wrote("to Berg")
    await expect(second.field).to_have_value("half a thou")
    await expect(row).to_contain_text("1 from Chen to you")
    await row.click()
    await first.hears("first, before", "unseen", "unheard")
    await first.wrote("to Chen", "are you there?")
    await expect(row.locator(".count")).to_have_count(0)


@pytest.mark.gen_test
async def test_the_end_is_told_and_stays_and_closing_asks(process: Process, people: People) -> None:
    house = (await process.start()).house
    one = await talking(house)
    consultant = await house.chat(COUNSELLOR, one.record, type=1)
    supervisor = await desk(process, people)
    pane = await supervisor.open(one.number)
    await one.say("goodbye")
    await expect(pane.record).to_contain_text("Here now")
    await one.consultant.close(4000)
    await expect(pane.end).to_contain_text("The session ended at")
    await expect(pane.state).to_have_text("Ended")
    await pane.hears("goodbye")
    await pane.write("Well done.")  # the two of them go on
    while (await consultant.recv_json())["msg"] != "Well done.":
        pass
    await expect(pane.record.locator(".message")).to_have_attribute("data-delivery", "stored")
    await supervisor.page.reload()
    await expect(pane.end).to_contain_text("The session ended at")
    await pane.hears("goodbye")
    await pane.wrote("Well done.")

    await expect(pane.record).to_contain_text("Here now")
    await pane.place.get_by_role("button", name="Stop listening").click()
    dialog = supervisor.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("your supervision with Chen")
    await supervisor.page.keyboard.press("Escape")
    await expect(pane.place).to_be_visible()
    await pane.place.get_by_role("button", name="Stop listening").click()
    await dialog.get_by_role("button", name="End the supervision, too").click()
    await expect(pane.place).to_have_count(0)
    while (await consultant.recv_json())["msg"] != "会话已结束":
        pass
    await supervisor.page.reload()
    await supervisor.ready()
    await expect(supervisor.page.get_by_text("All is quiet")).to_be_visible()


@pytest.mark.gen_test
async def test_a_link_leads_to_a_session_and_a_new_call_to_a_new_record(
    process: Process, people: People
) -> None:
    house = (await process.start()).house
    one = await talking(house)
    consultant = await house.chat(COUNSELLOR, one.record, type=1)
    link = f"session={one.number}&record={one.record}"
    supervisor = await desk(process, people, f"{SUPERVISOR}&{link}")
    pane = await supervisor.pane(one.number).live()
    assert "#" not in supervisor.page.url
    await expect(supervisor.page.locator(".notice.unread")).to_have_count(0)  # whoever is there has come
    await pane.write("first")
    await expect(pane.record.locator(".message")).to_have_attribute("data-delivery", "stored")
    await pane.menu("End the supervision")
    await expect(pane.record).to_contain_text("The supervision with Chen is over")
    await expect(pane.field).to_be_hidden()
    assert await consultant.wait_closed()

    again = await house.record(one.number)
    assert again != one.record
    await expect(pane.field).to_be_visible()
    await pane.write("second")
    await pane.wrote("second")
    await supervisor.page.reload()
    await pane.wrote("second")


@pytest.mark.gen_test
async def test_on_a_telephone_there_are_tabs(process: Process, people: People) -> None:
    house = (await process.start()).house
    one = await talking(house)
    two = await talking(house, 11, 12, ("Ada", "Berg"))
    supervisor = await desk(process, people, size=PHONE, locale="zh-CN")
    first = await supervisor.open(one.number)
    await expect(first.place).to_be_visible()
    await expect(supervisor.page.locator("#notices")).to_be_hidden()
    await supervisor.page.locator("#to-inbox").click()
    second = await supervisor.open(two.number)
    await expect(first.place).to_be_hidden()
    await one.say("你好？")
    await expect(supervisor.tab("Lin").locator(".count")).to_have_text("1 会话中有 1 条新消息")
    await supervisor.tab("Lin").click()
    await first.hears("你好？")
    await expect(second.place).to_be_hidden()
    await expect(supervisor.tab("Lin").locator(".count")).to_have_count(0)
    await supervisor.page.reload()
    await first.hears("你好？")
    await expect(first.place).to_be_visible()
    await expect(first.field).to_have_attribute("placeholder", "只发给Chen…")
    await expect(first.state).to_have_text("实时旁听")
    assert await supervisor.page.evaluate("document.documentElement.scrollWidth") == PHONE[0]


@pytest.mark.gen_test
async def test_the_inbox_has_all_kinds_each_once_and_keeps_what_was_read(
    process: Process, people: People
) -> None:
    house = (await process.start()).house
    one = await talking(house)
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
        answer = await house.api(
            "POST", "/api/v1/notifications", HOST, {"role": "supervisor", "id": 3, **body}
        )
        assert answer.code == 202

    await post(wanted[0])
    supervisor = await desk(process, people)
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
async def test_who_may_not_listen_is_told_and_who_may_only_listen_can_call(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(REFUSED)
    house = (await process.start()).house
    one = await talking(house, record=False)
    await one.say("before")
    stranger = await desk(process, people, token("supervisor", 44))
    pane = await stranger.open_by_number(one.number)
    await expect(pane.end).to_contain_text("You may not listen to this session")
    await expect(pane.record).to_have_count(0)
    await expect((await stranger.open_by_number(999)).end).to_have_text("There is no session of this number.")

    admin = await desk(process, people, token("admin", 9))
    pane = await admin.open_by_number(one.number)
    await pane.live()
    await pane.hears("before")
    await expect(pane.place.get_by_text("Administrators only listen")).to_be_visible()
    await pane.place.get_by_label("The supervisor's ID").fill("44")
    await pane.place.get_by_role("button", name="Bring in").click()
    await expect(stranger.page.locator(".notice.call")).to_be_visible()
    await stranger.pane(one.number).place.get_by_role("button", name="Stop listening").click()
    pane = await stranger.open(one.number)
    await pane.live()
    await pane.hears("before")

    await (
        (await people.page(f"{process.url}/supervise#token={VISITOR}"))
        .get_by_role("heading", level=1)
        .wait_for()
    )


class TestAnySupervisor:
    """Where everybody may listen, but not read."""

    @pytest.mark.gen_test
    async def test_hears_from_now_on(
        self, process: Process, people: People, expected_complaints: list[str]
    ) -> None:
        expected_complaints.append(REFUSED)
        house = (await process.start("counselling.observe=any")).house
        one = await talking(house, record=False)
        await one.say("before")
        supervisor = await desk(process, people, SUPERVISOR)
        pane = await supervisor.open_by_number(one.number)
        await pane.live()
        await expect(pane.script).to_contain_text("You may not read what was said before")
        await one.say("now")
        await pane.hears("now")
        await expect(pane.place).to_contain_text("who can ask for it by your ID, 3")
        assert re.search(r"Session 1\b", await supervisor.tab("Session").inner_text())
