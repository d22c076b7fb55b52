"""The throw-away server of a drill: a real process of this tree, with its own folder, port and secret."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

READY = re.compile(r"\bready .*url=http://127\.0\.0\.1:(\d+)")
PROBLEM = re.compile(r"\b(ERROR|CRITICAL|Traceback)\b|--- Logging error ---")
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 60.0
COMMAND_TIMEOUT_SECONDS = 600.0
SECRET = b"the secret of a throw-away server: 32 bytes at least"
DATABASE_NAME = "tornado-chat.sqlite3"

RECORD_TABLES = ("data_operation", "audit_record", "audit_head", "sqlite_sequence")
"""The tables that a command may change by recording itself."""

OUTER_VARIABLES = ("JOURNAL_STREAM", "TORNADO_CHAT_CONFIG", "NOTIFY_SOCKET", "STATE_DIRECTORY")
"""Variables of the surroundings that the server and its commands must not see."""


@dataclass(frozen=True)
class CommandResult:
    """The end of a command of ``tornado-chat``."""

    code: int
    output: str
    errors: str

    @property
    def last_line(self) -> str:
        return (self.errors or self.output).strip().rpartition("\n")[2]


def token(role: str, id: str) -> str:
    """Return a valid token, as the host makes it."""
    now = int(time.time())
    return jwt.encode({"id": id, "type": role, "iat": now, "exp": now + 86400}, SECRET, "HS256")


class DrillServer:
    """One server, which may be stopped, killed and started again on its port.

    :arg directory: an empty folder for the log and the secret.
    :arg state_dir: the state directory; a folder in ``directory`` by default.
    :arg options: options as for ``--set``, beyond those of every drill.
    """

    def __init__(self, directory: Path, options: Sequence[str] = (), state_dir: Path | None = None) -> None:
        self.directory = directory
        self.state_dir = state_dir or directory / "state"
        self.log_path = directory / "log"
        self.port = 0
        self._options = list(options)
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / "secret").write_bytes(SECRET)
        (directory / "secret").chmod(0o600)

    @property
    def database(self) -> Path:
        return self.state_dir / DATABASE_NAME

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the process, and return when it is ready.

        :raises RuntimeError: it has ended instead; the text is the end of its log.
        """
        with self.log_path.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                self._command_line("serve"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=_environment(),
            )
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            while (found := READY.search(self._log_after(begin))) is None:
                if self._process.poll() is not None:
                    raise RuntimeError(f"the server did not start: {self._log_after(begin)[-500:]}")
                await asyncio.sleep(0.02)
        self.port = int(found[1])

    async def stop(self, number: int = signal.SIGTERM) -> None:
        """End the process by a signal, and wait for its end."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            await asyncio.to_thread(process.wait, STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    async def command(self, *words: str) -> CommandResult:
        """Run a command of ``tornado-chat`` with the configuration of the server."""
        running = await asyncio.create_subprocess_exec(
            *self._command_line(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
        )
        async with asyncio.timeout(COMMAND_TIMEOUT_SECONDS):
            output, errors = await running.communicate()
        return CommandResult(running.returncode or 0, output.decode(), errors.decode())

    async def api(self, method: str, path: str, who: str, body: Any = None) -> Any:
        """Call the HTTP API, and return the answer. :raises RuntimeError: the status is no success."""
        answer = await AsyncHTTPClient().fetch(
            HTTPRequest(
                f"{self.url}/api/v1{path}",
                method=method,
                headers={"Authorization": f"Bearer {who}"},
                body=None if method == "GET" else json.dumps(body or {}),
            ),
            raise_error=False,
        )
        if answer.code >= 300:
            raise RuntimeError(f"{method} {path} was answered by {answer.code}")
        return json.loads(answer.body) if answer.body else None

    async def open_session(self, user: str, consultant: str, **more: str) -> int:
        body = {"user_id": user, "consultant_id": consultant, **more}
        return int((await self.api("POST", "/sessions", token("service", "drill"), body))["session_id"])

    def problems(self) -> list[str]:
        """Return the lines of the log that report an error."""
        return [
            line for line in self.log_path.read_text(errors="replace").splitlines() if PROBLEM.search(line)
        ]

    def _log_after(self, begin: int) -> str:
        return self.log_path.read_bytes()[begin:].decode(errors="replace")

    def _command_line(self, *words: str) -> list[str]:
        options = [
            f"server.port={self.port}",
            f"server.state_dir={self.state_dir}",
            "server.drain_seconds=0.2",
            f"auth.secret_file={self.directory / 'secret'}",
            "counselling.rejoin_grace=300",
            "counselling.leave_grace=300",
            *self._options,
        ]
        arguments = [word for option in options for word in ("--set", option)]
        return [sys.executable, "-m", "tornado_chat", *words, *arguments]


def row_counts(database: Path) -> dict[str, int]:
    """Return the number of rows of each table of a database file that no server uses.

    The tables in which commands record themselves are left out.
    """
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for (name,) in names
            if name not in RECORD_TABLES
        }


def stored_texts(database: Path, session: int) -> list[str]:
    """Return the texts of a session, in their order. :raises ValueError: a number is missing."""
    query = "SELECT seq, text FROM message WHERE kind = 1 AND thread_id = ? ORDER BY seq"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(query, (session,)).fetchall()
    if [seq for seq, _ in rows] != list(range(1, len(rows) + 1)):
        raise ValueError(f"session {session}: the numbers of the messages have gaps")
    return [text for _, text in rows]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OUTER_VARIABLES}
