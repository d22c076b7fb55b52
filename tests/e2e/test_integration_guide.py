"""Runs every program of docs/integration.md, in order.

A block whose first line names a file is written to that file. Other blocks are run, and must print the
contents of a following block ``text`` or ``json``, in which ``…`` stands for any text. Lines that only set
variables apply to all later commands.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.async_api import Page, expect

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.pages.conftest import People, browser, expected_complaints, io_loop, pages_loop, people
from tornado_chat.core import errors
from tornado_chat.wire.kinds import CLOSE_CODES

__all__ = ["browser", "expected_complaints", "io_loop", "pages_loop", "people"]

GUIDE = Path(__file__).parent.parent.parent / "docs" / "integration.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:#|//|<!--) ([\w.]+\.(?:py|mjs|html|ini))(?: -->)?\n")
SERVES = {
    "tornado-chat serve --set": "8080",
    "tornado-chat serve --config": "8081",
    "python3 host.py": "9000",
    "node host.mjs": "9000",
    "python3 -m http.server": "9001",
}
"""The commands that keep running as servers, and their ports in the guide."""

VARIABLES = re.compile(r"(?:[A-Z]+=.*\n)+")
RUN = {"python": ("python3", "snippet.py"), "js": ("node", "snippet.mjs")}


class Block(NamedTuple):
    language: str
    text: str
    line: int
    shows: str
    """The output that the guide shows; empty: none."""


def blocks(guide: str) -> list[Block]:
    found: list[Block] = []
    end = 0
    for fence in FENCE.finditer(guide):
        language, text = fence.groups()
        if language in ("text", "json"):
            assert not guide[end : fence.start()].strip(), "what is shown stands right after what shows it"
            found[-1] = found[-1]._replace(shows=text)
        else:
            found.append(Block(language, text, guide.count("\n", 0, fence.start()) + 1, ""))
        end = fence.end()
    return found


class Host:
    """The folder and the shell of a reader who follows the guide."""

    def __init__(self, folder: Path, ports: dict[str, str]) -> None:
        """:arg ports: the ports to use, by the ports of the guide."""
        self._folder = folder
        self._ports = ports
        self._variables = ""
        self._serving: dict[int, asyncio.subprocess.Process] = {}
        self._environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
        }

    async def follow(self, block: Block) -> None:
        file = FILE.match(block.text)
        served = [port for command, port in SERVES.items() if f"\n{command}" in f"\n{block.text}"]
        if file:
            (self._folder / file[1]).write_text(block.text)
        elif block.language == "sh" and served:
            await self._serve(block, int(self._ports[served[0]]))
        elif block.language != "html":
            await self._run(block)

    async def _run(self, block: Block) -> None:
        if block.language == "sh":
            command = ["sh", "-euc", self._variables + block.text]
            if VARIABLES.fullmatch(block.text):
                self._variables += block.text
        else:
            program, name = RUN[block.language]
            (self._folder / name).write_text(block.text)
            command = [program, name]
        process = await self._start(command, asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        where = f"docs/integration.md, line {block.line}: {output.decode()}"
        assert process.returncode == 0, where
        if block.shows:
            assert matches(output.decode(), block.shows), where

    async def _serve(self, block: Block, port: int) -> None:
        """Start a server, and wait until it listens."""
        path = self._log(block.line)
        with path.open("wb") as log:
            process = await self._start(["sh", "-euc", block.text], log)
        self._serving[block.line] = process
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not await _answers(port):
                assert process.returncode is None, path.read_bytes()
                await asyncio.sleep(0.05)

    def _log(self, line: int) -> Path:
        return self._folder / f"line-{line}.log"

    async def _start(self, command: list[str], output: object) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=self._folder,
            env=self._environment,
            stdout=output,  # type: ignore[arg-type]
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def stop(self, line: int) -> None:
        process = self._serving.pop(line)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        output = self._log(line).read_text()
        assert not re.search(r"\b(WARNING|ERROR|Traceback|Error:)", output), output

    async def stop_all(self) -> None:
        for line in list(self._serving):
            await self.stop(line)


def matches(output: str, shows: str) -> bool:
    """Return True if the output matches the shown one; JSON is compared by its values."""
    if shows.startswith("{"):
        with contextlib.suppress(ValueError):
            output = json.dumps(json.loads(output), ensure_ascii=False)
        shows = re.sub(r"\s+", " ", shows)
    pattern = ".*".join(re.escape(part) for part in shows.strip().split("…"))
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _free_ports(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(each.getsockname()[1]) for each in sockets]


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
    ports = dict(zip(("8080", "8081", "9000", "9001"), _free_ports(4), strict=True))
    guide = re.sub(r"\b(?:8080|8081|9000|9001)\b", lambda found: ports[found[0]], GUIDE.read_text())
    guide = guide.replace(
        "tornado-chat serve --set", f"tornado-chat serve --set server.port={ports['8080']} --set"
    )
    host = Host(tmp_path, ports)
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
