"""A load generator that is not the limit: raw frames over asyncio protocols, in a process of its own.

``python load.py`` reads a plan as JSON from standard input: pairs of sockets, each with the path to open and
the message to send; it keeps ``in_flight`` messages of each socket on their way for ``seconds``, and writes
what it saw as JSON: messages received, seconds, its own share of CPU, and the delays.

A message is on its way until the other socket of the pair has received one more.
"""

import asyncio
import base64
import json
import os
import resource
import sys
import time
from collections import deque
from typing import Any

TEXT, PING = 0x1, 0x9


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame, masked by zeros: as valid as any other mask, and the payload stays as it is."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    head += bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


class Socket(asyncio.Protocol):
    """One socket, which has a ``peer``."""

    def __init__(self, run: "Run", path: str, message: bytes, skip: bytes | None) -> None:
        self.run = run
        self.path = path
        self.frame = masked(TEXT, message)
        self.skip = skip
        self.peer: Socket = self
        self.open = asyncio.get_running_loop().create_future()
        self.sent_at: deque[float] = deque()
        self.received = 0
        self._buffer = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        if not self._upgraded:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = data
                return
            assert b" 101 " in head.split(b"\r\n")[0], head
            self._upgraded, data = True, rest
            self.open.set_result(None)
        position, end, messages, answers = 0, len(data), 0, []
        while end - position >= 2:
            size, start = data[position + 1], position + 2
            if size == 126:
                if end - position < 4:
                    break
                size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            if start + size > end:
                break
            opcode = data[position] & 0x0F
            if opcode == PING:
                answers.append(masked(0xA, data[start : start + size]))
            elif opcode == TEXT and (self.skip is None or data.find(self.skip, start, start + size) < 0):
                messages += 1
            position = start + size
        self._buffer = data[position:]
        if answers:
            self.transport.write(b"".join(answers))
        if messages and self.run.going:
            self.received += messages
            self.run.arrived(self.peer, messages)

    def say(self, times: int) -> None:
        now = time.perf_counter()
        self.sent_at.extend([now] * times)
        self.transport.write(self.frame * times)

    def connection_lost(self, error: Exception | None) -> None:
        if self.run.going:
            raise SystemExit(f"{self.path} was closed: {error}")


class Run:
    def __init__(self) -> None:
        self.going = False
        self.delays: list[float] = []

    def arrived(self, sender: Socket, messages: int) -> None:
        """``messages`` of ``sender`` have reached its peer: as many more may go."""
        now = time.perf_counter()
        for _ in range(min(messages, len(sender.sent_at))):
            self.delays.append(now - sender.sent_at.popleft())
        sender.say(messages)


async def main(plan: dict[str, Any]) -> dict[str, float]:
    run, loop = Run(), asyncio.get_running_loop()
    sockets = []
    for pair in plan["pairs"]:
        two = [
            Socket(run, end["path"], end["message"].encode(), plan["skip"].encode() if plan["skip"] else None)
            for end in pair
        ]
        two[0].peer, two[1].peer = two[1], two[0]
        for socket in two:
            await loop.create_connection(lambda socket=socket: socket, plan["host"], plan["port"])  # type: ignore[misc]
            await socket.open
        sockets += two
    await asyncio.sleep(0.5)  # what happens on joining
    run.going = True
    for socket in sockets:
        socket.say(plan["in_flight"])
    await asyncio.sleep(plan["warm_up"])
    run.delays.clear()
    for socket in sockets:
        socket.received = 0
    used, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.sleep(plan["seconds"])
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    run.going = False
    cpu = (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) / seconds
    delays = sorted(run.delays)
    return {
        "messages": sum(socket.received for socket in sockets),
        "seconds": seconds,
        "cpu": cpu,
        "p50": delays[len(delays) // 2] if delays else 0.0,
        "p99": delays[int(len(delays) * 0.99)] if delays else 0.0,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(json.load(sys.stdin)))))
