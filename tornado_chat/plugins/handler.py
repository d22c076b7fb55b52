"""The base class of a plugin's API calls: identity, JSON bodies and answers, problems."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

import msgspec
from tornado.web import HTTPError, MissingArgumentError, RequestHandler

from tornado_chat.core.errors import ChatError, Forbidden, Malformed, TooBig
from tornado_chat.core.texts import Language, preferred_language
from tornado_chat.core.types import Identity, Role
from tornado_chat.plugins.context import Context
from tornado_chat.plugins.problems import answer_error, answer_problem, phrase_of
from tornado_chat.wire.operations import Operation
from tornado_chat.wire.parsing import parse, parse_query

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

VERBS = ("get", "head", "post", "put", "patch", "delete")

log = logging.getLogger(__name__)


class PluginHandler(RequestHandler):
    """One resource of a plugin's API. Its route is ``(pattern, TheClass, {"context": context})``.

    A ``ChatError`` that is raised anywhere in it becomes an answer with its status, as
    ``application/problem+json`` in the language of the request.

    :cvar max_body_bytes: the size of a request body that ``body`` accepts.
    """

    max_body_bytes: ClassVar[int] = 65_536
    context: Context

    def initialize(self, context: Context) -> None:
        self.context = context

    # --- for subclasses ---

    async def authenticate(self, *roles: Role) -> Identity:
        """Return the identity of the caller.

        The caller has a token in the header ``Authorization: Bearer``; or it is a page of this server in a
        browser that is signed in with an account, which sends the cookie; or a page whose cookies a plugin
        knows (``authenticate``). Requests with cookies are refused if another site has caused them.

        :arg roles: the only roles that have access; empty: those that ``operation`` names for the method of
            the request, else all.
        :raises Unauthenticated: the caller has no valid token, and is not signed in.
        :raises Forbidden: the role has no access, or the request with the cookie comes from another site.
        """
        identity = await self._identify_caller()
        described = getattr(getattr(self, (self.request.method or "").lower(), None), "operation", None)
        if not roles and isinstance(described, Operation):
            roles = described.roles
        if roles and identity.person.role not in roles:
            raise Forbidden("role_not_allowed", role=identity.person.role.value)
        return identity

    def body(self, type: type[T]) -> T:
        """Return the request body, which is JSON, as a ``type``: a ``msgspec.Struct``, ``dict[str, int]`` …

        :raises TooBig: it is larger than ``max_body_bytes``.
        :raises Malformed: it is not JSON, or does not match ``type``.
        """
        if len(self.request.body) > self.max_body_bytes:
            raise TooBig("too_big", limit=self.max_body_bytes)
        return parse(msgspec.json.Decoder(type), self.request.body)

    def query(self, type: type[S]) -> S:
        """Return the query parameters as a ``msgspec.Struct``.

        :raises Malformed: a parameter is missing or has a wrong value.
        """
        texts = {}
        for name in type.__struct_encode_fields__:
            try:
                texts[name] = self.get_query_argument(name, "")
            except HTTPError:
                raise Malformed("bad_parameter", name=name, reason="UTF-8 is expected") from None
        return parse_query(type, texts)

    def respond(self, value: Any, status: int = HTTPStatus.OK) -> None:
        """Finish the request with ``value`` as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(msgspec.json.encode(value))

    def problem(
        self,
        status: int,
        en: str,
        zh_CN: str | None = None,  # noqa: N803 - a locale's name
        *,
        code: str = "",
    ) -> None:
        """Finish the request with an error of the plugin.

        :arg en: the reason and the advice, in English.
        :arg zh_CN: the same in Chinese; the English text is used if it is missing.
        :arg code: the stable name of the error, for programs.
        """
        answer_problem(self, status, code, zh_CN if zh_CN and self.language == "zh_CN" else en)

    @property
    def language(self) -> Language:
        """The language of the request: ``zh_CN`` if its ``Accept-Language`` prefers Chinese, else ``en``."""
        return preferred_language(self.request.headers.get("Accept-Language", ""))

    # --- the server's side ---

    async def _identify_caller(self) -> Identity:
        """Return the identity; the server overrides this in the class that it makes for the route."""
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return await self.context.verify(token.strip() if scheme.lower() == "bearer" else None)

    # --- Tornado's side ---

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, ChatError):
            answer_error(self, error, self.language)
        elif isinstance(error, MissingArgumentError):
            missing = Malformed("bad_parameter", name=error.arg_name, reason="it is missing")
            answer_error(self, missing, self.language)
        elif isinstance(error, HTTPError):
            if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                self.set_header("Allow", ", ".join(supported_verbs(type(self))))
            answer_problem(self, status_code, detail=phrase_of(status_code))
        else:
            answer_problem(
                self, status_code, "internal", "An internal error; the server's log has the details."
            )

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, ChatError | HTTPError):
            log.error(
                "internal error in %s %s", self.request.method, self.request.path, exc_info=(typ, value, tb)
            )


def supported_verbs(handler: type[RequestHandler]) -> list[str]:
    """Return the HTTP methods that a handler class implements."""
    inherited: Callable[[str], Any] = lambda verb: getattr(RequestHandler, verb)  # noqa: E731
    return [verb.upper() for verb in VERBS if getattr(handler, verb) is not inherited(verb)]
