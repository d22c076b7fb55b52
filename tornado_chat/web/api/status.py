"""``/api/v1/status``: the state of the server at one moment, for operators and the status pages."""

from http import HTTPStatus
from typing import Any

from tornado_chat.core.status import Status
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.services.container import Services
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.ids import encode_for_hosts
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.api.serializers import status_for_pages
from tornado_chat.web.http.client_network import is_direct, is_from_networks
from tornado_chat.web.http.origins import AllowedOrigins
from tornado_chat.web.http.proxy_headers import Networks


class StatusHandler(ApiHandler):
    def initialize(  # type: ignore[override]  # Tornado calls it with the arguments of the route
        self, services: Services, origins: AllowedOrigins, networks: Networks
    ) -> None:
        super().initialize(services, origins)
        self._networks = networks

    @operation(
        "get_status",
        "State of the server, connections and conversations",
        access=HOST_ROLES,
        responses=[ApiResponse(HTTPStatus.OK, Status)],
    )
    async def get(self) -> None:
        """For operators. The answer never contains texts of messages.

        Clients in ``[web] ops_networks`` need no token, unless the request came through a proxy, to a host
        name, or from a page. Callers that poll should wait two seconds between two requests.
        """
        may_omit_token = "Authorization" not in self.request.headers and is_direct(self.request)
        if not (may_omit_token and is_from_networks(self.request, self._networks)):
            await self.authenticate()
        status: Status = await self.services.status_aggregator.status()
        self.respond(status if self.encode is encode_for_hosts else status_for_pages(status))


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [(r"/api/v1/status", StatusHandler, {})]
