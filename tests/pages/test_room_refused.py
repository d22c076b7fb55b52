"""``/room``: messages that the server refuses stay, with the reason, until their author edits them."""

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
async def test_refused_message_is_edited_and_sent(process: Process, people: People, tmp_path: Path) -> None:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    (folder / "strict.py").write_text(PLUGIN)
    harness = (await process.start(f"plugins.paths={folder}")).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    counsellor = await people.room(process.url, COUNSELLOR, session)
    await visitor.send("damn it")
    refused = visitor.message("damn it")
    await expect(refused).to_contain_text("no swearing")
    await visitor.send("sorry")
    await counsellor.expect_messages("sorry")

    await visitor.page.reload()
    await visitor.wait_ready()
    await expect(refused).to_contain_text("no swearing")
    await refused.get_by_role("button", name="Send again").click()
    await expect(refused).to_contain_text("no swearing")
    await refused.get_by_role("button", name="Edit").click()
    await expect(visitor.composer).to_have_value("damn it")
    await expect(visitor.composer).to_be_focused()
    await visitor.send("never mind")
    for room in (visitor, counsellor):
        await room.expect_messages("sorry", "never mind")


@pytest.mark.gen_test
async def test_too_long_message_does_not_block_later_messages(process: Process, people: People) -> None:
    harness = (await process.start("limits.frame_bytes=2048")).harness
    session = await harness.session()
    visitor = await people.room(process.url, VISITOR, session)
    await visitor.send("long " * 500)
    await visitor.send("short")
    await expect(visitor.message("long")).to_contain_text("Not sent: It is too long.")
    await visitor.expect_delivery("short", "stored")

    await visitor.composer.fill("x" * 10_001)
    await expect(visitor.page.get_by_text("1 character too many")).to_be_visible()
    await expect(visitor.page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
