"""Requests to the coordinator: the calling side and the serving side."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tornado_chat.cluster.codec import to_error, to_failure
from tornado_chat.cluster.facts import Coordinator, CoordinatorRequest
from tornado_chat.cluster.messages import RpcRequest, RpcResponse
from tornado_chat.core.errors import ChatError, Unavailable

log = logging.getLogger(__name__)


class RpcClient:
    """The requests of this process that wait for a response.

    :arg send: sends a request to the coordinator.
    """

    def __init__(self, send: Callable[[RpcRequest], None]) -> None:
        self._send = send
        self._last_id = 0
        self._pending: dict[int, asyncio.Future[Any]] = {}

    async def call(self, request: CoordinatorRequest) -> Any:
        """Send a request and return its result.

        :raises ChatError: the error that the coordinator raised.
        :raises Exception: the error that ``fail_all`` was called with.
        """
        self._last_id += 1
        id = self._last_id
        future = self._pending[id] = asyncio.get_running_loop().create_future()
        try:
            self._send(RpcRequest(id, request))
            return await future
        finally:
            del self._pending[id]

    def on_response(self, process: str, response: RpcResponse) -> None:
        future = self._pending.get(response.id)
        if future is None or future.done():
            return
        if response.failure is not None:
            future.set_exception(to_error(response.failure))
        else:
            future.set_result(response.value)

    def fail_all(self, make_error: Callable[[], Exception]) -> None:
        """Let all waiting requests fail, each with a new error object."""
        for future in self._pending.values():
            if not future.done():
                future.set_exception(make_error())


async def serve_request(coordinator: Coordinator, request: RpcRequest) -> RpcResponse:
    """Let the coordinator answer ``request``, and return the response, with an error if there is one."""
    try:
        return RpcResponse(request.id, await coordinator.answer(request.question))
    except ChatError as error:
        return RpcResponse(request.id, failure=to_failure(error))
    except Exception:
        log.exception("the coordinator failed on %s", type(request.question).__name__)
        return RpcResponse(request.id, failure=to_failure(Unavailable("no_coordinator")))
