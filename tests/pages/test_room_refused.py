"""Messages that the server does not take stay, with the reason, until their author decides."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.pages.conftest import COUNSELLOR, VISITOR, People, Process

PLUGIN = """
from tornado_chat import *

class Strict(Plugin):
    @hookimpl
    def filter_message(self, draft):
        if "damn" in draft.text:
            raise Refused("no swearing")
"""


@pytest.mark.gen_test
async def test_a_refused_message_is_edited_and_sent(process: Process, people: People, tmp_path: Path) -> None:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    (folder / "strict.py").write_text(PLUGIN)
    house = (await process.start(f"plugins.paths={folder}")).house
    session = await house.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await visitor.say("damn it")
    refused = visitor.message("damn it")
    await expect(refused).to_contain_text("no swearing")
    await visitor.say("sorry")
    await counsellor.shows("sorry")

    await visitor.page.reload()
    await visitor.ready()
    await expect(refused).to_contain_text("no swearing")
    await refused.get_by_role("button", name="Send again").click()
    await expect(refused).to_contain_text("no swearing")
    await refused.get_by_role("button", name="Edit").click()
    await expect(visitor.composer).to_have_value("damn it")
    await expect(visitor.composer).to_be_focused()
    await visitor.say("never mind")
    for room in (visitor, counsellor):
        await room.shows("sorry", "never mind")


@pytest.mark.gen_test
async def test_a_message_that_is_too_long_does_not_hold_up_the_others(
    process: Process, people: People
) -> None:
    house = (await process.start("limits.frame_bytes=2048")).house
    session = await house.session()
    visitor = await people.room(process.url, VISITOR, session)
    await visitor.say("long " * 500)
    await visitor.say("short")
    await expect(visitor.message("long")).to_contain_text("Not sent: It is too long.")
    await visitor.became("short", "stored")

    await visitor.composer.fill("x" * 10_001)
    await expect(visitor.page.get_by_text("1 characters too many")).to_be_visible()
    await expect(visitor.page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
