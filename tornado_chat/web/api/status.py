"""``/api/v1/status``: the server at one moment, for operators and their pages."""

from http import HTTPStatus
from typing import Any

from tornado_chat.core.status import Status
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.services.container import Services
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.http.client_network import is_direct, is_from_networks
from tornado_chat.web.http.origins import AllowedOrigins
from tornado_chat.web.http.proxy_headers import Networks


class StatusHandler(ApiHandler):
    def initialize(  # type: ignore[override]  # Tornado gives it what the route has
        self, services: Services, origins: AllowedOrigins, networks: Networks
    ) -> None:
        super().initialize(services, origins)
        self._networks = networks

    @operation(
        "get_status",
        "How the server is, and who is there",
        who=HOST_ROLES,
        responses=[ApiResponse(HTTPStatus.OK, Status)],
    )
    async def get(self) -> None:
        """For an operator's eyes: nothing in it is ever what somebody said.

        From ``[web] ops_networks`` no token is asked for, unless the request
        came through a proxy, by a name, or from a page. Two seconds are a good pause between two calls.
        """
        local = "Authorization" not in self.request.headers and is_direct(self.request)
        if not (local and is_from_networks(self.request, self._networks)):
            await self.authenticate()
        status: Status = await self.services.status_aggregator.status()
        self.respond(status)


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [(r"/api/v1/status", StatusHandler, {})]
