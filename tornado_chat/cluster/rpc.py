"""Questions to the coordinator, on both sides of the way."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tornado_chat.cluster.codec import failure, to_error
from tornado_chat.cluster.facts import Coordinator, CoordinatorRequest
from tornado_chat.cluster.messages import RpcRequest, RpcResponse
from tornado_chat.core.errors import ChatError, Unavailable

log = logging.getLogger(__name__)


class RpcClient:
    """Those of this process that wait for an answer.

    :arg send: sends one on its way.
    """

    def __init__(self, send: Callable[[RpcRequest], None]) -> None:
        self._send = send
        self._last_id = 0
        self._pending: dict[int, asyncio.Future[Any]] = {}

    async def call(self, question: CoordinatorRequest) -> Any:
        """:raises ChatError: that of the other side. :raises: what ``fail_all`` was given."""
        self._last_id += 1
        id = self._last_id
        future = self._pending[id] = asyncio.get_running_loop().create_future()
        try:
            self._send(RpcRequest(id, question))
            return await future
        finally:
            del self._pending[id]

    def on_response(self, process: str, on_response: RpcResponse) -> None:
        future = self._pending.get(on_response.id)
        if future is None or future.done():
            return
        if on_response.failure is not None:
            future.set_exception(to_error(on_response.failure))
        else:
            future.set_result(on_response.value)

    def fail_all(self, error: Callable[[], Exception]) -> None:
        """End all that wait, each with an error of its own."""
        for future in self._pending.values():
            if not future.done():
                future.set_exception(error())


async def serve_request(coordinator: Coordinator, request: RpcRequest) -> RpcResponse:
    try:
        return RpcResponse(request.id, await coordinator.answer(request.question))
    except ChatError as error:
        return RpcResponse(request.id, failure=failure(error))
    except Exception:
        log.exception("the coordinator failed on %s", type(request.question).__name__)
        return RpcResponse(request.id, failure=failure(Unavailable("no_coordinator")))
