"""The yardstick: Tornado as it comes, relaying between pairs in memory. No parsing, no rules, no storage."""

import asyncio
import sys

from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Relay(WebSocketHandler):
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


async def main() -> None:
    rooms: dict[str, list[Relay]] = {}
    server = Application([(r"/relay/(\w+)", Relay, {"rooms": rooms})]).listen(0, "127.0.0.1")
    port = next(iter(server._sockets.values())).getsockname()[1]
    sys.stderr.write(f"url=http://127.0.0.1:{port}\n")
    sys.stderr.flush()
    await asyncio.Event().wait()


asyncio.run(main())
