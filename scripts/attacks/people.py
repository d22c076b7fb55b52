"""The people around an attack: their tokens, and the conversations that belong to them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from scripts.attacks.raw_http import request
from scripts.attacks.raw_socket import RawSocket
from scripts.attacks.server import AUDIENCE, ISSUER, SECRET, TargetServer

CANARY = "CANARY-8c1f"
"""A word in all that is private to the victims. An attacker that sees it has got in."""

HOST_ADDRESS = "127.0.0.1"
"""The address of the host's back end and of operators."""

PEOPLE_ADDRESS = "127.0.0.3"
"""The address of people who do no harm."""


def claims(role: str, id: int | str, lifetime: float = 3600.0, **more: Any) -> dict[str, Any]:
    """Return the claims of a valid token."""
    now = int(time.time())
    return {
        "id": id,
        "type": role,
        "iat": now,
        "exp": now + lifetime,
        "iss": ISSUER,
        "aud": AUDIENCE,
        **more,
    }


def token(role: str, id: int | str, lifetime: float = 3600.0, **more: Any) -> str:
    """Return a valid token, as the host makes it."""
    return jwt.encode(claims(role, id, lifetime, **more), SECRET, "HS256")


SERVICE = token("service", "host")


class Caller:
    """A caller of the matrix of rights.

    :ivar owns: whether the victim's conversations are its own.
    """

    def __init__(self, name: str, role: str, id: int | str, *, owns: bool) -> None:
        self.name = name
        self.role = role
        self.owns = owns
        self.token: str | None = token(role, id) if role else None


VICTIM, COUNSELLOR, SUPERVISOR, WAITER, CUSTOMER = 11, 12, 13, 14, 15
"""The ids of the victims: a session with a record, and a support conversation."""


def callers(guest: str) -> Mapping[str, Caller]:
    """Return every kind of caller, by name: each role, with conversations of its own and with others'.

    :arg guest: the token of a guest.
    """
    all_callers = [
        Caller("no token", "", 0, owns=False),
        Caller("a guest", "", 0, owns=False),
        Caller("the user", "user", VICTIM, owns=True),
        Caller("another user", "user", 21, owns=False),
        Caller("the consultant", "consultant", COUNSELLOR, owns=True),
        Caller("another consultant", "consultant", 22, owns=False),
        Caller("the supervisor", "supervisor", SUPERVISOR, owns=True),
        Caller("another supervisor", "supervisor", 23, owns=False),
        Caller("the waiter", "waiter", WAITER, owns=True),
        Caller("another waiter", "waiter", 24, owns=False),
        Caller("an admin", "admin", 25, owns=False),
        Caller("the host", "service", "host", owns=False),
        # The number is the victim's, and the role is another: ids are unique per role only.
        Caller("a consultant with the user's id", "consultant", VICTIM, owns=False),
        Caller("a user with the consultant's id", "user", COUNSELLOR, owns=False),
    ]
    all_callers[1].role, all_callers[1].token = "user", guest
    return {each.name: each for each in all_callers}


@dataclass(frozen=True)
class World:
    """The conversations of the victims.

    :ivar session: the number of the session, with messages.
    :ivar record: of its supervision record.
    :ivar conversation: of the support conversation, which goes on as long as its sockets are open.
    :ivar customer_uuid: the customer's address for its waiter.
    :ivar notification: of the notification of the user.
    """

    session: int
    record: int
    conversation: int
    customer_uuid: str
    notification: int
    sockets: tuple[RawSocket, ...]

    @classmethod
    async def set_up(cls, server: TargetServer) -> "World":
        """Open the conversations, and put the canary into each."""
        names = {"user_name": f"user {CANARY}", "consultant_name": f"counsellor {CANARY}"}
        session = await open_session(server, VICTIM, COUNSELLOR, **names)
        body = {"supervisor_id": SUPERVISOR, "supervisor_name": f"supervisor {CANARY}"}
        record = await _host(server, "POST", f"/sessions/{session}/supervision", body)
        note = {"role": "user", "id": VICTIM, "type": 0, "msg": CANARY}
        notified = await _host(server, "POST", "/notifications", note)
        sockets = []
        for path in (
            f"/chat?token={token('user', VICTIM)}&sessionId={session}&type=0",
            f"/chat?token={token('consultant', COUNSELLOR)}&sessionId={session}&type=0",
            f"/chat?token={token('consultant', COUNSELLOR)}&sessionId={record['record_id']}&type=1",
            f"/chat?token={token('supervisor', SUPERVISOR)}&sessionId={record['record_id']}&type=1",
        ):
            socket = await RawSocket.open(server.port, path, source=PEOPLE_ADDRESS)
            await socket.receive_json()  # it has joined
            await socket.send_json({"msg": f"a secret: {CANARY}"})
            socket.start_reading()
            sockets.append(socket)
        customer, waiter = [
            await RawSocket.open(server.port, f"/v1/ws/{each}/connect", source=PEOPLE_ADDRESS)
            for each in ("user", "waiter")
        ]
        await _sign_in(waiter, "waiter", WAITER, "ready")
        await _sign_in(customer, "user", CUSTOMER, "connect")
        matched = await _until(waiter, "new_connection")
        await _until(customer, "connect_success")
        await customer.send_json(
            {"id": "m", "type": "message_text", "payload": {"message": f"a secret: {CANARY}"}}
        )
        await _until(waiter, "message_text")
        customer.start_reading()
        waiter.start_reading()
        return cls(
            session=session,
            record=record["record_id"],
            conversation=1,
            customer_uuid=matched["payload"]["uuid"],
            notification=notified["notification_id"],
            sockets=(*sockets, customer, waiter),
        )

    def leave(self) -> None:
        for each in self.sockets:
            each.abort()


async def open_session(server: TargetServer, user: int, consultant: int, **more: Any) -> int:
    """Open a session as the host does, and return its number."""
    body = {"user_id": user, "consultant_id": consultant, **more}
    return int((await _host(server, "POST", "/sessions", body))["session_id"])


async def _host(server: TargetServer, method: str, path: str, body: Any) -> Any:
    answer = await request(
        server.port, method, f"/api/v1{path}", token=SERVICE, body=body, source=HOST_ADDRESS
    )
    if answer.status >= 400 or not answer.status:
        raise RuntimeError(f"{method} {path}: {answer.status} {answer.body.decode(errors='replace')[:500]}")
    return answer.json()


async def _sign_in(socket: RawSocket, role: str, id: int, then: str) -> None:
    await socket.receive_json()
    await socket.send_json({"id": "a", "type": "auth", "payload": {"token": token(role, id)}})
    await socket.send_json({"id": "b", "type": then, "payload": None})


async def _until(socket: RawSocket, type: str) -> Any:
    while (frame := await socket.receive_json())["type"] != type:
        pass
    return frame
