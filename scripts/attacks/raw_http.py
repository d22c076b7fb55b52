"""HTTP requests byte by byte, as attackers send them: from any loopback address, also malformed ones."""

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

MAX_ANSWER_BYTES = 64 * 1024 * 1024
REQUEST_TIMEOUT_SECONDS = 20.0
CONNECTION_LOST = 0
"""The status of an answer that never came."""

STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


class Answer(NamedTuple):
    """The answer to a request.

    :ivar status: the HTTP status, or ``CONNECTION_LOST``.
    :ivar headers: with names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def connect(port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the server from a loopback address."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def exchange(port: int, data: bytes, *, timeout: float, source: str, end: bool = False) -> bytes:
    """Send ``data``, and return all that arrives until the server closes or ``timeout`` seconds pass.

    :arg end: close the sending side behind ``data``.
    """
    received = bytearray()
    try:
        reader, writer = await connect(port, source)
    except OSError:
        return b""
    try:
        async with asyncio.timeout(timeout):
            writer.write(data)
            if end:
                writer.write_eof()
            while len(received) < MAX_ANSWER_BYTES:
                part = await reader.read(65536)
                if not part:
                    break
                received += part
    except (OSError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
    return bytes(received)


async def request(
    port: int,
    method: str,
    path: str,
    *,
    token: str | None = None,
    body: Any = None,
    source: str,
    headers: Sequence[tuple[str, str]] = (),
) -> Answer:
    """Send one well-formed request, and return its answer.

    :arg body: sent as it is if it is bytes, else as JSON; None: no body.
    """
    content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None or method in ("POST", "PUT", "PATCH"):
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogatepass")
    received = await exchange(port, head + content, timeout=REQUEST_TIMEOUT_SECONDS, source=source)
    return parse_answer(received)


def parse_answer(received: bytes) -> Answer:
    """Return the first answer in ``received``. A chunked body is joined."""
    head, _, body = received.partition(b"\r\n\r\n")
    found = STATUS_LINE.match(head)
    if found is None:
        return Answer(CONNECTION_LOST, {}, b"")
    headers = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _join_chunks(body)
    return Answer(int(found[1]), headers, body)


def statuses(received: bytes) -> list[int]:
    """Return the statuses of all answers in ``received``."""
    return [int(each) for each in STATUS_LINE.findall(received)]


def _join_chunks(body: bytes) -> bytes:
    joined = bytearray()
    with contextlib.suppress(ValueError):
        while body:
            size_line, _, body = body.partition(b"\r\n")
            size = int(size_line.partition(b";")[0], 16)
            if not size:
                break
            joined += body[:size]
            body = body[size + 2 :]
    return bytes(joined)
