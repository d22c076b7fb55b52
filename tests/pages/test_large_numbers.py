"""Numbers and ids above 2^53, which a JavaScript number rounds to another person's or session's."""

import re

import pytest
from playwright.async_api import expect

from tests.conftest import Harness, token
from tests.pages.conftest import COUNSELLOR, HOST, VISITOR, People, Process, Room
from tests.pages.consoles import Console, connect_visitor
from tests.pages.supervising import open_desk

NUMBER, NEIGHBOUR = 2**53 + 1, 2**53  # JavaScript takes both for the same number
MAX_NUMBER = 2**63 - 1


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
    await expect(agents[NUMBER].row("Lin")).to_be_visible()
    await expect(agents[NEIGHBOUR].row("Lin")).to_have_count(0)
    await visitor.close()
