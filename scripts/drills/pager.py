"""The pager of the duty: a receiver of webhooks that can hang, beside a receiver that answers."""

import asyncio
import json
from collections.abc import Callable

TIMEOUT_SECONDS = 90.0


class Pager:
    """An HTTP server with two addresses: ``/duty``, which hangs on demand, and ``/office``, which answers.

    :ivar heard: the ids of the notifications of each address, each id once.
    """

    def __init__(self) -> None:
        self.heard: dict[str, set[int]] = {"/duty": set(), "/office": set()}
        self.hanging = 0
        self._answers = asyncio.Event()
        self._answers.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def hang(self) -> None:
        """Leave requests to ``/duty`` unanswered from now on."""
        self._answers.clear()

    def answer(self) -> None:
        """Answer all requests from now on; those that hang stay unanswered."""
        self._answers.set()

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on ``heard`` or ``hanging``. :raises TimeoutError: it does not come."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(line.split(":")[1])
                    for line in head.lower().splitlines()
                    if line.startswith("content-length:")
                )
                body = await reader.readexactly(length)
                path = head.split(" ")[1]
                if path == "/duty" and not self._answers.is_set():
                    self.hanging += 1
                    await reader.read()  # until the server gives up
                    return
                self.heard[path].add(json.loads(body)["notification"]["id"])
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()
