"""A new plugin gets the events that its own ``startup`` has caused."""

import asyncio
from pathlib import Path

import pytest

from tests.conftest import Harness, changed
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config

PLUGIN = """
from pathlib import Path
from tornado_chat.plugin_api import Person, Plugin, Role, hookimpl

class Early(Plugin):
    @hookimpl
    async def startup(self, context):
        self.told = Path(__file__).with_suffix(".txt")
        await context.notify(Person(Role.SUPERVISOR, "7"), "hello")

    @hookimpl
    async def deliver_notification(self, notification, online):
        self.told.write_text(notification.msg)
"""


@pytest.fixture
def settings(settings: config.Config, tmp_path: Path) -> config.Config:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    (folder / "early.py").write_text(PLUGIN)
    return changed(settings, "plugins", paths=(str(folder),))


@pytest.mark.gen_test
async def test_a_notification_of_startup_is_delivered(harness: Harness, tmp_path: Path) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not (tmp_path / "plugins.d" / "early.txt").exists():  # noqa: ASYNC110 - the file is all that the plugin leaves
            await asyncio.sleep(0.01)
