"""``/api/v1/openapi.json`` and ``/asyncapi.json``: made on the first request, then cached as bytes."""

import logging
from collections.abc import Iterator
from functools import cached_property
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec

from tornado_chat import config
from tornado_chat.observability.logs import described
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.operations import ApiResponse, Routes, find_operations, operation
from tornado_chat.web.api_docs import asyncapi, openapi
from tornado_chat.web.api_docs.schemas import Schema
from tornado_chat.web.pages import CACHE_REVALIDATE

log = logging.getLogger(__name__)


class ApiDocuments:
    """The OpenAPI and the AsyncAPI document of one server.

    :arg routes: the routes of the HTTP API, including ``ROUTES`` of this module.
    :arg base_path: as ``[web] base_path``.
    :arg plugin_routes: the routes of plugins; those whose description has mistakes are left out.
    """

    def __init__(
        self, routes: Routes, auth: config.Auth, base_path: str = "", plugin_routes: Routes = ()
    ) -> None:
        self._routes = [*routes]
        self._plugin_routes = plugin_routes
        self._base_path = base_path
        self._auth = auth

    def reconfigure(self, auth: config.Auth) -> None:
        """Describe tokens by other settings: drop the cached documents."""
        self._auth = auth
        for name in ("http", "sockets", "http_bytes", "sockets_bytes"):
            self.__dict__.pop(name, None)

    @cached_property
    def http(self) -> Schema:
        return openapi.document(
            [*self._routes, *self._described_plugin_routes()],
            self._auth,
            version("tornado_chat"),
            self._base_path,
        )

    def _described_plugin_routes(self) -> Iterator[tuple[Any, ...]]:
        """Yield the routes of plugins that can be described. The names of operations have to be unique."""
        taken = {each.operation.id for each in find_operations(self._routes)}
        for route in self._plugin_routes:
            try:
                ids = [each.operation.id for each in find_operations([route])]
                openapi.document([route], self._auth, "")
                if not taken.isdisjoint(ids):
                    raise ValueError(f"there is another operation with an id of {', '.join(ids)}")
            except Exception as error:  # the plugin's description may be anything
                log.error("the route %s is not in the OpenAPI document: %s", route[0], described(error))
                continue
            taken.update(ids)
            yield route

    @cached_property
    def sockets(self) -> Schema:
        return asyncapi.document(self._auth, version("tornado_chat"), self._base_path)

    @cached_property
    def http_bytes(self) -> bytes:
        return msgspec.json.encode(self.http)

    @cached_property
    def sockets_bytes(self) -> bytes:
        return msgspec.json.encode(self.sockets)


class DocumentHandler(ApiHandler):
    """Serves a document to every client and to pages of every origin: it contains no personal data."""

    def initialize(self, descriptions: ApiDocuments, **kwargs: Any) -> None:  # type: ignore[override]
        super().initialize(**kwargs)
        self.descriptions = descriptions

    def prepare(self) -> None:
        super().prepare()
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Cache-Control", CACHE_REVALIDATE)

    def answer_document(self, document: bytes) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish_large(document)  # Tornado adds the ETag, and answers 304


class OpenApiHandler(DocumentHandler):
    @operation(
        "get_openapi",
        "This description of the HTTP API (OpenAPI 3.1)",
        access=None,
        responses=[ApiResponse(HTTPStatus.OK, {"application/json": None})],
    )
    async def get(self) -> None:
        self.answer_document(self.descriptions.http_bytes)


class AsyncApiHandler(DocumentHandler):
    @operation(
        "get_asyncapi",
        "The description of the WebSocket endpoints (AsyncAPI 3.0)",
        access=None,
        responses=[ApiResponse(HTTPStatus.OK, {"application/json": None})],
    )
    async def get(self) -> None:
        self.answer_document(self.descriptions.sockets_bytes)


ROUTES: list[tuple[str, type[DocumentHandler]]] = [
    (r"/api/v1/openapi\.json", OpenApiHandler),
    (r"/asyncapi\.json", AsyncApiHandler),
]
