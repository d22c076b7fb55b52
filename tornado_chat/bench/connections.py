"""Benchmarks of connections: connects, idle sockets, mass reconnects, and pages of history."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial

from tornado_chat.bench.comparison import compare_rates
from tornado_chat.bench.servers import (
    ServerProcess,
    address,
    chat_server,
    load,
    pin,
    session,
    stock_server,
    token,
)

CONCURRENT_CONNECTS = 20
SESSION_COUNT = 200
"""Many more than ``CONCURRENT_CONNECTS``: a person whose last socket is not closed yet is not announced
again, so the frame that marks the socket as ready would not come."""
IDLE_SOCKETS = 10_000
CONNECT_TIMEOUT_SECONDS = 60.0
HISTORY_MESSAGES = 10_000  # of the session whose history is read
PAGE_MESSAGES = 100
MEASURE_SECONDS = 4.0


def connects(rounds: int) -> Iterator[str]:
    title = f"connects: sockets opened per second, {CONCURRENT_CONNECTS} at a time, until each is ready"
    yield from compare_rates(
        title,
        {
            "stock Tornado, upgrade only": _stock_connects,
            "/notify: JWT, inbox": _notify_connects,
            "/chat: JWT, session, missed messages": _chat_connects,
            "/chat with the last page of history": partial(_chat_connects, "history"),
        },
        rounds,
    )


def idle(rounds: int) -> Iterator[str]:
    yield f"idle: {IDLE_SOCKETS} silent sockets, resident memory of the server"
    yield f"  {'':<36} {'KiB a socket':>13} {'ratio':>6} {'held':>7} {'seconds':>8}"
    servers = _servers_with_paths()
    results: dict[str, list[tuple[float, int, float]]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, (server, paths) in servers.items():
            results[name].append(_hold(name, server, paths))
    baseline = statistics.median(kib for kib, _, _ in results["stock Tornado"])
    for name, rows in results.items():
        kib, held, seconds = map(statistics.median, zip(*rows, strict=True))
        yield f"  {name:<36} {kib:>13.1f} {kib / baseline:>6.2f} {held:>7.0f} {seconds:>8.1f}"


def storm(rounds: int) -> Iterator[str]:
    yield (
        f"storm: {IDLE_SOCKETS} sockets that reconnect at the same time, as after a restart; "
        "seconds until they are open"
    )
    yield f"  {'':<36} {'half':>7} {'last':>7} {'failed':>7}"
    servers = _servers_with_paths()
    results: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, (server, paths) in servers.items():
            with server() as process:
                results[name].append(
                    load(process, "storm", 0.0, paths=paths, times=2, timeout=CONNECT_TIMEOUT_SECONDS)
                )
    for name, rows in results.items():
        half, last, failed = (
            statistics.median(row[key] for row in rows) for key in ("p50", "last", "failed")
        )
        yield f"  {name:<36} {half:>7.2f} {last:>7.2f} {failed:>7.0f}"


def history(rounds: int) -> Iterator[str]:
    title = f"history: pages of {PAGE_MESSAGES} messages per second, of a session with {HISTORY_MESSAGES}"
    yield from compare_rates(
        title, {"stock Tornado, a page in memory": _stock_pages, "GET …/messages": _api_pages}, rounds
    )


def _servers_with_paths() -> Mapping[
    str, tuple[Callable[[], AbstractContextManager[ServerProcess]], list[str]]
]:
    """Return, by name, the servers of ``idle`` and ``storm`` and the paths of their sockets."""
    return {
        "stock Tornado": (stock_server, [f"/relay/r{n}" for n in range(IDLE_SOCKETS)]),
        "/notify": (chat_server, [f"/notify?token={token('user', n)}" for n in range(IDLE_SOCKETS)]),
    }


def _stock_connects() -> dict[str, float]:
    with stock_server() as process:
        paths = [f"/relay/r{n}" for n in range(SESSION_COUNT)]
        return load(process, "connect", MEASURE_SECONDS, paths=paths, in_flight=CONCURRENT_CONNECTS)


def _notify_connects() -> dict[str, float]:
    with chat_server() as process:
        paths = [f"/notify?token={token('user', n)}" for n in range(SESSION_COUNT)]
        return load(process, "connect", MEASURE_SECONDS, paths=paths, in_flight=CONCURRENT_CONNECTS)


def _chat_connects(features: str = "") -> dict[str, float]:
    with chat_server() as process:
        paths = [
            f"/chat?token={token('user', n)}&sessionId={session(process.url, n)}&type=0&features={features}"
            for n in range(SESSION_COUNT)
        ]
        # The last frame on joining: the history, or without that feature the notice of the own arrival.
        last = f'"{features or "isSystem"}"'
        return load(
            process, "connect", MEASURE_SECONDS, paths=paths, in_flight=CONCURRENT_CONNECTS, ready=last
        )


def _hold(
    name: str, server: Callable[[], AbstractContextManager[ServerProcess]], paths: list[str]
) -> tuple[float, int, float]:
    with server() as process:
        before, started = process.resident, time.perf_counter()
        plan = {"job": "hold", "sockets": [{"path": path} for path in paths], **address(process.url)}
        command = [sys.executable, "-m", "tornado_chat.bench.load"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, preexec_fn=pin(1)) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdin.write(json.dumps(plan) + "\n")
            holder.stdin.flush()
            if holder.stdout.readline() != "held\n":
                raise SystemExit(
                    f"{name}: the sockets could not be held; is `ulimit -n` below {IDLE_SOCKETS + 100}?"
                )
            seconds = time.perf_counter() - started
            grown = process.resident - before
            holder.stdin.close()
            held: int = json.loads(holder.stdout.read())["open"]
        return grown / len(paths) / 1024, held, seconds


def _stock_pages() -> dict[str, float]:
    with stock_server() as process:
        request = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n"
        return load(process, "request", MEASURE_SECONDS, requests=[request], in_flight=10)


def _api_pages() -> dict[str, float]:
    with chat_server() as process:
        number = session(process.url, 1)
        sender = {
            "path": f"/chat?token={token('user', 1)}&sessionId={number}&type=0&features=ack",
            "message": json.dumps({"msg": "x" * 88, "id": "{n}"}),
            "in_flight": 50,
            "count": '"ack"',
        }
        load(process, "fill", 0.0, sockets=[sender], messages=HISTORY_MESSAGES)
        bearer = token("service", "bench")
        requests = [
            f"GET /api/v1/sessions/{number}/messages?limit={PAGE_MESSAGES}&after={after} HTTP/1.1\r\n"
            f"Host: x\r\nAuthorization: Bearer {bearer}\r\n\r\n"
            for after in range(0, HISTORY_MESSAGES // 5, PAGE_MESSAGES)
        ]
        return load(process, "request", MEASURE_SECONDS, requests=requests, in_flight=10)
