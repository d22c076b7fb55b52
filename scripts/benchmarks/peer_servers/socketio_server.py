"""python-socketio: rooms in memory."""

import asyncio
import sys
from urllib.parse import parse_qs

import socketio
import uvicorn

sio = socketio.AsyncServer(async_mode="asgi")
rooms: dict[str, str] = {}


@sio.event
async def connect(sid, environ) -> None:
    rooms[sid] = parse_qs(environ["QUERY_STRING"])["room"][0]
    await sio.enter_room(sid, rooms[sid])


@sio.event
async def say(sid, data) -> None:
    await sio.emit("said", data, room=rooms[sid], skip_sid=sid)


async def main() -> None:
    application = socketio.ASGIApp(sio)
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    sys.stderr.write(f"url=http://127.0.0.1:{port}\n")
    sys.stderr.flush()
    await serving


asyncio.run(main())
