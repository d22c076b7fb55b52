"""Messages between pairs: ours, with everything on, beside a stock Tornado relay in memory."""

import json
from collections.abc import Iterator
from typing import Any

from tornado_chat.bench.rounds import Loads, compare
from tornado_chat.bench.servers import Process, load, ours, python, session, stock, token

TEXT = "x" * 88  # with the JSON around it, 100 bytes
PAIRS = 50
IN_FLIGHT = 4
SECONDS = 4.0


def lines(rounds: int, storage: str = "") -> Iterator[str]:
    """The two dialects, on SQLite.

    :arg storage: url of another database to measure too; what is said there stays there.
    """
    title = f"relay: {PAIRS} pairs, {IN_FLIGHT} messages of each socket under way, {SECONDS:g} s a round"
    found = dict(candidates())
    if storage:
        found[f"counselling, {storage.partition(':')[0]}"] = lambda: counselling(f"storage.url={storage}")
    return compare(title, found, rounds)


def candidates() -> Loads:
    return {
        "stock Tornado, in memory": stock_pairs,
        "the load generator's own ceiling": ceiling,
        "counselling, durability = full": lambda: counselling("storage.durability=full"),
        "counselling, durability = normal": lambda: counselling("storage.durability=normal"),
        "support, durability = full": lambda: support("storage.durability=full"),
    }


def half_load(rounds: int) -> Iterator[str]:
    """One message under way at a time: what a message takes when nobody is in a hurry."""
    title = f"latency: {PAIRS} pairs, one message of each pair under way"
    found: Loads = {
        "stock Tornado, in memory": lambda: stock_pairs(quiet=True),
        "counselling, durability = full": lambda: counselling("storage.durability=full", quiet=True),
    }
    return compare(title, found, rounds)


def stock_pairs(*, quiet: bool = False) -> dict[str, float]:
    with stock() as process:
        return talk(process, [pair(f"/relay/r{n}", f"/relay/r{n}") for n in range(PAIRS)], quiet)


def ceiling() -> dict[str, float]:
    with python("ceiling") as process:
        return talk(process, [pair(f"/r{n}", f"/r{n}") for n in range(PAIRS)], False)


def counselling(*options: str, quiet: bool = False) -> dict[str, float]:
    with ours(*options) as process:
        pairs = []
        for n in range(PAIRS):
            number = session(process.url, n)
            one, other = (
                f"/chat?token={token(role, n)}&sessionId={number}&type=0" for role in ("user", "consultant")
            )
            pairs.append(pair(one, other, count='"isSystem":false'))
        return talk(process, pairs, quiet)


def support(*options: str) -> dict[str, float]:
    with ours("support.capacity=1", *options) as process:
        return talk(process, [_support_pair(n) for n in range(PAIRS)], False)


def talk(process: Process, pairs: list[list[dict[str, Any]]], quiet: bool) -> dict[str, float]:
    sockets = []
    for n, two in enumerate(pairs):
        two[0]["pace"], two[1]["pace"] = 2 * n + 1, 2 * n
        if quiet:
            two[0]["in_flight"] = 1
            del two[1]["message"]
        sockets += two
    return load(process, "talk", SECONDS, sockets=sockets)


def pair(one: str, other: str, count: str | None = None) -> list[dict[str, Any]]:
    message = json.dumps({"msg": TEXT})
    return [
        {"path": path, "message": message, "in_flight": IN_FLIGHT, "count": count} for path in (one, other)
    ]


def _support_pair(n: int) -> list[dict[str, Any]]:
    """A user and the waiter it finds: the line has nobody else in it at that moment."""
    user = {
        "path": "/v1/ws/user/connect",
        "hello": [frame("auth", {"token": token("user", n)}), frame("connect")],
        "ready": '"connect_success"',
        "later": True,
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
    """A text of the support dialect."""
    frame = {"id": id, "type": type, "payload": payload}
    return json.dumps(frame if to is None else {**frame, "to": to})
