"""Benchmarks of messages between pairs: complete tornado_chat, and a plain Tornado relay in memory."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tornado_chat.bench.comparison import Workloads, compare_rates
from tornado_chat.bench.servers import ServerProcess, chat_server, load, python, session, stock_server, token

TEXT = "x" * 88  # with the JSON around it, 100 bytes
PAIRS = 50
IN_FLIGHT = 4
MEASURE_SECONDS = 4.0
SOCKET_COUNTS = (100, 10, 1_000, 10_000)  # the first is the baseline
SENDING_SOCKETS = 50
"""One socket of each pair of 100 sockets. With more sockets the same number of pairs sends messages."""


def measure(rounds: int, storage: str = "") -> Iterator[str]:
    """Measure both dialects on SQLite.

    :arg storage: the URL of another database to measure as well; the messages stay in it.
    """
    title = (
        f"relay: {PAIRS} pairs, {IN_FLIGHT} messages of each socket under way, {MEASURE_SECONDS:g} s a round"
    )
    measured = dict(candidates())
    if storage:
        measured[f"counselling, {storage.partition(':')[0]}"] = lambda: counselling(f"storage.url={storage}")
    return compare_rates(title, measured, rounds)


def candidates() -> Workloads:
    return {
        "stock Tornado, in memory": stock_pairs,
        "the load generator's own limit": ceiling,
        "counselling, durability = full": lambda: counselling("storage.durability=full"),
        "counselling, durability = normal": lambda: counselling("storage.durability=normal"),
        "support, durability = full": lambda: support("storage.durability=full"),
    }


def half_load(rounds: int) -> Iterator[str]:
    """Measure the latency at half of the maximum rate, with one message under way at a time."""
    max_rates = {
        "stock_server": _rate(stock_pairs()),
        "chat_server": _rate(counselling("storage.durability=full")),
    }
    title = f"latency: {PAIRS} pairs, at half of the maximum rate measured just before"
    workloads: Workloads = {
        "stock Tornado, in memory": lambda: stock_pairs(rate=max_rates["stock_server"] / 2),
        "counselling, durability = full": lambda: counselling(
            "storage.durability=full", rate=max_rates["chat_server"] / 2
        ),
    }
    yield from compare_rates(title, workloads, rounds)


def growth(rounds: int) -> Iterator[str]:
    """Measure with a growing number of sockets, of which a constant number has messages under way."""
    for name, measure_pairs in (
        ("stock Tornado, in memory", stock_pairs),
        ("counselling, durability = full", counselling),
    ):
        workloads: Workloads = {
            f"{size:,} sockets": partial(measure_pairs, pairs=size // 2) for size in SOCKET_COUNTS
        }
        yield from compare_rates(f"growth: {name}, {SENDING_SOCKETS} messages under way", workloads, rounds)


def _rate(result: dict[str, float]) -> float:
    return result["count"] / result["seconds"]


def stock_pairs(pairs: int = 0, rate: float = 0) -> dict[str, float]:
    """Measure the baseline server.

    :arg pairs: the number of pairs, of which ``SENDING_SOCKETS`` sockets send; 0: ``PAIRS`` pairs, which all
        send.
    """
    with stock_server() as process:
        plans = [pair(f"/relay/r{n}", f"/relay/r{n}") for n in range(pairs or PAIRS)]
        return talk(process, plans, rate, limit_senders=bool(pairs))


def ceiling() -> dict[str, float]:
    with python("ceiling") as process:
        return talk(process, [pair(f"/r{n}", f"/r{n}") for n in range(PAIRS)])


def counselling(
    *options: str, pairs: int = 0, rate: float = 0, environment: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Measure the counselling dialect. :arg pairs: as of ``stock_pairs``."""
    with chat_server(*options, environment=environment) as process:
        plans = []
        for n in range(pairs or PAIRS):
            number = session(process.url, n)
            visitor, consultant = (
                f"/chat?token={token(role, n)}&sessionId={number}&type=0" for role in ("user", "consultant")
            )
            plans.append(pair(visitor, consultant, count='"isSystem":false'))
        return talk(process, plans, rate, limit_senders=bool(pairs))


def support(*options: str) -> dict[str, float]:
    with chat_server("support.capacity=1", *options) as process:
        return talk(process, [_support_pair(n) for n in range(PAIRS)])


def talk(
    process: ServerProcess, pairs: list[list[dict[str, Any]]], rate: float = 0, *, limit_senders: bool = False
) -> dict[str, float]:
    """Measure messages between pairs.

    :arg rate: messages per second of all sockets together; 0: each message that arrives causes a new one.
    :arg limit_senders: keep only ``SENDING_SOCKETS`` messages under way, for any number of pairs.
    """
    sockets = [socket for pair in pairs for socket in pair]
    started = 0
    for n, socket in enumerate(sockets):
        socket["acknowledged_by"] = n ^ 1
        if rate:
            socket["rate"] = rate / len(sockets)
        if limit_senders:
            due = (n + 1) * SENDING_SOCKETS // len(sockets)
            socket["in_flight"] = due - started
            if due == started:
                del socket["message"]
            started = due
    return load(process, "talk", MEASURE_SECONDS, sockets=sockets)


def pair(first: str, second: str, count: str | None = None) -> list[dict[str, Any]]:
    """Return the plans of two sockets. :arg count: a text in the counted frames; None: all frames."""
    message = json.dumps({"msg": TEXT})
    return [
        {"path": path, "message": message, "in_flight": IN_FLIGHT, "count": count} for path in (first, second)
    ]


def _support_pair(n: int) -> list[dict[str, Any]]:
    """Return a user and the waiter that it is assigned to: the queue has no other user at that moment."""
    user = {
        "path": "/v1/ws/user/connect",
        "hello": [frame("auth", {"token": token("user", n)}), frame("connect")],
        "ready": '"connect_success"',
        "ready_later": True,
        "message": frame("message_text", {"message": TEXT}, "{n}"),
    }
    waiter = {
        "path": "/v1/ws/waiter/connect",
        "hello": [frame("auth", {"token": token("waiter", n)}), frame("ready")],
        "ready": '"new_connection"',
        "message": frame("message_text", {"message": TEXT}, "{n}", "{uuid}"),
    }
    return [{**each, "in_flight": IN_FLIGHT, "count": '"message_text"'} for each in (user, waiter)]


def frame(type: str, payload: Any = None, id: str = "1", to: str | None = None) -> str:
    """Return the text of a frame of the support dialect."""
    frame = {"id": id, "type": type, "payload": payload}
    return json.dumps(frame if to is None else {**frame, "to": to})
