"""Benchmarks of fan-out, one sender with a hundred observers, and of notifications to single people."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from tornado_chat.bench.comparison import Workloads, compare_rates
from tornado_chat.bench.servers import ServerProcess, chat_server, load, session, stock_server, token

TEXT = "x" * 88
OBSERVERS = 100
IN_FLIGHT_COUNTS = (4, 16)  # messages of the sender under way; with few the commit time dominates
RECIPIENTS = 50
MEASURE_SECONDS = 4.0


def measure(rounds: int) -> Iterator[str]:
    for in_flight in IN_FLIGHT_COUNTS:
        title = (
            f"fan-out: frames written per second to {OBSERVERS} observers, one sender, "
            f"{in_flight} messages under way"
        )
        workloads: Workloads = {
            "stock Tornado, write_message loop": partial(_measure_stock, in_flight),
            "counselling, /observe": partial(_measure_observe, in_flight),
        }
        yield from compare_rates(title, workloads, rounds)


def notifications(rounds: int) -> Iterator[str]:
    title = f"notifications: HTTP calls delivered to a socket per second, {RECIPIENTS} people"
    yield from compare_rates(
        title,
        {"stock Tornado, write_message": _measure_stock_posts, "stored, /notify": _measure_notify},
        rounds,
    )


def _measure_stock(in_flight: int) -> dict[str, float]:
    with stock_server() as process:
        observers = [{"path": "/relay/one"}] * OBSERVERS
        return _measure_sender(process, in_flight, {"path": "/relay/one"}, observers)


def _measure_observe(in_flight: int) -> dict[str, float]:
    with chat_server("counselling.observe=any") as process:
        number = session(process.url, 1)
        sender = {"path": f"/chat?token={token('user', 1)}&sessionId={number}&type=0"}
        observers = [
            {"path": f"/observe?token={token('supervisor', n)}&sessionId={number}"} for n in range(OBSERVERS)
        ]
        return _measure_sender(process, in_flight, sender, observers)


def _measure_sender(
    process: ServerProcess, in_flight: int, sender: dict[str, Any], observers: list[dict[str, Any]]
) -> dict[str, float]:
    message = json.dumps({"msg": TEXT})
    sending_socket = {
        **sender,
        "message": message,
        "in_flight": in_flight,
        "acknowledged_by": OBSERVERS,
        "count": "nothing",
    }
    return load(process, "talk", MEASURE_SECONDS, sockets=[sending_socket, *observers])


def _measure_stock_posts() -> dict[str, float]:
    with stock_server() as process:
        sockets: list[dict[str, Any]] = [{"path": f"/relay/r{n}"} for n in range(RECIPIENTS)]
        return _measure_posts(
            process, sockets, [f"/post/r{n}" for n in range(RECIPIENTS)], ["{}"] * RECIPIENTS
        )


def _measure_notify() -> dict[str, float]:
    with chat_server() as process:
        sockets: list[dict[str, Any]] = [
            {"path": f"/notify?token={token('consultant', n)}"} for n in range(RECIPIENTS)
        ]
        bodies = [
            json.dumps({"role": "consultant", "id": n, "type": 0, "msg": "hello"}) for n in range(RECIPIENTS)
        ]
        return _measure_posts(process, sockets, ["/api/v1/notifications"] * RECIPIENTS, bodies)


def _measure_posts(
    process: ServerProcess, sockets: list[dict[str, Any]], paths: list[str], bodies: list[str]
) -> dict[str, float]:
    head = (
        f"Host: x\r\nAuthorization: Bearer {token('service', 'bench')}\r\nContent-Type: application/json\r\n"
    )
    callers = [
        {
            "http": True,
            "message": f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}",
            "in_flight": 1,
            "acknowledged_by": n,
        }
        for n, (path, body) in enumerate(zip(paths, bodies, strict=True))
    ]
    return load(process, "talk", MEASURE_SECONDS, sockets=[*sockets, *callers])
