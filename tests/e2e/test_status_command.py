"""``tornado-chat status`` for the real process: its output, and its errors when no server answers."""

import asyncio
import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.conftest import token
from tests.e2e.conftest import Process
from tornado_chat.cli import main
from tornado_chat.cli.status_text import duration
from tornado_chat.server import status_file

RUNNER = CliRunner()
ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""The environment of a machine whose terminal is not in UTF-8."""


async def run_status(process: Process, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run ``tornado-chat status`` with the server's configuration. Returns exit code, output and errors."""
    options = [argument for option in process.options for argument in ("--set", option)]
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tornado_chat", "status", *options, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    out, err = await command.communicate()
    return command.returncode or 0, out.decode(), err.decode()


@pytest.mark.gen_test
async def test_the_status_shows_connected_people(process: Process) -> None:
    harness = (await process.start()).harness
    user = await harness.user(5)
    await user.until("connect_queue")
    waiter = await harness.waiter("anna", name="安娜\x1b[31m")
    await waiter.until("new_connection")
    session = await harness.session()
    visitor = await harness.chat(token("user", 1), session)
    await visitor.recv_json()
    code, out, err = await run_status(process)
    assert (code, err) == (0, "")
    assert "\x1b" not in out  # neither colours nor control characters of names
    lines = out.splitlines()
    assert lines[0].startswith(f"serving  tornado-chat 0.1.0 at {process.url}, process {process.pid}, up ")
    assert "sockets         chat 1  notify 0  observe 0  user 1  waiter 1" in lines
    assert "waiters         ready 1  busy 0  paused 0  away 0" in lines
    assert "conversations   waiting 0  active 1" in lines
    assert "rooms           ready 1  active 0" in lines
    head = next(line for line in lines if line.startswith("waiter  "))
    row = next(line for line in lines if line.startswith("anna"))
    assert head.split() == ["waiter", "name", "state", "users", "for"]
    # Chinese characters take two columns; the cells of a column begin at the same position.
    assert len(row[: row.index("ready")]) + 2 == head.index("state")
    assert re.search(r"^1 +active +\d+ s  user 5, waiter anna$", out, re.MULTILINE)
    assert re.search(rf"^session {session} +ready +\d+ s  user 1, consultant 2 \(away\)$", out, re.MULTILINE)
    assert not [line for line in lines if line != line.rstrip()]
    for client in harness.clients:
        await client.close()


@pytest.mark.gen_test
async def test_json_is_the_servers_response(process: Process) -> None:
    await process.start()
    code, out, err = await run_status(process, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["process"]["pid"] == process.pid
    assert found["problems"] == {}
    assert out.count("\n") == 1


@pytest.mark.gen_test
async def test_the_unix_socket_and_a_url_are_queried(process: Process, tmp_path: Path) -> None:
    process.options.append(f"server.unix_socket={tmp_path / 'sock'}")
    await process.start()
    code, out, _ = await run_status(process)
    assert code == 0
    assert f"at {tmp_path / 'sock'}, process" in out
    code, out, _ = await run_status(process, "--url", process.url)
    assert code == 0
    assert f"at {process.url}, process" in out


@pytest.mark.gen_test
async def test_a_server_that_requires_a_token(process: Process) -> None:
    process.options.append("web.ops_networks=10.0.0.0/8")
    await process.start()
    code, out, err = await run_status(process)
    assert (code, out) == (1, "")
    assert "requires a token: No token was given. Put an admin's token into $TORNADO_CHAT_TOKEN" in err
    code, out, _ = await run_status(process, TORNADO_CHAT_TOKEN=token("admin", 1))
    assert code == 0
    assert out.startswith("serving")
    code, _, err = await run_status(process, TORNADO_CHAT_TOKEN=token("user", 1))
    assert code == 1
    assert "The role user may not use this" in err


@pytest.mark.gen_test
async def test_a_server_that_is_not_running(process: Process) -> None:
    await process.start()
    assert status_file.read(process.directory / "state") is not None
    await process.stop(signal.SIGKILL)
    code, out, err = await run_status(process)
    assert (code, out) == (1, "")
    assert "Connection refused. The server is not running: process" in err
    assert "was killed or crashed" in err
    await process.start()
    await process.stop()
    assert status_file.read(process.directory / "state") is None
    code, _, err = await run_status(process)
    assert code == 1
    assert "The server is not running, or it runs with another configuration" in err


@pytest.mark.gen_test
async def test_a_server_that_listens_elsewhere(process: Process) -> None:
    await process.start()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    code, _, err = await run_status(process, "--set", f"server.port={port}")
    assert code == 1
    assert f"listens at {process.url}: the configuration has changed since its start" in err
    # With a port chosen by the kernel, the command finds the server by its status file.
    code, out, _ = await run_status(process, "--set", "server.port=0")
    assert code == 0
    assert f"at {process.url}, process" in out


@pytest.mark.gen_test
async def test_a_blocked_loop_is_reported(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    await process.start()
    monkeypatch.setattr("tornado_chat.cli.status_client.TIMEOUT_SECONDS", 0.5)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        result = await asyncio.to_thread(run, process)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert result.exit_code == 1
    assert "does not answer within 0 s: it is still starting, its event loop is blocked" in result.output


def run(process: Process, *arguments: str) -> Result:
    options = [argument for option in process.options for argument in ("--set", option)]
    return RUNNER.invoke(main, ["status", *options, *arguments])


@pytest.mark.parametrize(
    ("state", "words"),
    [(status_file.STARTING, "has been starting for"), (status_file.STOPPING, "has been stopping for")],
)
def test_a_server_that_starts_or_stops(tmp_path: Path, state: str, words: str) -> None:
    status_file.write(tmp_path, state)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    options = ("--set", f"server.state_dir={tmp_path}", "--set", f"server.port={port}")
    result = RUNNER.invoke(main, ["status", *options])
    assert result.exit_code == 1
    assert f"The server (process {os.getpid()}) {words}" in result.output
    status_file.remove(tmp_path)
    assert status_file.read(tmp_path) is None


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[str]:
    """Run another web server."""
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_another_program_at_the_port_is_reported(stranger: str) -> None:
    result = RUNNER.invoke(main, ["status", "--url", stranger])
    assert result.exit_code == 1
    assert f"another program answers at {stranger} (200, text/html): check the port" in result.output


def test_wrong_usage() -> None:
    result = RUNNER.invoke(main, ["status", "--url", "localhost:8080"])
    assert result.exit_code == 2
    assert "--url must begin with http:// or https://" in result.output


@pytest.mark.gen_test
async def test_watching_redraws_in_place_until_interrupted(process: Process) -> None:
    await process.start()
    options = [argument for option in process.options for argument in ("--set", option)]
    environments: list[tuple[dict[str, str], bool]] = [({}, True), ({"NO_COLOR": "1"}, False)]
    for environment, coloured in environments:
        shown = await asyncio.to_thread(_watch, options, environment)
        assert shown.count("\x1b[H") == shown.count("serving") >= 2
        assert shown.startswith("\x1b[?1049h")
        assert shown.endswith("\x1b[?1049l")
        assert ("\x1b[32m" in shown) is coloured


@pytest.mark.gen_test
async def test_a_locale_without_the_characters_is_no_failure(process: Process) -> None:
    harness = (await process.start()).harness
    waiter = await harness.waiter("anna", name="安😀")
    options = [argument for option in process.options for argument in ("--set", option)]
    code, out, err = await run_status(process, **ASCII_LOCALE)
    assert (code, err) == (0, "")
    assert re.search("^anna +安😀 +ready", out, re.MULTILINE)
    shown = await asyncio.to_thread(_watch, options, ASCII_LOCALE)
    assert re.search("anna +安😀 +", shown)
    code, out, err = await run_status(process, PYTHONIOENCODING="latin-1")
    assert (code, err) == (0, "")
    assert re.search(r"^anna +\\u5b89\\U0001f600 +ready", out, re.MULTILINE)
    shown = await asyncio.to_thread(_watch, options, {"PYTHONIOENCODING": "latin-1"})
    assert re.search(r"anna +\?\? +", shown)
    await waiter.close()


def _watch(options: list[str], environment: dict[str, str]) -> str:
    """Return the output of ``--watch`` on a terminal; it is interrupted after it has drawn twice."""
    terminal, theirs = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "tornado_chat", "status", "--watch", *options],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
        # Tests that run in the background ignore SIGINT, and child processes inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    shown, interrupted, until = "", False, time.monotonic() + 20
    with contextlib.suppress(OSError):  # the command has closed its side
        while select.select([terminal], [], [], max(0.0, until - time.monotonic()))[0]:
            shown += os.read(terminal, 65536).decode()
            if shown.count("\x1b[J") >= 2 and not interrupted:
                command.send_signal(signal.SIGINT)
                interrupted = True
        command.kill()  # the command hangs, and a thread that waits for it would block the tests
    os.close(terminal)
    assert command.wait() == 0
    return shown


@pytest.mark.gen_test
async def test_a_problem_of_the_server_is_shown_and_fails(process: Process) -> None:
    await process.start()
    database = sqlite3.connect(process.directory / "state" / "tornado-chat.sqlite3", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    code, out, err = await run_status(process)
    assert (code, err) == (1, "")
    assert out.startswith("not serving  tornado-chat")
    assert out.splitlines()[1] == "  database: no answer within 1 s"
    code, out, err = await run_status(process, "--json")
    assert (code, err) == (1, "")
    assert json.loads(out)["problems"].keys() == {"database"}
    database.execute("ROLLBACK")
    database.close()
    while (await run_status(process))[0] != 0:
        pass
    process.expected.append("refused a batch")


@pytest.mark.gen_test
async def test_a_second_server_that_cannot_start_keeps_the_status_file_of_the_first(process: Process) -> None:
    await process.start()
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tornado_chat", "serve"),
        *(argument for option in process.options for argument in ("--set", option)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await second.communicate()
    assert second.returncode == 1
    assert "Is it in use?" in err.decode()
    note = status_file.read(process.directory / "state")
    assert note is not None
    assert (note.pid, note.state, note.alive) == (process.pid, status_file.SERVING, True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (130, "2 min 10 s"), (3600, "1 h"), (90061, "1 d 1 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
