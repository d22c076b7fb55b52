"""The rights of the sockets: every endpoint, by every kind of caller, and frames across conversations.

The endpoints come from the server's own AsyncAPI document. ``RIGHTS`` names the callers that may connect.
"""

import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from scripts.attacks.attack import Attack, Trial
from scripts.attacks.people import CANARY, Caller, callers, token
from scripts.attacks.raw_socket import RawSocket, SocketClosed, UpgradeRefused

OPEN_SECONDS = 0.7  # for which a refused socket is read, if it is not closed

USERS = frozenset({"the user", "another user", "a guest", "a user with the consultant's id"})
WAITERS = frozenset({"the waiter", "another waiter"})

RIGHTS: Mapping[str, frozenset[str]] = {
    "/chat?sessionId={session}&type=0": frozenset({"the user", "the consultant"}),
    "/chat?sessionId={record}&type=1": frozenset({"the consultant", "the supervisor"}),
    "/observe?sessionId={session}": frozenset({"the supervisor", "an admin"}),
    "/v1/ws/user/connect": USERS,
    "/v1/ws/waiter/connect": WAITERS,
    "/v1/ws/connect/user": USERS,
    "/v1/ws/connect/waiter": WAITERS,
}
"""The callers that may connect, by address. ``/notify`` shows each caller its own notifications."""


async def run(trial: Trial) -> None:
    document = (await trial.http("GET", "/asyncapi.json")).json()
    guest = (await trial.http("POST", "/api/v1/guest")).json()["token"]
    all_callers = callers(guest)
    known = {address.partition("?")[0] for address in RIGHTS} | {"/notify"}
    rights = dict(RIGHTS)
    for channel in document["channels"].values():
        if channel["address"] not in known:  # a new endpoint is refused to all callers until RIGHTS lists it
            rights[channel["address"]] = frozenset()
    await trial.together(
        partial(_try, trial, address, caller)
        for address, allowed in rights.items()
        for caller in all_callers.values()
        if caller.name not in allowed
    )
    for address, allowed in RIGHTS.items():
        for name in sorted(allowed)[:1]:
            refusal = await _connect(trial, address, all_callers[name])
            trial.require(refusal is None, f"{address} refuses {name}: {refusal}")
    await _numbers(trial, all_callers)
    await _origins(trial)


async def _try(trial: Trial, address: str, caller: Caller) -> None:
    refusal = await _connect(trial, address, caller)
    trial.judge(refusal is None, refusal or "connected", f"{address} by {caller.name}")


async def _connect(trial: Trial, address: str, caller: Caller) -> str | None:
    """Connect, and return how the server refuses; None if the caller is let in, or sees the canary."""
    path = address.format(session=trial.world.session, record=trial.world.record)
    if path.startswith("/v1/"):
        try:
            socket = await trial.socket(path)
            await socket.receive_json()
            payload = {"token": caller.token or "", "features": ["ack"]}
            await socket.send_json({"id": "a", "type": "auth", "payload": payload})
        except UpgradeRefused as error:
            return f"{error.status}"
    else:
        query = f"&token={caller.token}" if caller.token else ""
        try:
            socket = await trial.socket(path + (query if "?" in path else query.replace("&", "?", 1)))
        except UpgradeRefused as error:
            return f"{error.status}"
    return await _refusal(socket)


async def _refusal(socket: RawSocket) -> str | None:
    """Read until the server closes. Returns the close code; None if it does not, or has sent the canary."""
    leaked = False
    try:
        while True:
            leaked |= CANARY.encode() in await socket.receive(OPEN_SECONDS)
    except SocketClosed as closed:
        return None if leaked else f"{closed}"
    except TimeoutError:
        return None
    finally:
        socket.abort()


async def _numbers(trial: Trial, all_callers: Mapping[str, Caller]) -> None:
    """Try other ways to write the number of the victims' session."""
    stranger = all_callers["another user"].token
    session = trial.world.session
    for text in (
        *(f"+{session}", f"{session}.0", f"%20{session}", f"{session}%20", f"0{session}", f"{session}%00"),
        *(f"-{session}", f"0x{session}", f"{session}e0", "%D9%A1", f"99&sessionId={session}", ""),
        *(f"{session}&sessionId=99", f"[{session}]", "null", "true", f"{session}&type=1", "9" * 30),
    ):
        for type in ("0", "1", "2", "-1", "00", "true", ""):
            try:
                socket = await trial.socket(f"/chat?token={stranger}&sessionId={text}&type={type}")
            except UpgradeRefused as error:
                trial.refused(error.status)
                continue
            refusal = await _refusal(socket)
            trial.judge(refusal is None, refusal or "connected", f"/chat?sessionId={text}&type={type}")


async def _origins(trial: Trial) -> None:
    good = token("user", 21)
    port = trial.server.port
    for origin in (
        *("https://evil.example", "null", "", "http://localhost.evil.example", "file://"),
        *(f"http://127.0.0.1.evil.example:{port}", f"http://127.0.0.1:{port}.evil.example"),
        *(f"http://127.0.0.1:{port}@evil.example", f"http://127.0.0.1:{port + 1}", "http://127.0.0.1"),
    ):
        try:
            socket = await trial.socket(f"/notify?token={good}", headers=[("Origin", origin)])
        except UpgradeRefused as error:
            trial.refused(error.status)
        else:
            code = await socket.wait_closed(0.3)
            trial.judge(code is None, str(code), f"a page of the origin {origin!r}")
            socket.abort()


# --- frames across conversations ---


async def run_frames(trial: Trial) -> None:
    """Send frames that name the conversations of others."""
    world = trial.world
    observer = await trial.socket(f"/observe?token={token('supervisor', 13)}&sessionId={world.session}")
    listener = await trial.socket(f"/chat?token={token('consultant', 12)}&sessionId={world.session}&type=0")
    await _drain(listener)
    frames: tuple[dict[str, Any], ...] = (
        *({"msg": "from an observer"}, {"type": "message", "msg": "x"}, {"msg": "x", "isSystem": True}),
        *({"getHistory": {}}, {"typing": True}, {"read": 1}, {"sessionId": world.session, "msg": "x"}),
    )
    for frame in frames:
        await observer.send_json(frame)
        heard = await _drain(listener)
        trial.judge(any("msg" in each for each in heard), "not delivered", f"an observer sends {frame}")
    visitor = await trial.socket(f"/chat?token={token('user', 11)}&sessionId={world.session}&type=0")
    await _drain(visitor)
    await _drain(listener)
    for more in (
        {"isSystem": True, "system": True},
        {"senderType": True},
        {"time": "2001-01-01T00:00:00"},
        {"sender": "consultant:12", "from": 12},
        {"seq": 1},
        {"sessionId": 99, "type": 1},
    ):
        await visitor.send_json({"msg": "plain", **more})
        heard = [each for each in await _drain(listener) if each.get("msg") == "plain"]
        forged = [
            each
            for each in heard
            if each.get("isSystem") or str(each.get("time", "")).startswith("2001") or "sender" in each
        ]
        trial.judge(bool(forged), "ignored", f"a visitor sends {more}: {forged}")
    await _support_frames(trial)


async def _support_frames(trial: Trial) -> None:
    """A waiter and a user name the user of another waiter."""
    victim = trial.world.customer_uuid
    addresses: Sequence[Any] = (
        victim,
        victim.upper(),
        f" {victim}",
        "",
        None,
        1,
        [victim],
        str(uuid.uuid4()),
    )
    for role, id in (("waiter", 24), ("user", 26)):
        socket = await trial.support(role, token(role, id))
        if role == "waiter":
            await socket.send_json({"id": "r", "type": "ready", "payload": None})
        for address in addresses:
            for type, payload in (
                ("message_text", {"message": "fishing"}),
                ("message_image", {"url": "https://example.org/x.png"}),
                ("get_history", {}),
                ("transfer", {"waiter": str(id)}),
                ("disconnect", {}),
                ("disconnect", {"uuid": address}),
                ("typing", {"typing": True}),
                ("read", {"seq": 1}),
                ("rate", {"rate": 1}),
            ):
                if type == "disconnect" and role == "user":
                    continue  # ends the user's own visit
                await socket.send_json({"id": "x", "type": type, "to": address, "payload": payload})
        answers = await _drain(socket)
        wrong = [each for each in answers if each["type"] not in ("error", "connect_queue")]
        wrong += [each for each in answers if CANARY in str(each)]
        trial.refused("error", len(addresses) * 8)
        for each in wrong:
            trial.got_in(f"a {role} names another's user: {str(each)[:200]}")
        code = await socket.wait_closed(0.2)
        trial.require(code is None, f"the socket of the {role} was closed with {code}")
    customer = trial.world.sockets[-2]
    trial.judge(customer.close_code is not None, "still connected", "the conversation of another was ended")


async def _drain(socket: RawSocket) -> list[Any]:
    """Return the frames that arrive until none arrives for a moment."""
    frames = []
    try:
        while True:
            frames.append(await socket.receive_json(0.25))
    except (SocketClosed, TimeoutError):
        return frames


ATTACKS = [
    Attack("rights-sockets", "every socket, by every role, to conversations of others; foreign pages", run),
    Attack("rights-frames", "frames that name a conversation, a user or a sender of others", run_frames),
]
