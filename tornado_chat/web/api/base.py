"""The base class of the HTTP API's handlers: request bodies, JSON answers, RFC 9457 problems, CORS."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from tornado_chat.core.errors import (
    ChatError,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    TooFast,
    Unavailable,
)
from tornado_chat.core.numbers import is_number
from tornado_chat.core.types import Identity, Role
from tornado_chat.observability.logs import described, fields
from tornado_chat.services.auth.client_limits import Activity
from tornado_chat.services.container import Services
from tornado_chat.web.api.bodies import parse_body
from tornado_chat.web.api.callers import identify_caller
from tornado_chat.web.api.ids import Encode, encoder_for
from tornado_chat.web.api.operations import allow_header, requested_operation
from tornado_chat.web.api.schemas import PageQuery, Problem
from tornado_chat.web.http.accept_language import error_language
from tornado_chat.web.http.open_connections import abort, connection_of
from tornado_chat.web.http.origins import AllowedOrigins
from tornado_chat.web.http.query_params import query_parameters

T = TypeVar("T")

TOO_MANY_ANSWERS = TooFast("too_many_answers", retry_after=5)
"""An example of the error that ``finish_large`` and ``begin_large_answer`` raise, for the documentation."""

LARGE_ANSWER_BYTES = 64 * 1024
"""Answers above this size count as large (``[limits] answers_per_person``)."""

READING_METHODS = ("GET", "HEAD", "OPTIONS")

log = logging.getLogger(__name__)


class ApiHandler(RequestHandler):
    """One resource of ``/api/v1``."""

    def initialize(self, services: Services, origins: AllowedOrigins) -> None:
        self.services = services
        self.encode: Encode = encoder_for(None)
        self._person_key: str | None = None
        self._origins = origins

    # --- for subclasses ---

    async def authenticate(self, *roles: Role) -> Identity:
        """Return the identity of the caller.

        :arg roles: the only roles that have access; empty: the roles of the verb's ``operation``, if it
            lists roles.
        :raises Unauthenticated: there is no valid ``Authorization: Bearer`` token, and no plugin knows the
            caller by the request.
        :raises Forbidden: the caller's role has no access; or as ``identify_caller``.
        :raises TooFast: the caller has reached a limit of requests.
        """
        identity = await identify_caller(self.request, self.services, self._origins)
        operation = requested_operation(self)
        roles = roles or (operation.roles if operation is not None else ())
        connection = connection_of(self.request)
        if connection is not None:
            connection.release()
        self.encode = encoder_for(identity.person.role)
        self._person_key = identity.person.key
        if roles and identity.person.role not in roles:
            raise Forbidden("role_not_allowed", role=identity.person.role.value)
        if self.request.method not in READING_METHODS:
            self.count_write(identity)
        else:
            self.services.client_limits.require(Activity.READ, identity, self.client_address)
        return identity

    def count_write(self, identity: Identity | None) -> None:
        """Count this request towards the limits of a client. :arg identity: None: there is no token.

        :raises TooFast: the client has reached a limit.
        """
        self.services.client_limits.require_request(identity, self.client_address, len(self.request.body))

    @property
    def client_address(self) -> str:
        return self.request.remote_ip or ""

    def body(self, decoder: msgspec.json.Decoder[T]) -> T:
        """Parse the request body.

        :raises Malformed: the body does not match ``decoder``; the subclass ``UnknownKey``: it has a key that
            the operation does not have.
        """
        return parse_body(decoder, self.request.body)

    def path_number(self, text: str) -> int:
        """Return the number in the path, which matched ``NUMBER_PATTERN``.

        :raises NotFound: nothing can have this number.
        """
        number = int(text)
        if not is_number(number):
            raise NotFound("no_such_page")
        return number

    def cursor(self) -> tuple[int, int]:
        """Return the query parameters ``after`` and ``limit``."""
        query = query_parameters(self, PageQuery)
        return query.after, query.limit

    def respond(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish_large(self.encode(value))

    def finish_large(self, body: bytes) -> None:
        """Send ``body``; if it is large, it counts until the client has taken it.

        :raises TooFast: the caller has too many large answers under way.
        """
        if len(body) <= LARGE_ANSWER_BYTES:
            self.finish(body)
            return
        end = self.begin_large_answer()
        self.finish(body).add_done_callback(lambda _: end())

    def begin_large_answer(self) -> Callable[[], None]:
        """Count a large answer; the returned function ends it.

        :raises TooFast: the caller has too many large answers under way.
        """
        answers = self.services.connection_limits.large_answers
        return answers.begin(self._person_key, self.client_address)

    @property
    def large_answer_turn(self) -> asyncio.Lock:
        """The lock to hold while a page of messages is read, or a part of a streamed answer is made.

        The process makes one at a time, so that many answers together do not delay messages.
        """
        return self.services.connection_limits.large_answers.turn

    async def stream(self, parts: AsyncIterator[str]) -> None:
        """Send ``parts``, each as soon as the client has taken the one before.

        An error cuts the connection off, because the client must not take a part for the whole.
        """
        loop = asyncio.get_running_loop()
        try:
            while True:
                async with self.large_answer_turn:
                    started = loop.time()
                    part = await anext(parts, None)
                    await asyncio.sleep(loop.time() - started)  # others get half of the time, at least
                if part is None:
                    break
                self.write(part)
                await self.flush()
        except StreamClosedError:
            return  # the client has gone, or took nothing for too long
        except (ChatError, asyncio.CancelledError) as error:
            log.warning("an answer was cut off: %s", described(error), extra=fields(path=self.request.path))
            self._cut_off()
            return
        except Exception as error:
            self.log_exception(type(error), error, error.__traceback__)
            self._cut_off()
            return
        finished = self.finish()
        if self.request.version == "HTTP/1.0":  # without chunks: the end of the connection ends the answer
            await finished
            self._close_connection()

    def _cut_off(self) -> None:
        connection = connection_of(self.request)
        if connection is not None:
            abort(connection.stream)

    def _close_connection(self) -> None:
        connection = connection_of(self.request)
        if connection is not None:
            connection.stream.close()

    # --- Tornado's side ---

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        self.set_cors_headers()

    def set_cors_headers(self) -> None:
        """Let pages of the allowed origins read the answer (Fetch standard)."""
        takes_cookies = self.services.access_control.asks_for_requests
        origin = self.request.headers.get("Origin")
        for name, value in self._origins.cors_headers(origin, "GET, POST", takes_cookies):
            self.set_header(name, value)

    def options(self, *args: str, **kwargs: str) -> None:
        """Answer the CORS preflight request of a browser (Fetch standard)."""
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, HTTPError) and status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            error = MethodNotAllowed("unknown_method", method=self.request.method)
            self.set_header("Allow", allow_header(self))
        if isinstance(error, ChatError):
            problem = Problem.of(error, error_language(self.request))
        elif isinstance(error, HTTPError):  # of Tornado itself
            problem = Problem.of_status(HTTPStatus(status_code))
        else:
            problem = Problem.internal()
        self.set_status(problem.status)
        self.set_cors_headers()  # Tornado has removed them from the answer
        if problem.status == HTTPStatus.UNAUTHORIZED:
            self.set_header("WWW-Authenticate", "Bearer")
        if isinstance(error, TooFast | Unavailable):
            self.set_header("Retry-After", str(error.retry_after))
        self.set_header("Content-Type", "application/problem+json")
        self.finish(msgspec.json.encode(problem))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, ChatError | HTTPError | asyncio.CancelledError):
            log.error(
                "internal error in %s %s", self.request.method, self.request.path, exc_info=(typ, value, tb)
            )


class NotFoundHandler(ApiHandler):
    """Answers 404 for every path without a route."""

    def prepare(self) -> None:
        super().prepare()
        raise NotFound("no_such_page")
