"""A small server in this process, and Tornado's own clients for it."""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tornado_chat import config
from tornado_chat.core.types import Role
from tornado_chat.server.server import Server
from tornado_chat.services.auth.tokens import mint_token

SECRET = b"a secret of scripts/trace, long enough for HS256"


class Socket:
    """A client's WebSocket. Tornado answers the server's pings, which are the receipts."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection

    async def send(self, frame: Any) -> None:
        await self._connection.write_message(msgspec.json.encode(frame))

    async def receive_until(self, key: str, value: Any) -> None:
        """Read frames up to the first that has ``value`` under ``key``.

        :raises ConnectionError: the server has closed the socket.
        """
        while True:
            data = await self._connection.read_message()
            if data is None:
                code, reason = self._connection.close_code, self._connection.close_reason
                raise ConnectionError(f"the server closed the socket: {code} {reason or ''}")
            if msgspec.json.decode(data).get(key) == value:
                return

    def close(self) -> None:
        self._connection.close()


class TracedServer:
    """The running server as its clients see it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tokens = 0

    def token(self, role: Role, id: int | str) -> str:
        """Return a token that no request has carried before, so that the server has to verify it."""
        self._tokens += 1
        return mint_token(
            config.Auth(),
            SECRET,
            id=id,
            role=role,
            name=None,
            lifetime=3600,
            now=time.time(),
            extra_claims={"jti": str(self._tokens)},
        )

    async def connect(self, path: str) -> Socket:
        return Socket(await websocket_connect(self._url.replace("http", "ws", 1) + path))

    async def connect_support(self, role: Role, id: int) -> Socket:
        """Return an authenticated socket of a user or a waiter."""
        socket = await self.connect(f"/v1/ws/{role.value}/connect")
        await socket.receive_until("type", "initialize")
        await socket.send({"id": "auth", "type": "auth", "payload": {"token": self.token(role, id)}})
        return socket

    async def post(self, path: str, token: str, body: Any) -> Any:
        """Return the decoded body of the response.

        :raises HTTPClientError: the status is not 2xx.
        """
        headers = {"Authorization": f"Bearer {token}"}
        request = HTTPRequest(
            self._url + path, method="POST", headers=headers, body=msgspec.json.encode(body)
        )
        return msgspec.json.decode((await AsyncHTTPClient().fetch(request)).body)


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[TracedServer]:
    """Run a server on a free port, with its data in ``folder``."""
    secret = folder / "secret"
    secret.write_bytes(SECRET)
    server = Server(
        config.Config(
            server=config.Server(port=0, drain_seconds=0),
            auth=config.Auth(secret_file=str(secret)),
            storage=config.Storage(durability="normal"),
        ).with_state_dir(folder)
    )
    await server.start()
    try:
        yield TracedServer(server.url)
    finally:
        await server.stop()
