"""Who may request ``/metrics``, ``/readyz`` and ``/healthz``: this machine, not clients of its proxies."""

import asyncio
import json
from typing import Any

import pytest

from tests.conftest import Harness, changed
from tests.helpers.redis_server import RedisServer
from tornado_chat import config
from tornado_chat.server.server import Server
from tornado_chat.web.http.client_network import PROXY_HEADERS

OPS = ("/metrics", "/readyz", "/healthz")


async def code(harness: Harness, path: str = "/metrics", **headers: str) -> int:
    return (await harness.api("GET", path, **headers)).code


async def readiness_when(harness: Harness, *, degraded: bool) -> dict[str, Any]:
    """Return the answer of ``/readyz`` as soon as the server is degraded, or is not."""
    while True:
        answer: dict[str, Any] = json.loads((await harness.api("GET", "/readyz")).body)
        if bool(answer["degraded"]) is degraded:
            return answer
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", OPS)
@pytest.mark.gen_test
async def test_only_this_machine_may_ask_and_no_proxy_on_it(harness: Harness, path: str) -> None:
    assert await code(harness, path) == 200
    for name in PROXY_HEADERS:
        for value in ("127.0.0.1", "203.0.113.7", "for=127.0.0.1", "1.1 proxy"):
            assert await code(harness, path, **{name: value}) == 403, (name, value)


class TestAddressOfANetwork:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "web", ops_networks=("203.0.113.0/24", "127.0.0.0/8"))

    @pytest.mark.parametrize(
        ("expected", "headers"),
        [
            (200, {}),
            (200, {"X-Real-Ip": "203.0.113.7"}),
            (200, {"Forwarded": "for=203.0.113.7;proto=https"}),
            (200, {"Forwarded": 'for=198.51.100.1, For="203.0.113.7:4711"'}),
            (200, {"Via": "1.1 proxy", "X-Forwarded-Proto": "https"}),
            # The client has sent X-Forwarded-For itself, and the proxy sets another header.
            (403, {"X-Real-Ip": "198.51.100.1"}),
            (403, {"Forwarded": "for=198.51.100.1"}),
            (403, {"Forwarded": "for=unknown"}),
            (403, {"Forwarded": "by=203.0.113.7"}),
            (403, {"Cf-Connecting-Ip": "198.51.100.1"}),
        ],
    )
    @pytest.mark.gen_test
    async def test_the_headers_of_a_trusted_proxy_have_to_agree(
        self, harness: Harness, expected: int, headers: dict[str, str]
    ) -> None:
        assert await code(harness, **{"X-Forwarded-For": "203.0.113.7"}, **headers) == expected

    @pytest.mark.gen_test
    async def test_a_peer_that_is_no_trusted_proxy_is_not_believed(self, harness: Harness) -> None:
        await harness.server.reload(changed(harness.config, "server", trusted_proxies=()))
        assert await code(harness, **{"X-Forwarded-For": "203.0.113.7"}) == 403
        assert await code(harness) == 200


@pytest.mark.gen_test
async def test_without_redis_a_process_is_degraded_and_ready(
    settings: config.Config, own_redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs += ["Redis", "redis", "coordinat"]
    server = Server(changed(settings, "cluster", url=own_redis.url))
    await server.start()
    harness = Harness(server, settings, [])
    ready = json.loads((await harness.api("GET", "/readyz")).body)
    assert ready == {"ok": True, "problems": {}, "degraded": []}
    own_redis.stop()
    answer = await readiness_when(harness, degraded=True)
    assert answer["degraded"][0].startswith("redis: ")
    assert (answer["ok"], answer["problems"]) == (True, {})
    assert (await harness.api("GET", "/readyz")).code == 200
    text = (await harness.api("GET", "/metrics")).body.decode()
    assert 'tornado_chat_degraded{part="redis"} 1.0' in text
    assert 'tornado_chat_ready{part="database"} 1.0' in text
    status = json.loads((await harness.api("GET", "/api/v1/status")).body)
    assert "redis" in status["problems"]
    assert "redis" in status["degraded"]
    own_redis.start()
    await readiness_when(harness, degraded=False)
    await server.stop()
