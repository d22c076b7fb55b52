"""The processes of a benchmark: a server on one core, the load generator on another."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jwt

SECRET = "a secret of the benchmark, long enough for HS256"  # of servers that run for seconds
UNLIMITED_OPTIONS = (
    "limits.messages_per_second=1000000",
    "limits.burst=1000000",
    "limits.connections_per_identity=100000",
    "limits.sockets_per_minute=1000000",
    "limits.requests_per_minute=1000000",
    "limits.sessions_per_hour=1000000",
    "limits.bytes_per_second=1000000000",
    "limits.bytes_burst=1000000000",
    "logging.level=warning",
    "plugins.enabled=",
)
"""Options that turn off limits, informational logs and plugins, which are not measured."""


class ServerProcess:
    """A context manager that runs a server process.

    :arg command: the server, which writes ``url=http://…`` to standard error when it listens.
    :arg core: the core to run on; None: any.
    :ivar url: the server's address, within the context.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        core: int | None = 0,
    ) -> None:
        self._command = command
        self._core = core
        self._environment = environment

    def __enter__(self) -> "ServerProcess":
        self._process = subprocess.Popen(
            self._command,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(self._environment or {})},
            preexec_fn=None if self._core is None else pin(self._core),
        )
        assert self._process.stderr is not None
        seen = []
        for line in self._process.stderr:
            found = re.search(r"url=(http://\S+)", line)
            if found:
                self.url = found[1]
                return self
            seen.append(line)
        raise SystemExit(f"{' '.join(self._command)} did not start:\n{''.join(seen)}")

    def __exit__(self, *error: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()

    @property
    def resident(self) -> int:
        """The resident memory in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    @property
    def pid(self) -> int:
        return self._process.pid


def python(
    module: str, *arguments: str, core: int | None = 0, environment: Mapping[str, str] | None = None
) -> ServerProcess:
    command = [sys.executable, "-m", f"tornado_chat.bench.{module}", *arguments]
    return ServerProcess(command, environment, core=core)


@contextlib.contextmanager
def chat_server(
    *options: str, core: int | None = 0, environment: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """Run tornado_chat on a temporary database."""
    with tempfile.TemporaryDirectory(prefix="tornado-chat-bench-") as folder:
        secret = Path(folder) / "secret"
        secret.write_text(SECRET)
        fixed = ("server.port=0", f"server.state_dir={folder}/state", f"auth.secret_file={secret}")
        given = [word for option in (*fixed, *UNLIMITED_OPTIONS, *options) for word in ("--set", option)]
        with python("chat_server", *given, core=core, environment=environment) as process:
            yield process


def stock_server() -> ServerProcess:
    """Return the baseline server: Tornado without tornado_chat."""
    return python("stock_server")


def load(process: ServerProcess, job: str, seconds: float, **plan: Any) -> dict[str, float]:
    """Run the load generator on another core. In its result ``server`` is the server's processor time."""
    plan |= {
        "job": job,
        "seconds": seconds,
        "warm_up": min(1.0, seconds / 3),
        "server": process.pid,
        **address(process.url),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tornado_chat.bench.load"],
        input=json.dumps(plan) + "\n",
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=pin(1),
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def address(url: str) -> dict[str, Any]:
    host, port = url.removeprefix("http://").split(":")
    return {"host": host, "port": int(port)}


def pin(core: int) -> Callable[[], None]:
    """Return a ``preexec_fn`` that pins a process to the core, or to the last one if there are fewer."""
    cores = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cores[min(core, len(cores) - 1)]})


def token(role: str, id: int | str) -> str:
    return jwt.encode({"id": id, "type": role, "exp": int(time.time()) + 3600}, SECRET, "HS256")


def post(url: str, path: str, body: Any) -> Any:
    """Call the HTTP API as the host system, and return the decoded answer."""
    headers = {"Authorization": f"Bearer {token('service', 'bench')}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def session(url: str, n: int) -> int:
    """Open a counselling session of the visitor ``n`` and the consultant ``n``, and return its id."""
    number: int = post(url, "/api/v1/sessions", {"user_id": n, "consultant_id": n})["session_id"]
    return number
