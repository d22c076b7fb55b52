"""``/healthz``, ``/readyz`` and ``/metrics``, for service managers, load balancers and Prometheus."""

from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta

from tornado_chat.observability.metrics import CONTENT_TYPE
from tornado_chat.services.monitoring.aggregate import StatusAggregator
from tornado_chat.services.monitoring.readiness import Readiness
from tornado_chat.web.api.operations import ApiResponse, allow_header, operation
from tornado_chat.web.api.plain_handler import PlainHandler
from tornado_chat.web.http.client_network import is_from_networks
from tornado_chat.web.http.proxy_headers import Networks

NOT_IN_OPS_NETWORKS = ApiResponse(
    HTTPStatus.FORBIDDEN, {"text/plain": None}, "The client's address is not in `[web] ops_networks`."
)


class Health(msgspec.Struct, frozen=True):
    ok: bool
    problems: Annotated[
        dict[str, str],
        Meta(
            description="The problems by component that prevent serving; empty if there are none.",
            examples=[{}],
        ),
    ]
    degraded: Annotated[
        list[str],
        Meta(
            description="The components that fail while clients are still served, each with its problem.",
            examples=[["redis: Connection refused"]],
        ),
    ]


class OpsHandler(PlainHandler):
    """Answers only clients in ``[web] ops_networks``; a Unix socket counts as 127.0.0.1.

    A request that a proxy has forwarded counts by the client's address, which must be known.
    """

    def initialize(
        self, networks: Networks, readiness: Readiness, status_aggregator: StatusAggregator
    ) -> None:
        self._networks = networks
        self._readiness = readiness
        self._status_aggregator = status_aggregator

    def prepare(self) -> None:
        if self.request.method not in allow_header(self).split(", "):
            return  # Tornado answers 405 to every client
        if not is_from_networks(self.request, self._networks):
            self.set_status(HTTPStatus.FORBIDDEN)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish("forbidden: the client is not in [web] ops_networks\n")

    def write_health(self, problems: dict[str, str], degraded: dict[str, str]) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        shown = [f"{part}: {problem}" for part, problem in degraded.items()]
        self.finish(msgspec.json.encode(Health(not problems, problems, shown)))


class HealthHandler(OpsHandler):
    """Status 200 means that the event loop of the process answers."""

    @operation(
        "get_health",
        "Check that the process answers",
        access=None,
        responses=[ApiResponse(HTTPStatus.OK, Health), NOT_IN_OPS_NETWORKS],
    )
    async def get(self) -> None:
        self.write_health({}, {})


class ReadyHandler(OpsHandler):
    """Status 200 means that the database accepts writes and that the server is not about to stop.

    The list ``degraded`` names what fails while clients are served, as the link to the other processes.
    """

    @operation(
        "get_readiness",
        "Check that the server accepts new clients",
        access=None,
        responses=[
            ApiResponse(HTTPStatus.OK, Health),
            ApiResponse(
                HTTPStatus.SERVICE_UNAVAILABLE,
                Health,
                "The server does not accept new clients; the body states the problems.",
            ),
            NOT_IN_OPS_NETWORKS,
        ],
    )
    async def get(self) -> None:
        self.write_health(await self._readiness.problems(), self._readiness.degraded)


class MetricsHandler(OpsHandler):
    """The metrics of all processes of the server, in Prometheus' text format."""

    @operation(
        "get_metrics",
        "Metrics for Prometheus",
        access=None,
        responses=[ApiResponse(HTTPStatus.OK, {"text/plain": None}), NOT_IN_OPS_NETWORKS],
    )
    async def get(self) -> None:
        text = await self._status_aggregator.metrics()
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(text)


ROUTES = [(r"/healthz", HealthHandler), (r"/readyz", ReadyHandler), (r"/metrics", MetricsHandler)]
