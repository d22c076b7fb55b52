"""``/healthz``, ``/readyz`` and ``/metrics``, for service managers, load balancers and Prometheus."""

from http import HTTPStatus

import msgspec
from tornado.web import RequestHandler

from tornado_chat.metrics import CONTENT_TYPE, Metrics
from tornado_chat.services.overview import Overview
from tornado_chat.services.readiness import Readiness
from tornado_chat.web.local import from_networks


class OpsHandler(RequestHandler):
    """Answers only the networks of ``[web] ops_networks``; a unix socket counts as local."""

    def initialize(
        self, networks: tuple[str, ...], readiness: Readiness, overview: Overview, metrics: Metrics
    ) -> None:
        self._networks = networks
        self._readiness = readiness
        self._overview = overview
        self._metrics = metrics

    def prepare(self) -> None:
        if not from_networks(self.request, self._networks):
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
        self.say(await self._readiness.problems())


class MetricsHandler(OpsHandler):
    """Prometheus' text format."""

    async def get(self) -> None:
        await self._overview.refresh()
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(self._metrics.text())


ROUTES = [(r"/healthz", HealthHandler), (r"/readyz", ReadyHandler), (r"/metrics", MetricsHandler)]
