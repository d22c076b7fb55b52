"""The server that is attacked: a real process, started from this tree in a temporary directory."""

import asyncio
import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.attacks.machine import family
from tornado_chat import config

READY = re.compile(r"\b(?:all processes are ready|ready) .*url=http://127\.0\.0\.1:(\d+)")
ALL_READY = re.compile(r"\ball processes are ready .*url=http://127\.0\.0\.1:(\d+)")
PROBLEM = re.compile(r"\b(ERROR|CRITICAL|Traceback)\b|--- Logging error ---")
WARNING = re.compile(r"\bWARNING\b")

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 60.0
SECRET = b"the secret of an attacked server: 32 bytes at least"
ISSUER, AUDIENCE = "attacked-host", "attacked-server"
BLOCKED_WORDS = ("赌博", "casino", "密码出售")
MASKED_WORDS = ("坏蛋", "坏坏坏蛋", "aab", "darn")

OUTER_VARIABLES = ("JOURNAL_STREAM", "TORNADO_CHAT_CONFIG", "NOTIFY_SOCKET")
"""Variables of the surroundings that the server must not see."""


class TargetServer:
    """One server. Its folder is new, and its log goes into a file, so that no reader can hold it up.

    :arg options: options as for ``--set``, beyond those of every attacked server.
    :arg descriptors: its limit of file descriptors; None: as in this process.
    :ivar port: on 127.0.0.1.
    """

    def __init__(self, directory: Path, options: Sequence[str], descriptors: int | None = None) -> None:
        self.directory = directory
        self.port = 0
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "log"
        (directory / "secret").write_bytes(SECRET)
        for action, words in (("block", BLOCKED_WORDS), ("mask", MASKED_WORDS)):
            (directory / action).write_text("\n".join(words) + "\n")
        self.options = [
            "server.port=0",
            f"server.state_dir={directory / 'state'}",
            "server.drain_seconds=0.2",
            # Only 127.0.0.1 is a proxy and an operator; the attackers have other loopback addresses.
            "server.trusted_proxies=127.0.0.1/32",
            "web.ops_networks=127.0.0.1/32",
            f"auth.secret_file={directory / 'secret'}",
            f"auth.issuer={ISSUER}",
            f"auth.audience={AUDIENCE}",
            "auth.guests=on",
            "storage.durability=normal",
            "plugins.enabled=audit, keyword_filter, queue_policy",
            *(f"plugin:keyword_filter.{action}={directory / action}" for action in ("block", "mask")),
            *filter(_is_known, options),
        ]

    async def start(self) -> None:
        """Start the process, and return when it is ready.

        :raises RuntimeError: it has ended instead; the text has its log.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                [sys.executable, "-m", "tornado_chat", "serve", *self._arguments],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env={name: value for name, value in os.environ.items() if name not in OUTER_VARIABLES},
                preexec_fn=self._limit_descriptors if self._descriptors else None,
            )
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            while (found := (ALL_READY if self.processes > 1 else READY).search(self.log)) is None:
                if self._process.poll() is not None:
                    raise RuntimeError(f"the server did not start:\n{self.log}")
                await asyncio.sleep(0.02)
        self.port = int(found[1])

    @property
    def processes(self) -> int:
        """The number of processes. Each counts for itself what it limits."""
        counts = [
            int(each.partition("=")[2]) for each in self.options if each.startswith("server.processes=")
        ]
        return counts[-1] if counts else 1

    def command(self, *words: str) -> str:
        """Run a command of ``tornado-chat`` with the configuration of the server; return its output.

        :raises RuntimeError: it has failed, with its message.
        """
        done = subprocess.run(
            [sys.executable, "-m", "tornado_chat", *words, *self._arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(f"tornado-chat {' '.join(words)}: {done.stderr}")
        return done.stdout

    @property
    def _arguments(self) -> list[str]:
        return [word for option in self.options for word in ("--set", option)]

    def _limit_descriptors(self) -> None:
        assert self._descriptors is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._descriptors, self._descriptors))

    async def stop(self) -> int | None:
        """Stop the process by SIGTERM. Returns the exit code, None if it had to be killed."""
        process = self._process
        if process is None:
            return 0
        self._process = None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(process.wait, STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def problems(self, expected: Sequence[str]) -> list[str]:
        """Return the lines of the log that report an error, without those that match ``expected``."""
        return [
            line
            for line in self.log.splitlines()
            if PROBLEM.search(line) and not any(re.search(pattern, line) for pattern in expected)
        ]

    @property
    def warnings(self) -> int:
        """The number of warnings in the log."""
        return sum(1 for line in self.log.splitlines() if WARNING.search(line))

    @property
    def memory_bytes(self) -> int:
        """The resident memory of the process and its workers."""
        assert self._process is not None
        return sum(_resident_bytes(pid) for pid in family(self._process.pid))


def _is_known(option: str) -> bool:
    """Return True if this version has the option. An older one, which lacks some, can be attacked, too."""
    section, _, name = option.partition("=")[0].partition(".")
    return section.startswith("plugin:") or hasattr(getattr(config.Config(), section), name)


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0
