"""The sample people of the screenshots in one language: they chat, wait, and ask for supervision."""

import json
import time
import urllib.request
from typing import Any

import jwt
from texts import (
    ADMIN,
    AGENT,
    COUNSELLOR,
    CUSTOMERS,
    GREETER,
    OTHER_COUNSELLOR,
    OTHER_VISITOR,
    SUPERVISOR,
    TALKS,
    VISITOR,
    WAITING_USERS,
)

from tornado_chat.client import ChatClient, UserClient, WaiterClient

SECRET = "a secret of the pictures, long enough for HS256"
IDS_PER_LANGUAGE = 100  # so that the languages use different ids


class Scene:
    """Two counselling sessions with their records, three support conversations and two waiting users.

    :arg url: the address of the server.
    :arg shop: the address of a site with another origin that contains the widget.
    """

    def __init__(self, url: str, shop: str, language: str) -> None:
        self._url = url
        self._shop = shop
        self._ws = url.replace("http", "ws")
        self._texts = TALKS[language]
        self._first = IDS_PER_LANGUAGE * (1 + list(TALKS).index(language))
        self._open: list[Any] = []
        self._sessions: list[int] = []
        self._records: list[int] = []

    async def set(self) -> None:
        pairs = ((VISITOR, COUNSELLOR), (OTHER_VISITOR, OTHER_COUNSELLOR))
        for n, (visitor, consultant) in enumerate(pairs):
            await self._counsel(visitor, consultant, self._texts.sessions[n], self._texts.records[n])
        self._alert()
        await self._support()

    async def clear(self) -> None:
        for client in self._open:
            await client.close()

    async def greet(self) -> None:
        """Connect a waiter who takes all waiting and all later users."""
        self._greeter = WaiterClient(self._ws, self._token("waiter", GREETER))
        await self._greeter.__aenter__()
        self._open.append(self._greeter)
        for _ in WAITING_USERS:
            await self._greeter.expect("new_connection")

    async def welcome(self) -> None:
        """Answer the user with the question; messages of other users, whom the agent had, are skipped."""
        while (asked := await self._greeter.expect("message_text")).message != self._texts.question:
            pass
        assert asked.sender
        await self._greeter.send(asked.sender, self._texts.welcome)

    @property
    def question(self) -> str:
        return self._texts.question

    @property
    def sessions(self) -> list[int]:
        return self._sessions

    def addresses(self) -> dict[str, str]:
        """Return the addresses of the pages, by the names of their pictures."""
        supervisor = self._id(SUPERVISOR)
        room = f"session={self._sessions[0]}&type=0"
        record = f"session={self._records[0]}&type=1"
        consultant = self._token("consultant", COUNSELLOR)
        return {
            "room-visitor": f"{self._url}/room#token={self._token('user', VISITOR)}&{room}",
            "room-consultant": f"{self._url}/room#token={consultant}&{room}&supervisor={supervisor}",
            "room-supervision": f"{self._url}/room#token={consultant}&{record}",
            "desk": f"{self._url}/desk#token={consultant}",
            "console": f"{self._url}/console#token={self._token('waiter', AGENT)}",
            "supervise": f"{self._url}/supervise#token={self._token('supervisor', SUPERVISOR)}",
            "admin": f"{self._url}/admin#token={self._token('admin', ADMIN)}",
            "signin": f"{self._url}/signin",
            "docs-http": f"{self._url}/docs/http",
            "docs-sockets": f"{self._url}/docs/sockets",
            "widget": self._shop,
        }

    async def _counsel(
        self, visitor: int, consultant: int, lines: list[tuple[int, str]], record_lines: list[tuple[int, str]]
    ) -> None:
        body = {
            "user_id": self._id(visitor),
            "consultant_id": self._id(consultant),
            "user_name": self._name(visitor),
            "consultant_name": self._name(consultant),
        }
        session: int = self._post("/sessions", body, "service", 1)["session_id"]
        self._sessions.append(session)
        await self._send_lines(session, 0, (("user", visitor), ("consultant", consultant)), lines)
        call = {"supervisor_id": self._id(SUPERVISOR), "supervisor_name": self._name(SUPERVISOR)}
        called = self._post(f"/sessions/{session}/supervision", call, "consultant", consultant)
        self._records.append(called["record_id"])
        sides = (("consultant", consultant), ("supervisor", SUPERVISOR))
        await self._send_lines(called["record_id"], 1, sides, record_lines)

    async def _send_lines(
        self, room: int, type: int, sides: tuple[tuple[str, int], ...], lines: list[tuple[int, str]]
    ) -> None:
        clients = [ChatClient(self._ws, self._token(role, n), room, type) for role, n in sides]
        for client in clients:
            await client.__aenter__()
        self._open += clients
        for who, text in lines:
            await clients[who].send(text)

    def _alert(self) -> None:
        self._post(
            "/notifications",
            {
                "role": "supervisor",
                "id": self._id(SUPERVISOR),
                "msg": self._texts.alert,
                "type": 2,
                "data": {
                    "sessionId": self._records[1],
                    "observeSessionId": self._sessions[1],
                    "alert": True,
                },
            },
            "service",
            1,
        )

    async def _support(self) -> None:
        async with WaiterClient(self._ws, self._token("waiter", AGENT)) as waiter:
            for n, lines in zip(CUSTOMERS, self._texts.support, strict=True):
                user = UserClient(self._ws, self._token("user", n))
                await user.__aenter__()
                self._open.append(user)
                await user.expect("connect_success")
                came = await waiter.expect("new_connection")
                for line in lines:
                    await user.send(line)
                if n == CUSTOMERS[0]:
                    await waiter.send(came.payload["uuid"], self._texts.answer)
            await waiter.send_frame("unready")
        for n in WAITING_USERS:
            user = UserClient(self._ws, self._token("user", n))
            await user.__aenter__()
            self._open.append(user)
            await user.expect("connect_queue")

    def _id(self, n: int) -> int:
        return self._first + n

    def _name(self, n: int) -> str:
        return self._texts.people.get(n, "host")

    def _token(self, role: str, n: int) -> str:
        claims = {"id": self._id(n), "type": role, "name": self._name(n), "exp": int(time.time()) + 3600}
        return jwt.encode(claims, SECRET, "HS256")

    def _post(self, path: str, body: Any, role: str, n: int) -> Any:
        headers = {"Authorization": f"Bearer {self._token(role, n)}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/api/v1{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
