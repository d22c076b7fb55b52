"""The baseline server: plain Tornado in memory, without parsing, rules or storage."""

import asyncio
import sys
from typing import Any

from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

SENDER = b'{"role":"consultant","id":"2","name":null}'
LINE = (
    b'{"seq":17,"msg":"'
    + b"x" * 88
    + b'","senderType":true,"time":"2026-01-01T12:00:00.000000","sender":'
    + SENDER
    + b"}"
)
PAGE = b'{"items":[' + b",".join([LINE] * 100) + b'],"next":117}'


class Relay(WebSocketHandler):
    """Forwards each message to the other sockets of the room, by a loop over ``write_message``."""

    def initialize(self, rooms: dict[str, list["Relay"]]) -> None:
        self.rooms = rooms

    def open(self, room: str) -> None:
        self.set_nodelay(True)
        self.room = self.rooms.setdefault(room, [])
        self.room.append(self)

    async def on_message(self, message: str | bytes) -> None:
        for other in self.room:
            if other is not self:
                await other.write_message(message)

    def on_close(self) -> None:
        self.room.remove(self)


class Post(RequestHandler):
    """Forwards a posted text to the sockets of a room."""

    def initialize(self, rooms: dict[str, list[Relay]]) -> None:
        self.rooms = rooms

    async def post(self, room: str) -> None:
        for socket in self.rooms[room]:
            await socket.write_message(self.request.body)
        self.set_status(202)
        self.finish(b"{}")


class Page(RequestHandler):
    """Serves a prepared page of history."""

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(PAGE)


async def main() -> None:
    rooms: dict[str, list[Relay]] = {}
    known = {"rooms": rooms}
    routes: list[Any] = [(r"/relay/(\w+)", Relay, known), (r"/post/(\w+)", Post, known), (r"/page", Page)]
    server = Application(routes, log_function=lambda handler: None).listen(0, "127.0.0.1", backlog=4096)
    port = next(iter(server._sockets.values())).getsockname()[1]
    sys.stderr.write(f"url=http://127.0.0.1:{port}\n")
    sys.stderr.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
