"""Front ends as they are deployed talk, survive a restart of the server, and show notifications."""

import asyncio
import signal
from collections.abc import Callable

import pytest
from playwright.async_api import expect

from tests.conftest import Harness, changed
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.pages.conftest import COUNSELLOR, HOST, VISITOR, Process, token
from tests.pages.deployed import DeployedClient, DeployedSite, deployed, site_url
from tornado_chat import config
from tornado_chat.core.types import Kind, Notification, Person, Role, Thread

__all__ = ["deployed", "site_url"]

JOINED = "咨询师 Chen已进入会话"
BOTH_PRESENT = [JOINED, "会话已开始"]
USER, WAITER = token("user", 5, "Lin"), token("waiter", 7, "Bob")
OFFLINE = "WebSocket connection to .* failed|ERR_CONNECTION_REFUSED"
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])


@pytest.fixture
def settings(settings: config.Config, site_url: str) -> config.Config:
    return changed(settings, "web", origins=(site_url,))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - the counters have no event
            await asyncio.sleep(0.01)


async def until_shown(client: DeployedClient, *texts: str) -> None:
    """Wait until a page has shown these messages, in this order; each may be shown twice."""
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while list(dict.fromkeys(await client.shown("message"))) != list(texts):  # noqa: ASYNC110 - a page
            await asyncio.sleep(0.02)


# --- counselling ---


async def counselling(process: Process, deployed: DeployedSite) -> tuple[int, DeployedClient, DeployedClient]:
    """Start the server. Return a session with the pages of its visitor and its consultant."""
    await process.start(f"web.origins={deployed.url}")
    deployed.serve(process.url)
    session = await process.harness.session()
    visitor = await deployed.open("chat", VISITOR, session=session)
    await visitor.expect_shown("system", "来访者 Lin已进入会话")
    counsellor = await deployed.open("chat", COUNSELLOR, session=session)
    await counsellor.expect_shown("system", *BOTH_PRESENT)
    await visitor.expect_shown("system", "来访者 Lin已进入会话", *BOTH_PRESENT)
    return session, visitor, counsellor


@pytest.mark.gen_test
async def test_counselling_pages_talk_until_the_session_ends(
    process: Process, deployed: DeployedSite
) -> None:
    session, visitor, counsellor = await counselling(process, deployed)
    await visitor.send("I cannot sleep")
    await counsellor.expect_shown("message", "I cannot sleep")
    await counsellor.send("Since when?")
    await visitor.expect_shown("message", "Since when?")
    assert (await process.harness.api("POST", f"/api/v1/sessions/{session}/end", HOST)).code == 200
    for client in (visitor, counsellor):
        await expect(client.page).to_have_title("closed 1000 clean")
        assert client.dialogs == ["会话已结束"]


@SIGNALS
@pytest.mark.gen_test
async def test_counselling_pages_survive_a_restart(
    process: Process, deployed: DeployedSite, expected_complaints: list[str], number: signal.Signals
) -> None:
    expected_complaints.append(OFFLINE)
    _, visitor, counsellor = await counselling(process, deployed)
    await visitor.send("before the restart")
    await until_shown(counsellor, "before the restart")
    await process.stop(number)
    for client in (visitor, counsellor):
        await expect(client.page).to_have_title("closed 1006 unclean")
    await process.start(f"web.origins={deployed.url}")
    for client in (visitor, counsellor):
        await client.expect_open()
    await visitor.send("after the restart")
    await counsellor.send("I am back, too")
    await until_shown(counsellor, "before the restart", "after the restart")
    await until_shown(visitor, "I am back, too")
    # No page is told that the other one was away.
    await counsellor.expect_shown("system", *BOTH_PRESENT)
    await visitor.expect_shown("system", "来访者 Lin已进入会话", *BOTH_PRESENT)


@pytest.mark.gen_test
async def test_a_page_that_is_loaded_again_misses_nothing_unnoticed(
    process: Process, deployed: DeployedSite
) -> None:
    _, visitor, counsellor = await counselling(process, deployed)
    await visitor.page.reload()  # a bare close, and the next connect
    await visitor.expect_open()
    await counsellor.send("Are you there?")
    await visitor.expect_shown("message", "Are you there?")
    await visitor.send("Yes")
    await counsellor.expect_shown("message", "Yes")
    await counsellor.expect_shown("system", *BOTH_PRESENT)


@pytest.mark.gen_test
@pytest.mark.parametrize("heartbeat", ["ping", "heartbeat"])
async def test_heartbeats_of_a_chat_page_have_no_effect(
    harness: Harness, deployed: DeployedSite, heartbeat: str
) -> None:
    deployed.serve(harness.http)
    session = await harness.session()
    visitor = await deployed.open("chat", VISITOR, session=session, heartbeat=heartbeat)
    await until(lambda: harness.server.metrics.frames_ignored.counts.get(("chat",), 0) > 12)
    await visitor.expect_open()
    await visitor.expect_shown("system", "来访者 Lin已进入会话")


# --- notifications ---

INBOX = Thread(Kind.INBOX, 1)
RECIPIENT = Person(Role.CONSULTANT, "2")


async def notify(harness: Harness, text: str) -> Notification:
    return await harness.server._notifications.notify(RECIPIENT, 0, text, None)


@pytest.mark.gen_test
async def test_a_page_that_a_dialog_blocks_gets_its_notifications_again(
    harness: Harness, deployed: DeployedSite
) -> None:
    deployed.serve(harness.http)
    blocked = await deployed.open("notify", COUNSELLOR)
    blocked.accepts_dialogs = False
    first = await notify(harness, "one")
    await until(lambda: blocked.dialogs == ["one"])
    second = await notify(harness, "two")
    await harness.receipt(RECIPIENT, INBOX, second.seq)  # the browser answers for the page
    assert blocked.dialogs == ["one"]
    await blocked.page.close()  # the page has never got the second one

    async def visit() -> list[str]:
        """Open the page anew, and return the notifications that it shows before a new one."""
        client = await deployed.open("notify", COUNSELLOR)
        last = await notify(harness, "last")
        await until(lambda: "last" in client.dialogs)
        await harness.receipt(RECIPIENT, INBOX, last.seq)
        await harness.server._notifications.mark_read(RECIPIENT, last.id)
        await client.page.close()
        return client.dialogs[:-1]

    assert await visit() == ["one", "two"]
    await harness.server._notifications.mark_read(RECIPIENT, first.id)
    assert await visit() == ["two"]
    assert await visit() == ["two"]
    assert await visit() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("heartbeat", ["ping", "heartbeat", '{"type":"ping"}'])
async def test_heartbeats_of_a_notification_page_have_no_effect(
    harness: Harness, deployed: DeployedSite, heartbeat: str
) -> None:
    deployed.serve(harness.http)
    client = await deployed.open("notify", COUNSELLOR, heartbeat=heartbeat)
    await until(lambda: harness.server.metrics.frames_ignored.counts.get(("notify",), 0) > 12)
    await notify(harness, "one")
    await client.expect_shown("message", "one")  # and no answer to a heartbeat
    assert client.dialogs == ["one"]
    await client.expect_open()


@SIGNALS
@pytest.mark.gen_test
async def test_a_notification_page_survives_a_restart(
    process: Process, deployed: DeployedSite, expected_complaints: list[str], number: signal.Signals
) -> None:
    expected_complaints.append(OFFLINE)
    await process.start(f"web.origins={deployed.url}")
    deployed.serve(process.url)
    client = await deployed.open("notify", COUNSELLOR)
    await process.stop(number)
    await expect(client.page).to_have_title("closed 1006 unclean")
    await process.start(f"web.origins={deployed.url}")
    body = {"role": "consultant", "id": 2, "type": 0, "msg": "while the page was away, or just back"}
    assert (await process.harness.api("POST", "/api/v1/notifications", HOST, body)).code == 202
    await until(lambda: client.dialogs != [])
    assert client.dialogs == [body["msg"]]
    await client.expect_open()


# --- support ---


async def support(
    process: Process, deployed: DeployedSite, *, waits: bool = False
) -> tuple[DeployedClient, DeployedClient]:
    """Start the server. Return the pages of a user and a waiter in a conversation."""
    legacy = "on" if waits else "off"
    await process.start(f"web.origins={deployed.url}", f"support.legacy_auth_success={legacy}")
    deployed.serve(process.url)
    signed_in = ["auth_success"] if waits else []
    waiter = await deployed.open("waiter", WAITER, waits=waits)
    await waiter.expect_shown("type", "initialize", *signed_in)
    user = await deployed.open("user", USER, waits=waits)
    await waiter.expect_shown("type", "initialize", *signed_in, "new_connection")
    await expect(user.page.locator("li.type").last).to_have_text("connect_success")
    return user, waiter


@pytest.mark.gen_test
@pytest.mark.parametrize("waits", [False, True], ids=["seed", "waits for auth_success"])
async def test_support_pages_talk_until_the_waiter_ends_the_conversation(
    process: Process, deployed: DeployedSite, waits: bool
) -> None:
    user, waiter = await support(process, deployed, waits=waits)
    await waiter.send("How can I help?")
    await user.expect_shown("message", "How can I help?")
    await user.send("My parcel is late")
    await waiter.expect_shown("message", "My parcel is late")
    await waiter.end()
    await expect(user.page.locator("li.type").last).to_have_text("disconnected")
    await expect(waiter.page.locator("li.type").last).to_have_text("disconnected")
    await waiter.expect_open()


@pytest.mark.gen_test
async def test_the_user_ends_a_support_conversation(process: Process, deployed: DeployedSite) -> None:
    user, waiter = await support(process, deployed)
    await user.end()
    await expect(waiter.page.locator("li.type").last).to_have_text("disconnected")


@SIGNALS
@pytest.mark.gen_test
async def test_support_pages_survive_a_restart(
    process: Process, deployed: DeployedSite, expected_complaints: list[str], number: signal.Signals
) -> None:
    expected_complaints.append(OFFLINE)
    user, waiter = await support(process, deployed)
    await user.send("before the restart")
    await until_shown(waiter, "before the restart")
    await process.stop(number)
    for client in (user, waiter):
        await expect(client.page).to_have_title("closed 1006 unclean")
    await process.start(f"web.origins={deployed.url}")
    await expect(waiter.page.locator("li.type", has_text="new_connection")).to_have_count(2)
    await expect(user.page.locator("li.type", has_text="connect_success")).to_have_count(2)
    await user.send("after the restart")
    await waiter.send("I am back, too")
    await until_shown(waiter, "before the restart", "after the restart")
    await until_shown(user, "I am back, too")
