"""The Tornado application: all routes of the server, and the arguments and settings of their handlers."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from tornado.web import Application, RequestHandler

from tornado_chat.config.sections import Config
from tornado_chat.observability.logs import fields
from tornado_chat.services.container import Services
from tornado_chat.services.monitoring.readiness import Readiness
from tornado_chat.web import pages, widget
from tornado_chat.web.api import notifications, ops, revocations, sessions, staff, status
from tornado_chat.web.api import support as support_api
from tornado_chat.web.api.base import NotFoundHandler
from tornado_chat.web.api.operations import Routes
from tornado_chat.web.api_docs import handlers as api_docs
from tornado_chat.web.api_docs import pages as docs_pages
from tornado_chat.web.api_docs.handlers import ApiDocuments
from tornado_chat.web.api_docs.pages import DocsPages
from tornado_chat.web.http.origins import AllowedOrigins
from tornado_chat.web.http.proxy_headers import Networks
from tornado_chat.web.pages import Site
from tornado_chat.web.sockets import counselling, support

log = logging.getLogger(__name__)


class ChatApplication(Application):
    """The application of one server.

    :arg more_pages: routes in the form of ``pages.ROUTES``.
    :arg plugin_routes: Tornado routes of plugins. The server's own routes take precedence.
    """

    def __init__(
        self,
        config: Config,
        services: Services,
        readiness: Readiness,
        more_pages: Sequence[pages.Route],
        plugin_routes: Sequence[Any],
    ) -> None:
        self._origins = AllowedOrigins(config.web.origins)
        self._ops_networks = Networks(config.web.ops_networks)
        common_args = {"services": services, "origins": self._origins}
        network_args = {"networks": self._ops_networks}
        ops_args = {
            **network_args,
            "readiness": readiness,
            "status_aggregator": services.status_aggregator,
        }
        status_routes = _with_handler_args(network_args, status.ROUTES)
        api_routes = [
            *sessions.ROUTES,
            *notifications.ROUTES,
            *support_api.ROUTES,
            *staff.ROUTES,
            *revocations.ROUTES,
            *status_routes,
        ]
        self._api_documents = ApiDocuments([*api_routes, *api_docs.ROUTES, *ops.ROUTES], config.auth)
        routes = [
            *_with_handler_args(common_args, counselling.ROUTES),
            *_with_handler_args(common_args, support.ROUTES),
            *_with_handler_args(common_args, api_routes),
            *_with_handler_args({**common_args, "descriptions": self._api_documents}, api_docs.ROUTES),
            *_with_handler_args(ops_args, ops.ROUTES),
        ]
        self._site: Site | None = None
        self._docs: DocsPages | None = None
        if config.web.pages:
            self._site = site = Site(config.auth, self._origins, services.accounts.is_available)
            self._docs = DocsPages(site, self._api_documents)
            routes += _with_handler_args({"site": site}, [*pages.ROUTES, *more_pages])
            routes += _with_handler_args({"site": site, **common_args}, widget.ROUTES)
            routes += _with_handler_args({"docs": self._docs}, docs_pages.ROUTES)
        super().__init__(
            [*routes, *plugin_routes],
            default_handler_class=NotFoundHandler,
            default_handler_args=common_args,
            log_function=_log_request,
            **_socket_settings(config),
        )

    def reconfigure(self, config: Config) -> None:
        """Apply another configuration to new requests and sockets; open sockets are not changed."""
        self._origins.reconfigure(config.web.origins)
        self._ops_networks.reconfigure(config.web.ops_networks)
        self._api_documents.reconfigure(config.auth)
        if self._site is not None and self._docs is not None:
            self._site.reconfigure(config.auth)
            self._docs.reconfigure()
        self.settings.update(_socket_settings(config))


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
