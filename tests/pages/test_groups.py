"""Groups in the pages: the visitor's choice, the consultant who serves, and the numbers of the dashboard."""

from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.conftest import Harness, Peer, token
from tests.pages.conftest import PHONE, People, Process
from tests.pages.consoles import Console
from tests.pages.desks import Desk
from tests.pages.sites import Visitors, Widget, site, visitors
from tests.pages.test_admin import Dashboard
from tests.pages.test_room_accessible import axe_violations as axe_violations_of_page
from tests.pages.test_widget_access import axe_violations

__all__ = ["site", "visitors"]

GROUPS = (
    "group:default.title_en=Questions",
    "group:default.title_zh_CN=客服",
    "group:crisis.title_en=In a crisis",
    "group:crisis.title_zh_CN=危机干预",
    "group:crisis.text_en=Day and night.",
    "group:crisis.text_zh_CN=全天候服务。",
    "group:crisis.roles=consultant",
    "group:crisis.priority=10",
    "group:school.public=off",
    "group:school.title_en=School",
)
CHEN = token("consultant", 8, "Chen", groups="crisis")
CLOSED = "None of us is on duty now; you can wait"


def choice(widget: Widget, title: str) -> Locator:
    return widget.inside.get_by_role("button", name=title)


async def queue_user(harness: Harness, id: int, group: str, name: str) -> Peer:
    """Connect a user without a page, and wait until the user is in the queue."""
    peer = await harness.user(id, connect=False, name=name)
    await peer.send_frame("connect", {"group": group})
    await peer.until("connect_queue")
    return peer


async def leave_message(harness: Harness) -> None:
    """Let a user write two messages while it waits, and give up."""
    gone = await harness.user(12, connect=False, features=["early", "ack"], name="Lin")
    await gone.send_frame("connect", {"group": "crisis"})
    for text in ("I cannot sleep", "for a week now\nand I am afraid"):
        await gone.send_frame("message_text", {"message": text})
        await gone.until("message_text_success")
    await gone.send_frame("disconnect")
    await gone.until("disconnected")


async def read_left_message(console: Console) -> None:
    """Open the left message of ``leave_message``, and mark it as handled."""
    button = console.page.locator("#left-button")
    await expect(button).to_have_text("Left messages: 1")
    await button.click()
    dialog = console.page.get_by_role("dialog", name="Left messages")
    row = dialog.locator(".left-row")
    await expect(row.locator("b")).to_have_text("Lin")
    await expect(row.locator("small")).to_contain_text("In a crisis")
    await expect(row).to_contain_text("I cannot sleep for a week now and I am afraid")
    await row.locator(".left-open").click()
    await expect(row.locator(".left-words p").nth(1)).to_have_text("for a week now\nand I am afraid")
    assert await axe_violations_of_page(console.page) == []
    await dialog.get_by_role("button", name="Mark as handled").click()
    await expect(dialog.get_by_text("None waits for an answer")).to_be_visible()
    await dialog.get_by_role("button", name="Close").click()
    await expect(button).to_be_hidden()


@pytest.mark.gen_test
async def test_a_guest_chooses_a_group_and_a_consultant_answers(visitors: Visitors, people: People) -> None:
    await visitors.serve(*GROUPS)
    first, url = await queue_user(visitors.process.harness, 11, "crisis", "Ada"), visitors.process.url
    await leave_message(visitors.process.harness)

    guest = await (await visitors.visit()).start()
    heading = guest.inside.get_by_role("heading", name="What is it about?")
    await expect(heading).to_be_focused()
    # A group that is not public is missing.
    await expect(guest.inside.locator("#groups-list b")).to_have_text(["Questions", "In a crisis"])
    await expect(choice(guest, "In a crisis")).to_have_accessible_name(f"In a crisis Day and night. {CLOSED}")
    await guest.page.keyboard.press("Tab")
    await expect(choice(guest, "Questions")).to_be_focused()
    await guest.page.keyboard.press("Tab")
    await guest.page.keyboard.press("Enter")
    await expect(guest.inside.locator("#queue-group")).to_have_text("In a crisis")
    await expect(guest.inside.locator("#queue-text")).to_contain_text("Your place in the line is 2.")
    await guest.send("I need help")
    await guest.page.reload()  # the place and the group stay
    await expect(guest.inside.locator("#queue-group")).to_have_text("In a crisis")
    await guest.expect_delivery("I need help", "stored")

    # Another guest goes back, thinks again, and waits in a line of its own.
    other = await (await visitors.visit()).start()
    await other.inside.get_by_role("button", name="Back").click()
    await other.inside.get_by_role("button", name="Start a conversation").click()
    await choice(other, "Questions").click()
    await expect(other.inside.locator("#queue-text")).to_contain_text("Your place in the line is 1.")

    desk = await Desk.open(people, url, CHEN)
    link = desk.page.get_by_role("link", name="Support desk")
    await expect(link).to_have_attribute("title", "Take visitors: In a crisis")
    async with desk.page.context.expect_page() as opened:
        await link.click()
    console = Console(await opened.value)
    await console.wait_connected()
    await expect(console.page.locator("#my-groups")).to_have_text("Serves In a crisis")
    await expect(console.page.locator("#queue-rows .queue-position")).to_have_text(["1", "2", "1"])
    await expect(console.page.locator("#queue-rows .queue-group").first).to_have_text("In a crisis")
    await expect(console.page.locator("#queue-rows .queue-words")).to_have_text(["I need help"])
    await read_left_message(console)
    await console.ready_switch.click()
    await expect(console.rows).to_have_count(2)
    await expect(console.rows.locator(".row-group")).to_have_text(["In a crisis", "In a crisis"])
    await expect(console.page.locator("#queue-rows .queue-group")).to_have_text(["Questions"])
    await expect(other.position).to_have_text("None of us is on duty right now")
    await expect(guest.heading).to_have_text("Chen")
    await console.rows.filter(has_text="I need help").click()
    await console.page.bring_to_front()
    await console.send("I am here")
    await guest.expect_messages("I need help", "I am here")
    own = console.page.locator(".message", has=console.page.get_by_text("I am here"))
    await expect(own).to_have_attribute("data-delivery", "read")
    await console.page.reload()
    await expect(console.rows.locator(".row-group")).to_have_text(["In a crisis", "In a crisis"])
    assert await axe_violations_of_page(console.page) == []
    await first.client.close()


@pytest.mark.gen_test
async def test_the_page_names_a_group(visitors: Visitors) -> None:
    visitors.site.attributes = 'data-group="crisis"'
    await visitors.serve(
        *GROUPS, "group:crisis.consent=What you write is stored.", "group:crisis.consent_version=1"
    )
    consultant = Peer(await visitors.process.harness.connect("/v1/ws/waiter/connect"))
    await consultant.sign_in(
        "consultant", 8, ["ack", "seq", "profile", "group"], name="Chen", groups="crisis"
    )
    await consultant.send_frame("ready")
    guest = await (await visitors.visit(size=PHONE)).start()
    accept = guest.inside.get_by_role("button", name="I agree")
    decline = guest.inside.get_by_role("button", name="Decline")
    heading = guest.inside.get_by_role("heading", name="Before we begin")
    await expect(heading).to_be_focused()
    await expect(guest.inside.get_by_role("region", name="Before we begin")).to_have_text(
        "What you write is stored."
    )
    await expect(decline).to_have_accessible_description(
        "If you do not agree, no conversation begins and nothing is stored."
    )
    assert await axe_violations(guest) == []
    await decline.click()
    await expect(guest.inside.locator("#start-note")).to_contain_text("You did not agree")
    await guest.inside.get_by_role("button", name="Start a conversation").click()
    await expect(heading).to_be_focused()
    for _ in range(2):  # the text, which may be long, and the two buttons
        await guest.page.keyboard.press("Tab")
    await expect(decline).to_be_focused()
    await guest.page.keyboard.press("Tab")
    await guest.page.keyboard.press("Enter")
    await expect(guest.heading).to_have_text("Chen")
    assert (await consultant.until("new_connection"))["payload"]["group"] == "crisis"
    await guest.page.reload()  # the same conversation does not ask again
    await expect(guest.heading).to_have_text("Chen")
    await guest.end()
    await guest.new_conversation.click()  # the page still names the group
    await accept.click()
    assert (await consultant.until("new_connection"))["payload"]["group"] == "crisis"


@pytest.mark.gen_test
async def test_a_group_that_is_gone_leads_to_the_choice(visitors: Visitors) -> None:
    visitors.site.attributes, visitors.site.lang = 'data-group="school"', "zh-CN"
    await visitors.serve(*GROUPS)
    guest = await visitors.visit(locale="zh-CN", size=PHONE, color_scheme="dark", reduced_motion="reduce")
    notes: list[str] = []
    guest.page.on("console", lambda message: notes.append(message.text))
    await guest.open()
    await guest.inside.get_by_role("button", name="开始对话").click()
    await expect(guest.inside.get_by_role("alert").filter(has_text="请重新选择")).to_be_visible()
    await expect(guest.inside.locator("#groups-list b")).to_have_text(["客服", "危机干预"])
    await expect(choice(guest, "危机干预")).to_contain_text("全天候服务。")
    assert await axe_violations(guest) == []
    await choice(guest, "危机干预").click()
    await expect(guest.inside.locator("#queue-group")).to_have_text("危机干预")
    hint = "TornadoChat: no group school for this visitor"
    assert [note for note in notes if "TornadoChat" in note] == [hint]


@pytest.mark.gen_test
async def test_with_one_public_group_nothing_is_asked(visitors: Visitors) -> None:
    await visitors.serve("group:school.public=off", "group:school.title_en=School")
    guest = await (await visitors.visit()).start()
    await expect(guest.position).to_have_text("None of us is on duty right now")
    await expect(guest.inside.locator("#queue-group")).to_be_empty()


@pytest.mark.gen_test
async def test_a_consultant_without_a_group_cannot_use_the_console(process: Process, people: People) -> None:
    await process.start(*GROUPS)
    stranger = token("consultant", 9, "Zhou", groups="legal")
    desk = await Desk.open(people, process.url, stranger)
    await expect(desk.page.locator("#console-link")).to_be_hidden()
    page = await people.page(f"{process.url}/console#token={stranger}")
    await expect(page.get_by_role("heading", name="You cannot use the desk")).to_be_visible()


@pytest.mark.gen_test
@pytest.mark.parametrize("groups", [GROUPS, ()], ids=["three", "none"])
async def test_the_dashboard_shows_each_group(
    process: Process, people: People, groups: tuple[str, ...]
) -> None:
    harness = (await process.start(*groups)).harness
    await queue_user(harness, 11, "crisis" if groups else "default", "Ada")
    admin = await Dashboard.open(people, process.url)
    await expect(admin.row("The line", "Ada")).to_be_visible()
    if not groups:
        await expect(admin.page.locator("[data-list=groups]")).to_be_hidden()
        return
    await expect(admin.row("The line", "Ada")).to_contain_text("In a crisis")
    await expect_numbers(admin, "In a crisis", agents="0", free="0", line="1", conversations="0")
    helper = Peer(await harness.connect("/v1/ws/waiter/connect"))
    await helper.sign_in("consultant", 8, [], name="Chen", groups="crisis")
    await helper.send_frame("ready")
    await expect_numbers(admin, "In a crisis", agents="1", free="1", line="0", conversations="1")
    await expect_numbers(admin, "Questions", agents="0", free="0", line="0", conversations="0")
    await expect(admin.row("Support agents", "Chen")).to_contain_text("In a crisis")
    assert await axe_violations_of_page(admin.page) == []


async def expect_numbers(admin: Dashboard, title: str, **numbers: Any) -> None:
    """Wait until the row of a group has these numbers; the longest and the expected wait may be any."""
    cells = admin.row("Groups", title).get_by_role("cell")
    for index, key in enumerate(("agents", "free", "line", None, None, "conversations")):
        if key:
            await expect(cells.nth(index)).to_have_text(numbers[key])
