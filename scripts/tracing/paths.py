"""The traced paths: what is prepared before a run, the event itself, and what follows it."""

import asyncio
from typing import Protocol

from scripts.tracing.server import Socket, TracedServer
from tornado_chat.core.types import Role

USER, CONSULTANT, WAITER = 1, 2, 3
FIRST_WAITING_USER = 100


class TracedPath(Protocol):
    """One kind of event. The methods are called in order, in every run; only ``run`` is recorded."""

    name: str

    async def prepare(self) -> None: ...

    async def run(self) -> None:
        """Cause the event, and return when all recipients have received their frames."""

    async def clean_up(self) -> None: ...


class Message:
    """A message of a counselling session, from the visitor to the consultant."""

    name = "message"

    def __init__(self, visitor: Socket, consultant: Socket) -> None:
        self._visitor = visitor
        self._consultant = consultant
        self._count = 0

    @classmethod
    async def create(cls, server: TracedServer) -> "Message":
        host = server.token(Role.SERVICE, "host")
        session = await server.post("/api/v1/sessions", host, {"user_id": USER, "consultant_id": CONSULTANT})
        place = f"sessionId={session['session_id']}&type=0"
        return cls(
            await server.connect(f"/chat?token={server.token(Role.USER, USER)}&{place}"),
            await server.connect(f"/chat?token={server.token(Role.CONSULTANT, CONSULTANT)}&{place}"),
        )

    async def prepare(self) -> None:
        self._count += 1

    async def run(self) -> None:
        text = f"message {self._count}"
        await self._visitor.send({"msg": text})
        await self._consultant.receive_until("msg", text)

    async def clean_up(self) -> None:
        pass


class SupportMatch:
    """A match of a new user with the only waiter, who has no other user."""

    name = "support match"

    def __init__(self, server: TracedServer, waiter: Socket) -> None:
        self._server = server
        self._waiter = waiter
        self._next_user = FIRST_WAITING_USER
        self._user = waiter  # replaced by ``prepare``

    @classmethod
    async def create(cls, server: TracedServer) -> "SupportMatch":
        waiter = await server.connect_support(Role.WAITER, WAITER)
        await waiter.send({"id": "ready", "type": "ready", "payload": None})
        return cls(server, waiter)

    async def prepare(self) -> None:
        self._user = await self._server.connect_support(Role.USER, self._next_user)
        self._next_user += 1

    async def run(self) -> None:
        await self._user.send({"id": "connect", "type": "connect", "payload": None})
        await asyncio.gather(
            self._user.receive_until("type", "connect_success"),
            self._waiter.receive_until("type", "new_connection"),
        )

    async def clean_up(self) -> None:
        """End the conversation, so that the waiter is as free in each run."""
        await self._user.send({"id": "disconnect", "type": "disconnect", "payload": None})
        await self._waiter.receive_until("type", "disconnected")
        self._user.close()


class Notification:
    """A notification, from the host's request to the recipient's socket."""

    name = "notification"

    def __init__(self, server: TracedServer, recipient: Socket) -> None:
        self._server = server
        self._recipient = recipient
        self._host = ""
        self._count = 0

    @classmethod
    async def create(cls, server: TracedServer) -> "Notification":
        return cls(server, await server.connect(f"/notify?token={server.token(Role.USER, USER)}"))

    async def prepare(self) -> None:
        self._count += 1
        self._host = self._server.token(Role.SERVICE, "host")  # minted before the run, verified in it

    async def run(self) -> None:
        text = f"notification {self._count}"
        body = {"role": Role.USER, "id": USER, "type": 0, "msg": text, "data": None}
        await asyncio.gather(
            self._server.post("/api/v1/notifications", self._host, body),
            self._recipient.receive_until("msg", text),
        )

    async def clean_up(self) -> None:
        pass


PATHS = (Message, SupportMatch, Notification)
