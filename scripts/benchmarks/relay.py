"""Messages between pairs: ours, with everything on, beside a stock Tornado relay in memory."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECRET = "a secret of the benchmark, long enough for HS256"
SERVER_CORE, LOAD_CORE = 0, 1
TEXT = "x" * 88  # with the JSON around it, 100 bytes
PAIRS = 50
IN_FLIGHT = 4
SECONDS = 4.0


def lines(rounds: int) -> Iterator[str]:
    yield f"relay: {PAIRS} pairs, {IN_FLIGHT} messages of each socket under way, {SECONDS:g} s a round"
    candidates: dict[str, Callable[[], dict[str, float]]] = {
        "stock Tornado, in memory": stock,
        "counselling, durability = full": lambda: counselling("full"),
        "counselling, durability = normal": lambda: counselling("normal"),
    }
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    last: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for name, run in candidates.items():
            last[name] = run()
            rates[name].append(last[name]["messages"] / last[name]["seconds"])
    yield f"  {'':<36} {'per s, median':>13} {'min':>8} {'max':>8} {'ratio':>6} {'p50 ms':>7} {'p99 ms':>7}  load CPU"
    yardstick = statistics.median(next(iter(rates.values())))
    for name, found in rates.items():
        median = statistics.median(found)
        more = last[name]
        yield (
            f"  {name:<36} {median:>13.0f} {min(found):>8.0f} {max(found):>8.0f} {median / yardstick:>6.2f} "
            f"{more['p50'] * 1e3:>7.1f} {more['p99'] * 1e3:>7.1f}  {more['cpu']:.2f}"
        )


def stock() -> dict[str, float]:
    message = json.dumps({"msg": TEXT})
    with Server([sys.executable, str(HERE / "stock_relay.py")]) as url:
        pairs = [[{"path": f"/relay/r{n}", "message": message}] * 2 for n in range(PAIRS)]
        return load(url, pairs, None)


def counselling(durability: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret"
        secret.write_text(SECRET)
        options = [
            "server.port=0",
            f"server.state_dir={folder}/state",
            f"auth.secret_file={secret}",
            f"storage.durability={durability}",
            "limits.messages_per_second=1000000",
            "limits.burst=1000000",
            "logging.level=warning",
            "plugins.enabled=",
        ]
        arguments = [word for option in options for word in ("--set", option)]
        with Server([sys.executable, str(HERE / "our_server.py"), *arguments]) as url:
            return load(url, [pair(url, n) for n in range(PAIRS)], '"isSystem":true')


def pair(url: str, n: int) -> list[dict[str, str]]:
    body = json.dumps({"user_id": n, "consultant_id": n}).encode()
    headers = {"Authorization": f"Bearer {token('service', 'bench')}"}
    request = urllib.request.Request(f"{url}/api/v1/sessions", body, headers)
    with urllib.request.urlopen(request) as answer:
        session = json.load(answer)["session_id"]
    message = json.dumps({"msg": TEXT})
    return [
        {"path": f"/chat?token={token(role, n)}&sessionId={session}&type=0", "message": message}
        for role in ("user", "consultant")
    ]


def token(role: str, id: Any) -> str:
    import jwt

    return jwt.encode({"id": id, "type": role, "exp": int(time.time()) + 3600}, SECRET, "HS256")


def load(url: str, pairs: list[list[dict[str, str]]], skip: str | None) -> dict[str, float]:
    host, port = url.removeprefix("http://").split(":")
    plan = {
        "host": host,
        "port": int(port),
        "pairs": pairs,
        "skip": skip,
        "in_flight": IN_FLIGHT,
        "warm_up": 1.0,
        "seconds": SECONDS,
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py")],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout)
    return result


class Server:
    """A server process on its own core; the context is its URL."""

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def __enter__(self) -> str:
        self._process = subprocess.Popen(
            self._command,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            found = re.search(r"url=(http://\S+)", line)
            if found:
                return found[1]
            sys.stderr.write(line)
        raise SystemExit("the server did not start")

    def __exit__(self, *error: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()
