"""Runs the programs of README.md, see ``tests/helpers/guides.py``, and opens what they lead to."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.helpers.guides import Host, blocks, free_ports
from tests.pages.conftest import People, browser, expected_complaints, io_loop, pages_loop, people

__all__ = ["browser", "expected_complaints", "io_loop", "pages_loop", "people"]

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SERVES = {"scripts/run": "8080"}
MAX_LINES, MAX_COLUMNS = 24, 80


def make_clone(folder: Path) -> None:
    """Make what a clone is to the README, with this Python's environment in ``.venv``."""
    for name in ("scripts", "setup.cfg", "pyproject.toml", "tornado_chat"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if not path.name.startswith("installed-"):
            (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv" / "installed-run").write_text(f"{folder}\n")


async def address(page: Page, card: str) -> str:
    """Return the address to which a card leads."""
    found = await page.get_by_role("link", name=card).get_attribute("href")
    assert found
    return found


@pytest.mark.slow
@pytest.mark.gen_test(timeout=180)
async def test_the_programs_of_the_readme_print_the_shown_output(tmp_path: Path, people: People) -> None:
    make_clone(tmp_path)
    (port,) = free_ports(1)
    guide = README.read_text().replace("8080", port)
    guide = guide.replace("scripts/run\n```", f"scripts/run --set server.port={port}\n```")
    host = Host(tmp_path, README, SERVES, {"8080": port})
    account = ""
    run = [block for block in blocks(guide) if block.language == "sh"]
    assert len(run) == 5
    try:
        for block in run:
            output = await host.follow(block)
            while "demo.json" not in host.printed(run[0]):  # noqa: ASYNC110 - the end of the guide
                await asyncio.sleep(0.05)
            if found := re.search(r"password[^:]*: (\S+)", output):
                account = found[1]
        printed = host.printed(run[0])
        assert len(printed.splitlines()) <= MAX_LINES, printed
        assert all(len(line) <= MAX_COLUMNS for line in printed.splitlines()), printed
        page = await people.page(f"http://127.0.0.1:{port}/")
        await expect(page.get_by_role("listitem")).to_have_count(9)
        visitor = await people.page(await address(page, "Write something to the counsellor."))
        counsellor = await people.page(await address(page, "Answer the visitor"))
        await visitor.get_by_role("textbox").fill("I cannot sleep.")
        await visitor.keyboard.press("Enter")
        await expect(counsellor.locator(".message .text").last).to_have_text("I cannot sleep.")
        signin = await people.page(f"http://127.0.0.1:{port}/signin")
        await signin.get_by_label("Name").fill("chen")
        await signin.get_by_label("Password", exact=True).fill(account)
        await signin.keyboard.press("Enter")
        await expect(signin.get_by_text("Dr. Chen")).to_be_visible()
        for each in (page, visitor, counsellor, signin):
            await each.context.close()  # before the server ends, which the pages would report
    finally:
        await host.stop_all()
