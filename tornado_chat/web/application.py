"""The Tornado application: every address that the server answers, and what they have in common."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from tornado.web import Application, RequestHandler

from tornado_chat.config.sections import Config
from tornado_chat.observability.logs import fields
from tornado_chat.services.container import Services
from tornado_chat.services.monitoring.readiness import Readiness
from tornado_chat.web import pages, widget
from tornado_chat.web.api import notifications, ops, sessions, staff, status
from tornado_chat.web.api import support as support_api
from tornado_chat.web.api.base import NotFoundHandler
from tornado_chat.web.api.operations import Routes
from tornado_chat.web.api_docs import handlers as described
from tornado_chat.web.api_docs import pages as described_pages
from tornado_chat.web.api_docs.handlers import ApiDocuments
from tornado_chat.web.api_docs.pages import DocsPages
from tornado_chat.web.http.origins import AllowedOrigins
from tornado_chat.web.http.proxy_headers import Networks
from tornado_chat.web.pages import Site
from tornado_chat.web.sockets import counselling, support

log = logging.getLogger(__name__)


class ChatApplication(Application):
    """:arg more_pages: routes like those of ``pages``.
    :arg plugin_routes: routes as Tornado takes them. Where an address is ours too, ours comes first.
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
        everybody = {"services": services, "origins": self._origins}
        networks = {"networks": self._ops_networks}
        operator = {**networks, "readiness": readiness, "siblings": services.status_aggregator}
        of_status = _with_handler_args(networks, status.ROUTES)
        api = [*sessions.ROUTES, *notifications.ROUTES, *support_api.ROUTES, *staff.ROUTES, *of_status]
        self._api_documents = ApiDocuments([*api, *described.ROUTES, *ops.ROUTES], config.auth)
        routes = [
            *_with_handler_args(everybody, counselling.ROUTES),
            *_with_handler_args(everybody, support.ROUTES),
            *_with_handler_args(everybody, api),
            *_with_handler_args({**everybody, "descriptions": self._api_documents}, described.ROUTES),
            *_with_handler_args(operator, ops.ROUTES),
        ]
        self._site: Site | None = None
        self._docs: DocsPages | None = None
        if config.web.pages:
            self._site = site = Site(config.auth, self._origins, services.accounts.is_available)
            self._docs = DocsPages(site, self._api_documents)
            routes += _with_handler_args({"site": site}, [*pages.ROUTES, *more_pages])
            routes += _with_handler_args({"site": site, **everybody}, widget.ROUTES)
            routes += _with_handler_args({"docs": self._docs}, described_pages.ROUTES)
        super().__init__(
            [*routes, *plugin_routes],
            default_handler_class=NotFoundHandler,
            default_handler_args=everybody,
            log_function=_log_request,
            **_for_sockets(config),
        )

    def reconfigure(self, config: Config) -> None:
        """Go by another configuration from now on; sockets that are open stay so."""
        self._origins.reconfigure(config.web.origins)
        self._ops_networks.reconfigure(config.web.ops_networks)
        self._api_documents.reconfigure(config.auth)
        if self._site is not None and self._docs is not None:
            self._site.reconfigure(config.auth)
            self._docs.reconfigure()
        self.settings.update(_for_sockets(config))


def _with_handler_args(what: Mapping[str, Any], routes: Routes) -> list[tuple[Any, ...]]:
    """``routes``, whose handlers are made with ``what`` beside what each route has itself."""
    return [(path, handler, {**what, **(own[0] if own else {})}) for path, handler, *own in routes]


def _for_sockets(config: Config) -> dict[str, Any]:
    """The settings of new WebSockets."""
    return {
        # A frame up to this is read, and answered by a close frame if it is too large; beyond, Tornado hangs up.
        "websocket_max_message_size": max(4 * config.limits.frame_bytes, 1024 * 1024),
    }


def _log_request(handler: RequestHandler) -> None:
    """One line per request, without the query: it may hold a token."""
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
