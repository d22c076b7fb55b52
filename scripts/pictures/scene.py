"""The made-up people of the pictures, and what they say."""

import asyncio
import contextlib
import json
import re
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt

from tornado_chat.client import ChatClient, UserClient, WaiterClient

SECRET = "a secret of the pictures, long enough for HS256"

TALKS = {
    "en": {
        "people": ["Lin Yue", "Chen Wei", "Ana Ruiz", "Tom Weber", "Mia", "Omar", "Ida", "Dr. Wu", "Kim"],
        "session": [
            (0, "Thank you for making time today. I did not know whom else to ask."),
            (1, "I am glad you are here. There is no hurry; begin wherever you like."),
            (0, "I have not slept well for weeks, and at work everything takes twice as long."),
            (1, "That sounds exhausting. When did you first notice it?"),
            (0, "After we moved. I thought it would pass by itself."),
            (1, "Moving turns a lot upside down, even when one wanted it. What do the evenings look like?"),
        ],
        "support": [
            ["My parcel says delivered, but nothing is here.", "It was number 20417."],
            ["Can I change the size of an order from this morning?"],
            ["The invoice has the wrong address on it.", "Could you correct it?"],
        ],
        "answer": "Let me look that up for you.",
        "welcome": "Hello, this is Kim. How can I help?",
    },
    "zh": {
        "people": ["林悦", "陈伟", "王安娜", "韦伯", "米雅", "欧马", "艾达", "吴医生", "金"],
        "session": [
            (0, "谢谢您今天抽出时间，我不知道还能找谁。"),
            (1, "很高兴您来了。不用着急，想从哪里开始都可以。"),
            (0, "我已经好几个星期睡不好了，上班做什么都要花两倍的时间。"),
            (1, "听起来很累。您是从什么时候开始注意到的？"),
            (0, "搬家以后。我以为过一阵就会好。"),
            (1, "搬家会打乱很多东西，即使是自己想搬。晚上通常是怎么过的？"),
        ],
        "support": [
            ["包裹显示已签收，可是我没有收到。", "订单号是 20417。"],
            ["今天早上下的订单还能改尺码吗？"],
            ["发票上的地址不对。", "可以帮我改一下吗？"],
        ],
        "answer": "好的，我帮您查一下。",
        "welcome": "您好，我是小金，请问有什么可以帮您？",
    },
}


@contextlib.asynccontextmanager
async def served(state: Path) -> AsyncIterator[str]:
    """A server of its own. Yields its URL."""
    (state / "secret").write_text(SECRET)
    options = [
        "server.port=0",
        f"server.state_dir={state / 'state'}",
        f"auth.secret_file={state / 'secret'}",
        "auth.guests=on",
        "auth.guests_per_minute=1000",
        "counselling.observe=any",
        "support.capacity=30",
        "plugins.enabled=",
    ]
    arguments = [word for option in options for word in ("--set", option)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tornado_chat", "serve", *arguments), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        found = re.search(r"url=(http://\S+)", line)
        if found:
            break
    else:
        raise SystemExit("the server did not start")
    reading = asyncio.create_task(process.stderr.read())
    try:
        yield found[1]
    finally:
        process.terminate()
        await process.wait()
        reading.cancel()


class Scene:
    """A counselling session, three support conversations and two people in the line, in one language."""

    def __init__(self, url: str, language: str) -> None:
        self._url = url
        self._ws = url.replace("http", "ws")
        self._texts: Any = TALKS[language]
        self._first = {"en": 100, "zh": 200}[language]  # ids of one language are not those of the other
        self._open: list[Any] = []

    async def set(self) -> None:
        self._session = await self._say_session(1, 2)
        other = await self._say_session(3, 4)
        for session, consultant in ((self._session, 2), (other, 4)):
            self._post(
                f"/sessions/{session}/supervision", {"supervisor_id": self._id(7)}, "consultant", consultant
            )
        await self._say_support()

    async def clear(self) -> None:
        for client in self._open:
            await client.close()

    async def greet(self) -> None:
        """From now on there is somebody for everybody."""
        self._greeter = WaiterClient(self._ws, self._token("waiter", 8))
        await self._greeter.__aenter__()
        self._open.append(self._greeter)
        for _ in range(2):
            await self._greeter.expect("new_connection")

    async def welcome(self) -> None:
        """Answer who has just asked for somebody."""
        frame = await self._greeter.expect("new_connection")
        await self._greeter.send(frame.payload["uuid"], self._texts["welcome"])

    def addresses(self) -> dict[str, str]:
        room = f"session={self._session}&type=0"
        return {
            "room-visitor": f"{self._url}/room#token={self._token('user', 1)}&{room}",
            "room-consultant": f"{self._url}/room#token={self._token('consultant', 2)}&{room}",
            "console": f"{self._url}/console#token={self._token('waiter', 5)}",
            "supervise": f"{self._url}/supervise#token={self._token('supervisor', 7)}",
            "admin": f"{self._url}/admin#token={self._token('admin', 7)}",
            "widget": f"{self._url}/widget",
            "docs-http": f"{self._url}/docs/http",
            "docs-sockets": f"{self._url}/docs/sockets",
        }

    async def _say_session(self, visitor: int, consultant: int) -> int:
        body = {
            "user_id": self._id(visitor),
            "consultant_id": self._id(consultant),
            "user_name": self._name(visitor),
            "consultant_name": self._name(consultant),
        }
        session: int = self._post("/sessions", body, "service", 1)["session_id"]
        clients = [
            ChatClient(self._ws, self._token(role, n), session_id=session)
            for role, n in (("user", visitor), ("consultant", consultant))
        ]
        for client in clients:
            await client.__aenter__()
        for who, text in self._texts["session"]:
            await clients[who].send(text)
        self._open += clients
        return session

    async def _say_support(self) -> None:
        async with WaiterClient(self._ws, self._token("waiter", 5)) as waiter:
            for n, lines in enumerate(self._texts["support"]):
                user = UserClient(self._ws, self._token("user", n + 3))
                await user.__aenter__()
                await user.expect("connect_success")
                found = await waiter.expect("new_connection")
                for line in lines:
                    await user.send(line)
                if n == 0:
                    await waiter.send(found.payload["uuid"], self._texts["answer"])
                self._open.append(user)
            await waiter.tell("unready")
        for n in (0, 8):
            user = UserClient(self._ws, self._token("user", n))
            await user.__aenter__()
            await user.expect("connect_queue")
            self._open.append(user)

    def _id(self, n: int) -> int:
        return self._first + n

    def _name(self, n: int) -> str:
        return str(self._texts["people"][n])

    def _token(self, role: str, n: int) -> str:
        claims = {"id": self._id(n), "type": role, "name": self._name(n), "exp": int(time.time()) + 3600}
        return jwt.encode(claims, SECRET, "HS256")

    def _post(self, path: str, body: Any, role: str, n: int) -> Any:
        headers = {"Authorization": f"Bearer {self._token(role, n)}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/api/v1{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
