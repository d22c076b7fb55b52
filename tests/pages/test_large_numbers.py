"""Numbers and ids above 2^53, which a JavaScript number rounds to another person's or session's."""

import json
import re

import pytest
from playwright.async_api import Request, expect

from tests.conftest import Harness, token
from tests.helpers.accounts import cheap_passwords, make_account
from tests.pages.conftest import COUNSELLOR, HOST, VISITOR, People, Process, Room
from tests.pages.consoles import Console, connect_visitor, send_messages
from tests.pages.hosts import hosts, settings, sign_in
from tests.pages.sites import Visitors, next_user, send_text, site, visitors
from tests.pages.supervising import open_desk
from tests.pages.test_admin import Dashboard
from tornado_chat.server import builders

__all__ = ["hosts", "settings", "site", "visitors"]

NUMBER, NEIGHBOUR = 2**53 + 1, 2**53  # JavaScript takes both for the same number
MAX_NUMBER = 2**63 - 1


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders, "Passwords", cheap_passwords)


async def call_supervisor(harness: Harness, session: int, record: int) -> None:
    body = {"supervisor_id": 3, "record_id": record}
    answer = await harness.api("POST", f"/api/v1/sessions/{session}/supervision", HOST, body)
    assert answer.code == 201, answer.body


@pytest.mark.gen_test
async def test_rooms_have_any_number_of_the_host(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    for number in (NEIGHBOUR, NUMBER, MAX_NUMBER):
        await harness.session(session_id=number, user_name="Lin", consultant_name="Chen")
    for number in (NUMBER, MAX_NUMBER):
        visitor = await people.room(process.url, VISITOR, number)
        counsellor = await people.room(process.url, COUNSELLOR, number)
        await visitor.send(f"here is {number}")
        await counsellor.expect_messages(f"here is {number}")
        await counsellor.page.reload()
        await counsellor.wait_ready()
        await counsellor.expect_messages(f"here is {number}")
    neighbour = await people.room(process.url, VISITOR, NEIGHBOUR)
    await neighbour.expect_messages()


@pytest.mark.gen_test
async def test_a_supervisor_follows_sessions_of_any_number(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    for number, name in ((NEIGHBOUR, "Ada"), (NUMBER, "Lin")):
        await harness.session(session_id=number, user_name=name, consultant_name="Chen")
    await call_supervisor(harness, NUMBER, MAX_NUMBER)
    visitor = await people.room(process.url, VISITOR, NUMBER)
    counsellor = await people.room(process.url, COUNSELLOR, NUMBER)
    await visitor.send("it is me")
    await counsellor.expect_messages("it is me")

    supervisor = await open_desk(process, people)
    await expect(supervisor.page.get_by_role("heading", name=re.compile("visitor Lin"))).to_be_visible()
    pane = await supervisor.open(NUMBER)
    await pane.wait_live()
    await pane.expect_transcript("it is me")
    await pane.write("with you")
    async with counsellor.context.expect_page() as opened:
        link = f"{process.url}/room#token={COUNSELLOR}&session={MAX_NUMBER}&type=1"
        await counsellor.page.evaluate("(link) => void open(link)", link)
    record = await Room(await opened.value).wait_ready()
    await record.expect_messages("with you")
    await supervisor.page.reload()
    await supervisor.wait_ready()
    await pane.expect_transcript("it is me")
    await pane.expect_record("with you")

    # A later call counts, although the server's own number is the smaller one.
    await pane.menu("End the supervision")
    await expect(pane.record).to_contain_text("The supervision with Chen is over")
    assert await harness.record(NUMBER) == 1
    await expect(pane.field).to_be_visible()
    await pane.write("again")
    await pane.expect_record("again")

    await call_supervisor(harness, NEIGHBOUR, NEIGHBOUR)
    other = await supervisor.open_by_number(NEIGHBOUR)
    await other.wait_live()
    await other.expect_transcript()


@pytest.mark.gen_test
async def test_a_hand_over_goes_to_the_agent_with_the_id(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    bob = await Console.open(people, process.url)
    visitor = await connect_visitor(harness, 1, "Lin")
    await bob.open_conversation("Lin")
    agents = {
        id: await Console.open(people, process.url, token("waiter", id, name))
        for id, name in ((NEIGHBOUR, "Cy"), (NUMBER, "Dee"))
    }
    await bob.click_button("Lin", "Hand over")
    await bob.page.get_by_role("radio", name=re.compile("Dee")).check()
    await bob.page.get_by_role("dialog").get_by_role("button", name="Hand over").click()
    await agents[NUMBER].page.get_by_role("button", name="Take over").click()
    await expect(agents[NUMBER].row("Lin")).to_be_visible()
    await expect(agents[NEIGHBOUR].row("Lin")).to_have_count(0)
    await visitor.close()


@pytest.mark.gen_test
async def test_a_console_shows_the_earlier_conversations_of_its_own_client(
    process: Process, people: People
) -> None:
    harness = (await process.start()).harness
    cy = await Console.open(people, process.url, token("waiter", NUMBER, "Cy"))
    for id, name in ((NEIGHBOUR, "Ada"), (NUMBER, "Lin")):
        visitor = await connect_visitor(harness, id, name)
        await send_messages(visitor, f"it is {name}")
        await visitor.send_frame("disconnect")
        await visitor.until("disconnected")
        await cy.click_button(name, "Remove from the list")
    visitor = await connect_visitor(harness, NUMBER, "Lin")
    await cy.click_button("Lin", "About this visitor")
    about = cy.page.get_by_role("complementary")
    await expect(about).to_contain_text(str(NUMBER))
    await expect(about.locator(".earlier-item")).to_have_count(1)
    await about.locator(".earlier-item").click()
    await expect(about.locator(".text")).to_have_text("it is Lin")
    await cy.page.reload()
    await cy.wait_connected()
    await expect(about).to_contain_text(str(NUMBER))
    await visitor.close()


@pytest.mark.gen_test
async def test_nobody_hands_over_to_itself(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    cy = await Console.open(people, process.url, token("waiter", NUMBER, "Cy"))
    visitor = await connect_visitor(harness, 1, "Lin")
    await cy.open_conversation("Lin")
    neighbour = await Console.open(people, process.url, token("waiter", NEIGHBOUR, "Dee"))
    await cy.click_button("Lin", "Hand over")
    choices = cy.page.get_by_role("dialog").get_by_role("radio")
    await expect(choices).to_have_count(1)
    await expect(cy.page.get_by_role("dialog")).to_contain_text("Dee")
    await cy.page.get_by_role("dialog").get_by_role("button", name="Hand over").click()
    await neighbour.page.get_by_role("button", name="Take over").click()
    await expect(neighbour.row("Lin")).to_be_visible()
    await visitor.close()


@pytest.mark.gen_test
async def test_the_inbox_marks_the_notification_that_was_read(process: Process, people: People) -> None:
    harness = (await process.start()).harness
    supervisor = token("supervisor", NUMBER, "Wu")
    for name, data in (("first", NEIGHBOUR), ("second", NUMBER)):
        body = {
            "role": "supervisor",
            "id": NUMBER,
            "type": 1,
            "msg": name,
            "data": {"apointmentId": data, "consultantId": MAX_NUMBER},
        }
        assert (await harness.api("POST", "/api/v1/notifications", HOST, body)).code == 202
    desk = await open_desk(process, people, supervisor)
    second = desk.notices.filter(has_text="second")
    await expect(second).to_contain_text(str(NUMBER))
    await expect(desk.notices.filter(has_text="first")).to_contain_text(str(NEIGHBOUR))
    await second.get_by_role("button", name="Mark as read").click()
    await expect(second).not_to_have_class(re.compile("unread"))
    answer = await harness.api("GET", "/api/v1/notifications", supervisor)
    assert [item["read"] for item in json.loads(answer.body)["items"]] == [False, True]


@pytest.mark.gen_test
async def test_the_admin_page_names_everybody_by_the_id(process: Process, people: People) -> None:
    harness = (await process.start("support.capacity=1")).harness
    waiter = await harness.waiter(MAX_NUMBER, name="Cy")
    for id in (NUMBER, NEIGHBOUR):
        await connect_visitor(harness, id, served=id == NUMBER)
    await harness.session(session_id=NUMBER, user=NUMBER, consultant=NEIGHBOUR)
    visitor = await harness.chat(token("user", NUMBER), NUMBER)
    admin = await Dashboard.open(people, process.url)
    await expect(admin.row("The line", f"Visitor {NEIGHBOUR}")).to_be_visible()
    await expect(admin.row("Support agents", str(MAX_NUMBER))).to_be_visible()
    await expect(admin.row("Support conversations", f"Visitor {NUMBER}")).to_contain_text(str(MAX_NUMBER))
    room = admin.row("Counselling and supervision", f"Session {NUMBER}")
    await expect(room).to_contain_text(f"Visitor {NUMBER}")
    await waiter.close()
    await visitor.close()


@pytest.mark.gen_test
async def test_the_widget_keeps_neighbours_apart(visitors: Visitors) -> None:
    await visitors.serve()
    bob = await visitors.waiter()
    tokens = {id: token("user", id, name) for id, name in ((NUMBER, "Lin"), (NEIGHBOUR, "Ada"))}
    visitors.site.attributes = f'data-token="{tokens[NUMBER]}"'
    widget = await (await visitors.visit()).start()
    lin = await bob.until("new_connection")
    assert lin["payload"]["id"] == str(NUMBER)
    await widget.send("it is Lin")
    await widget.expect_messages("it is Lin")
    await send_text(bob, "hello Lin", lin["payload"]["uuid"])
    await widget.expect_messages("it is Lin", "hello Lin")
    visitors.site.attributes = f'data-token="{tokens[NEIGHBOUR]}"'
    await widget.page.reload()  # the panel is open again
    await expect(widget.inside.get_by_role("button", name="Start a conversation")).to_be_visible()
    await widget.expect_messages()
    await widget.inside.get_by_role("button", name="Start a conversation").click()
    assert await next_user(bob) != lin["payload"]["uuid"]


@pytest.mark.gen_test
async def test_an_account_with_a_large_id_enters_its_own_room(
    harness: Harness, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("status of 40[13]")
    await make_account(harness, "chen", id=str(NUMBER))
    await harness.session(session_id=NUMBER, consultant=NUMBER)
    await harness.session(session_id=NEIGHBOUR, consultant=NEIGHBOUR)
    page = await people.page(f"{harness.http}/room#session={NUMBER}")
    await page.wait_for_url("**/signin?next=*")
    answers: list[Request] = []
    page.on("requestfinished", lambda request: answers.append(request))
    await sign_in(page, "chen")
    await page.wait_for_url(f"**/room#session={NUMBER}")
    counsellor = await Room(page).wait_ready()
    await counsellor.send("hello")
    await counsellor.expect_delivery("hello", "stored")
    tokens = [each for each in answers if each.url.endswith("/staff/token")]
    assert tokens
    for each in tokens:
        response = await each.response()
        assert response is not None
        assert (await response.json())["id"] == str(NUMBER)
    await page.goto(f"{harness.http}/room#session={NEIGHBOUR}")
    await expect(page.get_by_role("heading", name="This is not your conversation")).to_be_visible()
