"""Runs every program of docs/integration.md, see ``tests/helpers/guides.py``."""

import json
import re
import shutil
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.helpers.guides import Host, blocks, free_ports, matches
from tests.pages.conftest import People, browser, expected_complaints, io_loop, pages_loop, people
from tornado_chat.core import errors
from tornado_chat.wire.kinds import CLOSE_CODES

__all__ = ["browser", "expected_complaints", "io_loop", "pages_loop", "people"]

GUIDE = Path(__file__).parent.parent.parent / "docs" / "integration.md"
SERVES = {
    "tornado-chat serve --set": "8080",
    "tornado-chat serve --config": "8081",
    "python3 host.py": "9000",
    "node host.mjs": "9000",
    "python3 -m http.server": "9001",
}
"""The commands that keep running as servers, and their ports in the guide."""


async def open_pages(people: People, host: str, words: str) -> None:
    """Open both pages of the guide in a browser: the bundled page, and the guide's own."""
    room = await people.page(f"{host}/talk")
    await expect(room.get_by_role("textbox")).to_be_enabled()
    own: Page = await people.page(f"{host}/own")
    await own.get_by_role("textbox").fill(words)
    await own.keyboard.press("Enter")
    await expect(own.locator("li").last).to_have_text(words)
    await expect(room.locator(".message .text").last).to_have_text(words)
    await own.reload()
    await expect(own.locator("li").last).to_have_text(words)
    await room.context.close()
    await own.context.close()


def test_the_output_is_compared() -> None:
    assert matches('{"a":1,"b":"x"}', '{"a": 1,\n "b": "…"}\n')
    assert not matches('{"a":2,"b":"x"}', '{"a": 1, "b": "…"}')
    assert matches("one\ntwo\n", "one\n…o\n")
    assert not matches("one", "two")


@pytest.mark.slow
@pytest.mark.gen_test(timeout=180)
async def test_every_program_of_the_guide_prints_the_shown_output(tmp_path: Path, people: People) -> None:
    for program in ("node", "curl", "openssl"):
        assert shutil.which(program), f"there is no {program}: scripts/test installs Debian's"
    ports = dict(zip(("8080", "8081", "9000", "9001"), free_ports(4), strict=True))
    guide = re.sub(r"\b(?:8080|8081|9000|9001)\b", lambda found: ports[found[0]], GUIDE.read_text())
    guide = guide.replace(
        "tornado-chat serve --set", f"tornado-chat serve --set server.port={ports['8080']} --set"
    )
    host = Host(tmp_path, GUIDE, SERVES, ports)
    greetings = {"python3 host.py\n": "Hello from Python", "node host.mjs\n": "Hello from Node"}
    try:
        for block in blocks(guide):
            await host.follow(block)
            if block.text in greetings:
                await open_pages(people, f"http://127.0.0.1:{ports['9000']}", greetings.pop(block.text))
                await host.stop(block.line)
    finally:
        await host.stop_all()
    assert not greetings
    assert json.loads((tmp_path / "transcript.json").read_text())["messages"][0]["msg"] == "Hello from Python"
    assert (tmp_path / "jwks.json").exists()


def test_the_guide_lists_every_error_and_close_code() -> None:
    section = GUIDE.read_text().partition("## When something goes wrong")[2]
    statuses = {
        each.http_status
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.ChatError)
    }
    assert all(f"| {status} |" in section for status in statuses - {413})
    codes = {
        int(code)
        for row in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
        for code in row.split(", ")
    }
    assert set(CLOSE_CODES) <= codes
