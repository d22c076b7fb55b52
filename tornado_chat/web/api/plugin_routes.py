"""The routes of plugins: their requests have the limits of the server's own API.

A handler of a plugin is any Tornado handler, so the limits are put around it: ``with_limits`` makes a
subclass of each handler class. A plugin that raises a ``ChatError``, as ``Context.verify`` does, gets the
answer of the API for it, and a WebSocket is closed with the error's code.
"""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from tornado_chat.core.errors import ChatError, Unauthenticated
from tornado_chat.core.requests import Request
from tornado_chat.core.texts import error_text
from tornado_chat.core.types import Identity
from tornado_chat.plugins.answers import is_presentable
from tornado_chat.plugins.faults import HANDLER
from tornado_chat.plugins.handler import PluginHandler, supported_verbs
from tornado_chat.plugins.problems import answer_error, is_answer
from tornado_chat.services.auth.client_limits import Activity
from tornado_chat.services.container import Services
from tornado_chat.web.api.base import LARGE_ANSWER_BYTES, READING_METHODS
from tornado_chat.web.api.callers import bearer_token, identify_caller
from tornado_chat.web.api.page_session import SESSION_COOKIE, page_cookie, require_own_page
from tornado_chat.web.http.accept_language import error_language
from tornado_chat.web.http.client_request import client_request
from tornado_chat.web.http.open_connections import connection_of
from tornado_chat.web.http.origins import AllowedOrigins

MAX_CLOSE_REASON_BYTES = 123  # RFC 6455 section 5.5


class LimitedHandler(RequestHandler):
    """Limits the requests of one handler class of a plugin, which is the next base class.

    :cvar services: set by ``with_limits``, as ``_allowed_origins``.
    """

    services: Services
    _allowed_origins: AllowedOrigins
    _person_key: str | None = None
    _end_of_answer: Callable[[], None] | None = None
    _unsent_bytes = 0

    @property
    def client_request(self) -> Request | None:
        """The request for ``Context.verify``."""
        return client_request(self.request, self._allowed_origins)

    async def prepare(self) -> None:
        identity = await self._identify()
        address, limits = self.request.remote_ip or "", self.services.client_limits
        if self.request.headers.get("Upgrade", "").lower() == "websocket":
            limits.require(Activity.SOCKET, identity, address)
        elif self.request.method not in READING_METHODS:
            limits.require_request(identity, address, len(self.request.body or b""))
        else:
            limits.require(Activity.READ, identity, address)
        prepared = super().prepare()
        if inspect.isawaitable(prepared):
            await prepared

    async def _identify(self) -> Identity | None:
        """Return the person of the token in ``Authorization``, or of the cookies that a plugin knows.

        None: there is none, or it is refused. The plugin itself decides who has access.
        """
        if bearer_token(self.request) is None and not (
            "Cookie" in self.request.headers and self.services.access_control.asks_for_requests
        ):
            return None
        try:
            identity = await identify_caller(self.request, self.services, self._allowed_origins)
        except ChatError:
            return None
        self._on_identified(identity)
        return identity

    def _on_identified(self, identity: Identity) -> None:
        connection = connection_of(self.request)
        if connection is not None:
            connection.release()
        self._person_key = identity.person.key

    # --- large answers ---

    def write(self, chunk: str | bytes | dict[str, Any]) -> None:
        super().write(chunk)
        self._unsent_bytes += len(self._write_buffer[-1])  # ``chunk`` may be a dict, which becomes JSON
        if self._unsent_bytes > LARGE_ANSWER_BYTES:
            self._begin_large_answer()

    def flush(self, include_footers: bool = False) -> Any:
        if not include_footers:  # the answer has several parts, and may become large
            self._begin_large_answer()
        return super().flush(include_footers)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Any:
        finished = super().finish(chunk)
        finished.add_done_callback(lambda _: self._end_large_answer())
        return finished

    def on_connection_close(self) -> None:
        self._end_large_answer()
        super().on_connection_close()

    def _begin_large_answer(self) -> None:
        if self._end_of_answer is None:
            answers = self.services.connection_limits.large_answers
            self._end_of_answer = answers.begin(self._person_key, self.request.remote_ip or "")

    def _end_large_answer(self) -> None:
        end, self._end_of_answer = self._end_of_answer, None
        if end is not None:
            end()

    # --- errors ---

    async def _execute(self, transforms: Any, *args: Any, **kwargs: Any) -> None:
        try:
            await super()._execute(transforms, *args, **kwargs)
        except GeneratorExit:
            raise
        except BaseException as error:
            # Tornado answers an ``Exception`` only; without this, the client would wait for ever.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._handle_request_exception(error)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self._unsent_bytes = 0  # Tornado has dropped the answer
        error = kwargs.get("exc_info", (None, None, None))[1]
        if self._is_answer(error):
            answer_error(self, error, error_language(self.request))
        else:
            super().write_error(status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if self._is_answer(value):
            return
        log_exception = super().log_exception
        if not isinstance(value, HTTPError) and self.services.plugins.record_stray_failure(HANDLER, value):
            inherited = getattr(log_exception, "__func__", None)
            if inherited in (RequestHandler.log_exception, PluginHandler.log_exception):
                return  # the failure is logged and counted; these would log it again for each request
        log_exception(typ, value, tb)

    def _is_answer(self, error: object) -> bool:
        """Return True if an error is an answer to the client, and no fault of the plugin."""
        return isinstance(error, ChatError) and is_presentable(error)


class LimitedPluginHandler(LimitedHandler, PluginHandler):
    """As ``LimitedHandler``, for a ``PluginHandler``; callers are also identified by the pages' cookie."""

    _caller: Identity | None = None
    _caller_refusal: ChatError | None = None

    async def _identify(self) -> Identity | None:
        try:
            self._caller = await self._find_identity()
        except ChatError as error:
            self._caller_refusal = error
        else:
            self._on_identified(self._caller)
        return self._caller

    async def _find_identity(self) -> Identity:
        access_control, cookie = self.services.access_control, page_cookie(self, SESSION_COOKIE)
        if cookie and bearer_token(self.request) is None:
            require_own_page(self.request, "plugin")
            try:
                token = (await self.services.accounts.issue_token(cookie)).token
            except Unauthenticated:
                if not access_control.asks_for_requests:  # else a plugin may know another cookie
                    raise
            else:
                return await access_control.verify(token, self.client_request)
        return await identify_caller(self.request, self.services, self._allowed_origins)

    def set_default_headers(self) -> None:
        super().set_default_headers()
        takes_cookies = self.services.access_control.asks_for_requests
        origin, methods = self.request.headers.get("Origin"), ", ".join(supported_verbs(type(self)))
        for name, value in self._allowed_origins.cors_headers(origin, methods, takes_cookies):
            self.set_header(name, value)

    async def prepare(self) -> None:
        if self.request.method == "OPTIONS" and "Access-Control-Request-Method" in self.request.headers:
            # The preflight request of a browser has no token, so the plugin's handler is not asked.
            self.set_status(HTTPStatus.NO_CONTENT)
            self.finish()
            return
        await super().prepare()

    async def _identify_caller(self) -> Identity:
        if self._caller is None:
            assert self._caller_refusal is not None  # ``prepare`` has found one of both
            raise self._caller_refusal
        return self._caller

    def _is_answer(self, error: object) -> bool:
        return isinstance(error, ChatError) and is_answer(error)


class LimitedSocketHandler(LimitedHandler, WebSocketHandler):
    """As ``LimitedHandler``, for a WebSocket: a ``ChatError`` closes it with its code and text."""

    async def open(self, *args: str, **kwargs: str) -> None:
        await self._close_on_error(lambda: super(LimitedSocketHandler, self).open(*args, **kwargs))

    async def on_message(self, message: str | bytes) -> None:
        await self._close_on_error(lambda: super(LimitedSocketHandler, self).on_message(message))

    async def _close_on_error(self, call: Callable[[], Any]) -> None:
        try:
            result = call()
            if inspect.isawaitable(result):
                await result
        except ChatError as error:
            if not is_presentable(error):
                raise
            text = error_text(self.services.language, error)
            self.close(error.close_code, text.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore"))


def _limits_of(handler: type[RequestHandler]) -> type[LimitedHandler]:
    if issubclass(handler, PluginHandler):
        return LimitedPluginHandler
    return LimitedSocketHandler if issubclass(handler, WebSocketHandler) else LimitedHandler


def with_limits(routes: Sequence[Any], services: Services, origins: AllowedOrigins) -> list[tuple[Any, ...]]:
    """Return the routes of plugins with a limited subclass in the place of each handler class."""
    limited: dict[type[RequestHandler], type[RequestHandler]] = {}

    def limit(handler: type[RequestHandler]) -> type[RequestHandler]:
        if handler not in limited:
            attributes = {"services": services, "_allowed_origins": origins}
            limited[handler] = type(handler.__name__, (_limits_of(handler), handler), attributes)
        return limited[handler]

    return [(pattern, limit(handler), *arguments) for pattern, handler, *arguments in routes]
