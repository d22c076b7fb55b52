"""``/desk`` without a network, with a server that refuses or restarts, and with a token that ends."""

import signal
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.conftest import Harness, changed
from tests.pages.conftest import COUNSELLOR, People, Process
from tests.pages.desks import Desk, hold_session, notify, visit
from tornado_chat import config

CONNECTION_FAILED = r"WebSocket connection to .* failed|Failed to load resource"


@pytest.mark.gen_test
async def test_what_happened_during_an_outage_is_shown_afterwards(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(CONNECTION_FAILED)
    harness = (await process.start()).harness
    await harness.session(1, user_name="Lin")
    desk = await Desk.open(people, process.url)
    await expect(desk.group("ready")).to_have_text(["Lin"])
    await desk.page.context.set_offline(True)
    await expect(desk.connection_status).to_contain_text("offline")
    await expect(desk.page.locator("#my-connection")).to_contain_text("Not connected")
    await expect(desk.problem).to_contain_text("This was so at")  # by the next look
    await expect(desk.group("ready")).to_have_text(["Lin"])
    ada = await harness.session(2, user_name="Ada")
    await visit(harness, ada, 2, "Ada")
    await notify(harness, 0, "meanwhile")
    await desk.page.context.set_offline(False)
    await expect(desk.connection_status).to_contain_text("Connected again")
    await expect(desk.group("waits")).to_have_text(["Ada"])
    await expect(desk.problem).to_have_text("")
    await expect(desk.page.locator(".notice-title")).to_have_text(["meanwhile"])


@pytest.mark.gen_test
async def test_a_restart_of_the_server(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append(CONNECTION_FAILED)
    harness = (await process.start()).harness
    session = await harness.session(1, user_name="Lin")
    desk = await Desk.open(people, process.url)
    await process.stop(signal.SIGKILL)
    await expect(desk.connection_status).to_contain_text("onnect")
    await process.start()
    await visit(process.harness, session)
    await expect(desk.group("waits")).to_have_text(["Lin"])
    await expect(desk.page.locator("#my-connection")).to_have_attribute("data-connected", "true")
    await expect(desk.new_marks).to_have_count(1)


@pytest.mark.gen_test
async def test_a_token_that_is_not_valid(
    process: Process, people: People, expected_complaints: list[str]
) -> None:
    expected_complaints.append("Failed to load resource")
    await process.start()
    page = await people.page(f"{process.url}/desk#token={COUNSELLOR[:-4]}AAAA")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your sign-in has expired")


@pytest.mark.gen_test
async def test_a_page_without_a_token(process: Process, people: People) -> None:
    await process.start()
    page = await people.page(f"{process.url}/desk")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Open this page from your system")


REFUSING = """
from tornado_chat.plugin_api import Action, Plugin, hookimpl

class Refusing(Plugin):
    @hookimpl
    def authorize(self, identity, action, thread):
        return False if action is Action.LIST else None
"""


class TestRefused:
    @pytest.fixture
    def settings(self, settings: config.Config, tmp_path: Path) -> config.Config:
        folder = tmp_path / "plugins.d"
        folder.mkdir()
        (folder / "refusing.py").write_text(REFUSING)
        return changed(settings, "plugins", paths=(str(folder),))

    @pytest.mark.gen_test
    async def test_a_refused_list_gives_the_reason(
        self, harness: Harness, people: People, expected_complaints: list[str]
    ) -> None:
        expected_complaints.append("status of 403")
        await hold_session(harness, "Lin", "hello")
        desk = await Desk.open(people, harness.http)
        reason = "That did not work: You are not allowed to do this"
        await expect(desk.problem).to_have_text(reason)
        await expect(desk.empty_text).to_be_hidden()
        await expect(desk.history_status).to_have_text(reason)
        await notify(harness, 0, "still there")
        await expect(desk.notices).to_contain_text(["still there"])
