"""One who speaks, a hundred who listen; and notifications, which everybody gets alone."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from tornado_chat.bench.rounds import Loads, compare
from tornado_chat.bench.servers import Process, load, ours, session, stock, token

TEXT = "x" * 88
OBSERVERS = 100
UNDER_WAY = (4, 16)  # messages of the one who speaks; with few, the time of a commit is what counts
PEOPLE = 50
SECONDS = 4.0


def lines(rounds: int) -> Iterator[str]:
    for under_way in UNDER_WAY:
        title = (
            f"fan-out: frames written per second to {OBSERVERS} observers, one sender, "
            f"{under_way} messages under way"
        )
        found: Loads = {
            "stock Tornado, write_message loop": partial(_stock, under_way),
            "counselling, /observe": partial(_observe, under_way),
        }
        yield from compare(title, found, rounds)


def notifications(rounds: int) -> Iterator[str]:
    title = f"notifications: HTTP calls that reached a socket, {PEOPLE} people"
    yield from compare(
        title,
        {"stock Tornado, write_message": _stock_posts, "stored, /notify": _notify},
        rounds,
    )


def _stock(under_way: int) -> dict[str, float]:
    with stock() as process:
        listeners = [{"path": "/relay/one"}] * OBSERVERS
        return _speak(process, under_way, {"path": "/relay/one"}, listeners)


def _observe(under_way: int) -> dict[str, float]:
    with ours("counselling.observe=any") as process:
        number = session(process.url, 1)
        speaker = {"path": f"/chat?token={token('user', 1)}&sessionId={number}&type=0"}
        listeners = [
            {"path": f"/observe?token={token('supervisor', n)}&sessionId={number}"} for n in range(OBSERVERS)
        ]
        return _speak(process, under_way, speaker, listeners)


def _speak(
    process: Process, under_way: int, speaker: dict[str, Any], listeners: list[dict[str, Any]]
) -> dict[str, float]:
    message = json.dumps({"msg": TEXT})
    talker = {**speaker, "message": message, "in_flight": under_way, "pace": OBSERVERS, "count": "nothing"}
    return load(process, "talk", SECONDS, sockets=[talker, *listeners])


def _stock_posts() -> dict[str, float]:
    with stock() as process:
        sockets: list[dict[str, Any]] = [{"path": f"/relay/r{n}"} for n in range(PEOPLE)]
        return _posts(process, sockets, [f"/post/r{n}" for n in range(PEOPLE)], ["{}"] * PEOPLE)


def _notify() -> dict[str, float]:
    with ours() as process:
        sockets: list[dict[str, Any]] = [
            {"path": f"/notify?token={token('consultant', n)}"} for n in range(PEOPLE)
        ]
        bodies = [
            json.dumps({"role": "consultant", "id": n, "type": 0, "msg": "hello"}) for n in range(PEOPLE)
        ]
        return _posts(process, sockets, ["/api/v1/notifications"] * PEOPLE, bodies)


def _posts(
    process: Process, sockets: list[dict[str, Any]], paths: list[str], bodies: list[str]
) -> dict[str, float]:
    head = (
        f"Host: x\r\nAuthorization: Bearer {token('service', 'bench')}\r\nContent-Type: application/json\r\n"
    )
    callers = [
        {
            "http": True,
            "message": f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}",
            "in_flight": 1,
            "pace": n,
        }
        for n, (path, body) in enumerate(zip(paths, bodies, strict=True))
    ]
    return load(process, "talk", SECONDS, sockets=[*sockets, *callers])
