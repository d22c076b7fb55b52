"""One connection of the load generator, with minimal processing of raw frames."""

import asyncio
import base64
import os
import random
import re
import time
from collections import deque
from typing import Any

TEXT, PING, PONG = 0x1, 0x9, 0xA
UUID = re.compile(rb'"uuid":"([^"]+)"')


def masked(opcode: int, payload: bytes) -> bytes:
    """Build a client's frame with a mask of zeros, which is valid and leaves the payload unchanged."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    head += bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


class MeasurementState:
    """The state that all sockets share.

    :ivar measuring: the measurement is running.
    :ivar delays: seconds from the sending of a message to its arrival.
    """

    def __init__(self) -> None:
        self.measuring = False
        self.delays: list[float] = []


class LoadSocket(asyncio.Protocol):
    """One connection, upgraded to WebSocket unless the plan says ``http``."""

    def __init__(self, run: MeasurementState, plan: dict[str, Any]) -> None:
        self.run = run
        self.plan = plan
        self.message = plan.get("message", "").encode()
        self.senders: list[LoadSocket] = []  # of the messages that arrive here
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.sent_at: deque[float] = deque()
        self.received = 0
        self.unsent: int | None = None  # messages to send before this socket stops sending; None: no limit
        self.closed = False
        self._sent = 0
        self._count = plan["count"].encode() if plan.get("count") else None
        self._awaited = plan["ready"].encode() if plan.get("ready") else b""
        self._buffer = b""
        self._upgraded = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.plan.get("http"):
            self.open.set_result(None)
            return
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET {self.plan['path']} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if self.plan.get("http"):
            return  # the HTTP response; the frames on the recipient's socket are counted
        data = self._buffer + data
        if not self._upgraded:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = data
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                raise SystemExit(f"{self.plan['path']}: {head.decode()}")
            self._upgraded, data = True, rest
            self.open.set_result(None)
            for text in self.plan.get("hello", ()):
                self.transport.write(masked(TEXT, text.encode()))
        position, end, messages, answers = 0, len(data), 0, []
        while end - position >= 2:
            size, start = data[position + 1], position + 2
            if size == 126:
                if end - position < 4:
                    break
                size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            elif size == 127:
                if end - position < 10:
                    break
                size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            if start + size > end:
                break
            opcode = data[position] & 0x0F
            if opcode == PING:
                answers.append(masked(PONG, data[start : start + size]))
            elif opcode == TEXT:
                if not self.ready.done() and data.find(self._awaited, start, start + size) >= 0:
                    self.ready.set_result(data[start : start + size])
                if self._count is None or data.find(self._count, start, start + size) >= 0:
                    messages += 1
            position = start + size
        self._buffer = data[position:]
        if answers:
            self.transport.write(b"".join(answers))
        if messages and self.run.measuring:
            self.received += messages
            for sender in self.senders:
                sender.on_arrival(messages)

    def insert_uuid(self, frame: bytes) -> None:
        """Replace ``{uuid}`` in the message by the uuid in the server's ready frame."""
        found = UUID.search(frame)
        if found:
            self.message = self.message.replace(b"{uuid}", found[1])

    def on_arrival(self, messages: int) -> None:
        """Record the arrival of messages of this socket, and send the same number of new messages."""
        now = time.perf_counter()
        for _ in range(min(messages, len(self.sent_at))):
            self.run.delays.append(now - self.sent_at.popleft())
        if "rate" not in self.plan:
            self.send_messages(messages)

    async def send_at_rate(self) -> None:
        """Send at the plan's rate, starting at a random time within the first interval."""
        loop, interval = asyncio.get_running_loop(), 1 / self.plan["rate"]
        due = loop.time() + random.uniform(0, interval)
        while self.run.measuring:
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.send_messages(1)
            due += interval

    def send_messages(self, times: int) -> None:
        if self.unsent is not None:
            times = min(times, self.unsent)
            self.unsent -= times
        now = time.perf_counter()
        self.sent_at.extend([now] * times)
        if b"{n}" not in self.message:
            self.transport.write(self._frame(self.message) * times)
            return
        for _ in range(times):
            self._sent += 1
            self.transport.write(self._frame(self.message.replace(b"{n}", b"%d" % self._sent)))

    def _frame(self, message: bytes) -> bytes:
        return message if self.plan.get("http") else masked(TEXT, message)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if not self.open.done():
            self.open.set_exception(ConnectionError(f"{self.plan.get('path')} was closed: {error}"))
        if self.run.measuring and not self.plan.get("transient"):
            raise SystemExit(f"{self.plan.get('path')} was closed: {error}")
