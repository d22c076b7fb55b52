"""``/healthz``, ``/readyz`` and ``/metrics``, for service managers, load balancers and Prometheus."""

import ipaddress
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from tornado.web import RequestHandler

from tornado_chat.metrics import CONTENT_TYPE, Metrics
from tornado_chat.web.proxies import Networks

Checks = Callable[[], Awaitable[dict[str, str]]]
"""What stands in the way of serving, by part: ``{"database": "disk is full"}``; empty if nothing does."""


class OpsHandler(RequestHandler):
    """Answers only the networks of ``[web] ops_networks``; a unix socket counts as 127.0.0.1."""

    def initialize(self, networks: Networks, checks: Checks, metrics: Metrics) -> None:
        self._networks = networks
        self._checks = checks
        self._metrics = metrics

    def prepare(self) -> None:
        if ipaddress.ip_address(self.request.remote_ip or "") not in self._networks:
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
