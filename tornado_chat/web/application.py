"""The Tornado application: all routes of the server, and the arguments and settings of their handlers."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from tornado_chat.config.sections import Config
from tornado_chat.observability.logs import fields
from tornado_chat.services.container import Services
from tornado_chat.services.monitoring.readiness import Readiness
from tornado_chat.web import entrance, pages, widget
from tornado_chat.web.api import (
    approvals,
    groups,
    handovers,
    left_messages,
    notifications,
    ops,
    participation,
    revocations,
    sessions,
    staff,
    status,
)
from tornado_chat.web.api import support as support_api
from tornado_chat.web.api.base import NotFoundHandler
from tornado_chat.web.api.operations import Routes
from tornado_chat.web.api.plugin_routes import with_limits
from tornado_chat.web.api_docs import handlers as api_docs
from tornado_chat.web.api_docs import pages as docs_pages
from tornado_chat.web.api_docs.handlers import ApiDocuments
from tornado_chat.web.api_docs.pages import DocsPages
from tornado_chat.web.http.origins import AllowedOrigins
from tornado_chat.web.http.proxy_headers import Networks
from tornado_chat.web.pages import Site
from tornado_chat.web.sockets import counselling, support

log = logging.getLogger(__name__)

SOCKET_ROUTES: Routes = (*counselling.ROUTES, *support.ROUTES)
API_ROUTES: Routes = (
    *(*sessions.ROUTES, *notifications.ROUTES, *support_api.ROUTES, *left_messages.ROUTES, *groups.ROUTES),
    *handovers.ROUTES,
    *(*participation.ROUTES, *staff.ROUTES, *approvals.ROUTES, *revocations.ROUTES),
)
"""The routes of the HTTP API whose handlers take the services and the origins only."""


class ChatApplication(Application):
    """The application of one server.

    :arg more_pages: routes in the form of ``pages.ROUTES``, which take precedence over those.
    :arg plugin_routes: Tornado routes of plugins. The server's own routes take precedence.
    :ivar socket_args: the arguments of the handlers of sockets.
    """

    def __init__(
        self,
        config: Config,
        services: Services,
        readiness: Readiness,
        more_pages: Sequence[pages.Route],
        plugin_routes: Sequence[Any],
    ) -> None:
        self._base_path = config.web.base_path
        self._origins = AllowedOrigins(config.web.origins)
        self._ops_networks = Networks(config.web.ops_networks)
        self.socket_args = common_args = {"services": services, "origins": self._origins}
        network_args = {"networks": self._ops_networks}
        ops_args = {
            **network_args,
            "readiness": readiness,
            "status_aggregator": services.status_aggregator,
        }
        status_routes = _with_handler_args(network_args, status.ROUTES)
        api_routes = [*API_ROUTES, *status_routes]
        self._api_documents = ApiDocuments(
            [*api_routes, *api_docs.ROUTES, *ops.ROUTES], config.auth, config.web.base_path, plugin_routes
        )
        routes = [
            *_with_handler_args(common_args, SOCKET_ROUTES),
            *_with_handler_args(common_args, api_routes),
            *_with_handler_args({**common_args, "descriptions": self._api_documents}, api_docs.ROUTES),
            *_with_handler_args(ops_args, ops.ROUTES),
        ]
        last_routes: list[Any] = []
        self._site: Site | None = None
        self._docs: DocsPages | None = None
        if config.web.pages:
            self._site = site = Site(
                config.auth,
                config.web,
                self._origins,
                services.accounts.is_available,
                lambda: len(services.groups.rules.names) > 1,
            )
            self._docs = DocsPages(site, self._api_documents)
            routes += _with_handler_args({"site": site}, [*more_pages, *pages.ROUTES, *entrance.ROUTES])
            routes += _with_handler_args({"site": site, **common_args}, widget.ROUTES)
            last_routes = [entrance.missing_page_rule(site)]
            routes += _with_handler_args({"docs": self._docs}, docs_pages.ROUTES)
        super().__init__(
            [*routes, *with_limits(plugin_routes, services, self._origins), *last_routes],
            default_handler_class=NotFoundHandler,
            default_handler_args=common_args,
            log_function=_log_request,
            **_socket_settings(config),
        )

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        # A proxy may pass ``[web] base_path`` on, or remove it.
        if self._base_path and request.path.startswith(f"{self._base_path}/"):
            request.path = request.path.removeprefix(self._base_path)
        return super().find_handler(request, **kwargs)

    def reconfigure(self, config: Config) -> None:
        """Apply another configuration to new requests and sockets; open sockets are not changed."""
        self._origins.reconfigure(config.web.origins)
        self._ops_networks.reconfigure(config.web.ops_networks)
        self._api_documents.reconfigure(config.auth)
        if self._site is not None and self._docs is not None:
            self._site.reconfigure(config.auth, config.web)
            self._docs.reconfigure()
        self.settings.update(_socket_settings(config))


def own_patterns(*, with_pages: bool) -> list[str]:
    """Return the patterns of the server's own routes, without those of a demo.

    :arg with_pages: as ``[web] pages``.
    """
    api_routes = (*SOCKET_ROUTES, *API_ROUTES, *status.ROUTES, *api_docs.ROUTES, *ops.ROUTES)
    page_routes: list[Sequence[Any]] = [
        *(*pages.ROUTES, *entrance.ROUTES, *widget.ROUTES, *docs_pages.ROUTES),
    ]
    return [route[0] for route in (*api_routes, *(page_routes if with_pages else ()))]


def _with_handler_args(args: Mapping[str, Any], routes: Routes) -> list[tuple[Any, ...]]:
    """Return ``routes`` with ``args`` added to the arguments of their handlers; the route's own win."""
    return [(path, handler, {**args, **(own[0] if own else {})}) for path, handler, *own in routes]


def _socket_settings(config: Config) -> dict[str, Any]:
    """Return the Tornado settings of new WebSockets."""
    return {
        # Messages up to this size are read, and those above ``frame_bytes`` are answered by a dialect's close
        # frame. Larger messages are a protocol violation: the transport closes the connection with 1009. Also
        # a socket that is not authenticated may keep an unfinished message of this size in memory.
        "websocket_max_message_size": 2 * config.limits.frame_bytes,
    }


def _log_request(handler: RequestHandler) -> None:
    """Log one line per request, without the query, which may contain a token."""
    request = handler.request
    log.debug(
        "request",
        extra=fields(
            method=request.method,
            path=request.path,
            status=handler.get_status(),
            ms=round(1000 * request.request_time(), 1),
        ),
    )
