"""Runs the programs of a guide, in order.

A block whose first line names a file is written to that file. Other blocks are run, and must print the
contents of a following block ``text`` or ``json``, in which ``…`` stands for any text. Lines that only set
variables apply to all later commands.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS

FENCE = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:#|//|<!--) ([\w.]+\.(?:py|mjs|html|ini))(?: -->)?\n")
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
    """The folder and the shell of a reader who follows the guide.

    :arg path: of the guide, for messages.
    :arg serves: the commands of the guide that keep running as servers, and their ports in the guide.
    :arg ports: the ports to use, by the ports of the guide.
    """

    def __init__(self, folder: Path, path: Path, serves: Mapping[str, str], ports: Mapping[str, str]) -> None:
        self._folder = folder
        self._path = path
        self._serves = serves
        self._ports = ports
        self._variables = ""
        self._serving: dict[int, asyncio.subprocess.Process] = {}
        self._environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        }

    async def follow(self, block: Block) -> str:
        """Follow a block, and return what its commands have printed."""
        file = FILE.match(block.text)
        served = [port for command, port in self._serves.items() if f"\n{command}" in f"\n{block.text}"]
        if file:
            (self._folder / file[1]).write_text(block.text)
        elif block.language == "sh" and served:
            await self._serve(block, int(self._ports[served[0]]))
        elif block.language != "html":
            return await self._run(block)
        return ""

    def printed(self, block: Block) -> str:
        """Return what the server of a block has printed so far."""
        return self._log(block.line).read_text()

    async def _run(self, block: Block) -> str:
        if block.language == "sh":
            command = ["sh", "-euc", self._variables + block.text]
            if VARIABLES.fullmatch(block.text):
                self._variables += block.text
        else:
            program, name = RUN[block.language]
            (self._folder / name).write_text(block.text)
            command = [program, name]
        process = await self._start(command, asyncio.subprocess.PIPE, asyncio.subprocess.PIPE)
        output, errors = (each.decode() for each in await process.communicate())
        where = f"{self._path.name}, line {block.line}: {errors}{output}"
        assert process.returncode == 0, where
        if block.shows:
            assert matches(output, block.shows) or matches(errors + output, block.shows), where
        return output

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

    async def _start(
        self, command: list[str], output: object, errors: object = asyncio.subprocess.STDOUT
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=self._folder,
            env=self._environment,
            stdout=output,  # type: ignore[arg-type]
            stderr=errors,  # type: ignore[arg-type]
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


def free_ports(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(each.getsockname()[1]) for each in sockets]
