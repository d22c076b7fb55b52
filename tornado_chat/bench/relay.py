"""Messages between pairs: ours, with everything on, beside a stock Tornado relay in memory."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tornado_chat.bench.comparison import Workloads, compare_rates
from tornado_chat.bench.servers import ServerProcess, load, ours, python, session, stock, token

TEXT = "x" * 88  # with the JSON around it, 100 bytes
PAIRS = 50
IN_FLIGHT = 4
MEASURE_SECONDS = 4.0
SOCKET_COUNTS = (100, 10, 1_000, 10_000)  # the first is the yardstick
SPEAKING_SOCKETS = (
    50  # one of each pair of 100 sockets; of more, as many pairs, so that no more talk than there
)


def lines(rounds: int, storage: str = "") -> Iterator[str]:
    """The two dialects, on SQLite.

    :arg storage: url of another database to measure too; what is said there stays there.
    """
    title = (
        f"relay: {PAIRS} pairs, {IN_FLIGHT} messages of each socket under way, {MEASURE_SECONDS:g} s a round"
    )
    found = dict(candidates())
    if storage:
        found[f"counselling, {storage.partition(':')[0]}"] = lambda: counselling(f"storage.url={storage}")
    return compare_rates(title, found, rounds)


def candidates() -> Workloads:
    return {
        "stock Tornado, in memory": stock_pairs,
        "the load generator's own ceiling": ceiling,
        "counselling, durability = full": lambda: counselling("storage.durability=full"),
        "counselling, durability = normal": lambda: counselling("storage.durability=normal"),
        "support, durability = full": lambda: support("storage.durability=full"),
    }


def half_load(rounds: int) -> Iterator[str]:
    """What a message takes when nobody is in a hurry: half of what each can do at most, and one at a time."""
    most = {"stock": _rate(stock_pairs()), "ours": _rate(counselling("storage.durability=full"))}
    title = f"latency: {PAIRS} pairs, at half of what each was able to do just before"
    found: Workloads = {
        "stock Tornado, in memory": lambda: stock_pairs(rate=most["stock"] / 2),
        "counselling, durability = full": lambda: counselling(
            "storage.durability=full", rate=most["ours"] / 2
        ),
    }
    yield from compare_rates(title, found, rounds)


def growth(rounds: int) -> Iterator[str]:
    """Ever more sockets, of which as many as before have a message under way."""
    for name, talks in (
        ("stock Tornado, in memory", stock_pairs),
        ("counselling, durability = full", counselling),
    ):
        found: Workloads = {
            f"{size:,} sockets": lambda talks=talks, size=size: talks(pairs=size // 2)  # type: ignore[misc]
            for size in SOCKET_COUNTS
        }
        yield from compare_rates(f"growth: {name}, {SPEAKING_SOCKETS} messages under way", found, rounds)


def _rate(result: dict[str, float]) -> float:
    return result["count"] / result["seconds"]


def stock_pairs(pairs: int = 0, rate: float = 0) -> dict[str, float]:
    """:arg pairs: so many, of which a few speak; 0: as many as ever, who all do."""
    with stock() as process:
        found = [pair(f"/relay/r{n}", f"/relay/r{n}") for n in range(pairs or PAIRS)]
        return talk(process, found, rate, few=bool(pairs))


def ceiling() -> dict[str, float]:
    with python("ceiling") as process:
        return talk(process, [pair(f"/r{n}", f"/r{n}") for n in range(PAIRS)])


def counselling(
    *options: str, pairs: int = 0, rate: float = 0, environment: Mapping[str, str] | None = None
) -> dict[str, float]:
    """:arg pairs: as of ``stock_pairs``."""
    with ours(*options, environment=environment) as process:
        found = []
        for n in range(pairs or PAIRS):
            number = session(process.url, n)
            one, other = (
                f"/chat?token={token(role, n)}&sessionId={number}&type=0" for role in ("user", "consultant")
            )
            found.append(pair(one, other, count='"isSystem":false'))
        return talk(process, found, rate, few=bool(pairs))


def support(*options: str) -> dict[str, float]:
    with ours("support.capacity=1", *options) as process:
        return talk(process, [_support_pair(n) for n in range(PAIRS)])


def talk(
    process: ServerProcess, pairs: list[list[dict[str, Any]]], rate: float = 0, *, few: bool = False
) -> dict[str, float]:
    """Let pairs talk.

    :arg rate: messages a second of all together; 0: as many as are answered.
    :arg few: not all speak, but as many messages are under way however many pairs there are.
    """
    sockets = [socket for two in pairs for socket in two]
    spoken = 0
    for n, socket in enumerate(sockets):
        socket["pace"] = n ^ 1
        if rate:
            socket["rate"] = rate / len(sockets)
        if few:
            due = (n + 1) * SPEAKING_SOCKETS // len(sockets)
            socket["in_flight"] = due - spoken
            if due == spoken:
                del socket["message"]
            spoken = due
    return load(process, "talk", MEASURE_SECONDS, sockets=sockets)


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
