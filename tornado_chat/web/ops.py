"""``/healthz``, ``/readyz`` and ``/metrics``, for service managers, load balancers and Prometheus."""

import ipaddress
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from tornado.web import RequestHandler

from tornado_chat.metrics import CONTENT_TYPE, Metrics

Checks = Callable[[], Awaitable[dict[str, str]]]
"""What stands in the way of serving, by part: ``{"database": "disk is full"}``; empty if nothing does."""


class OpsHandler(RequestHandler):
    """Answers only the networks of ``[web] ops_networks``; a unix socket counts as local."""

    def initialize(self, networks: tuple[str, ...], checks: Checks, metrics: Metrics) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._checks = checks
        self._metrics = metrics

    def prepare(self) -> None:
        context = getattr(self.request.connection, "context", None)
        address = getattr(context, "address", None)
        if isinstance(address, tuple):
            client = ipaddress.ip_address(address[0].split("%")[0])
            if not any(client in network for network in self._networks):
                self.set_status(HTTPStatus.FORBIDDEN)
                self.finish("not from here: see [web] ops_networks\n")

    def say(self, problems: dict[str, str]) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(msgspec.json.encode({"ok": not problems, "problems": problems}))


class HealthHandler(OpsHandler):
    """The loop answers."""

    async def get(self) -> None:
        self.say({})


class ReadyHandler(OpsHandler):
    """New clients are served: the database takes writes, and the server is not about to stop."""

    async def get(self) -> None:
        self.say(await self._checks())


class MetricsHandler(OpsHandler):
    """Prometheus' text format."""

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(self._metrics.text())


ROUTES = [(r"/healthz", HealthHandler), (r"/readyz", ReadyHandler), (r"/metrics", MetricsHandler)]
