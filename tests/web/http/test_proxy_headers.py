"""The client's address behind proxies and without: clients cannot forge it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Harness, changed
from tornado_chat import config
from tornado_chat.web.http.proxy_headers import UNKNOWN_ADDRESS, Networks, client_address

LOCAL = Networks(["127.0.0.0/8", "::1/128", "10.0.0.0/8"])


def seen(*forwarded: str, peer: str = "127.0.0.1") -> str:
    from ipaddress import ip_address

    return str(client_address(ip_address(peer), forwarded, LOCAL))


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ([], "127.0.0.1"),
        (["203.0.113.7"], "203.0.113.7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["203.0.113.7, 10.0.0.1"], "203.0.113.7"),  # a proxy behind another proxy
        (["203.0.113.7", "10.0.0.1"], "203.0.113.7"),  # the same in two headers
        (["127.0.0.1, 203.0.113.7"], "203.0.113.7"),  # the client forges a local address
        (["198.51.100.1, 203.0.113.7, 10.0.0.1"], "203.0.113.7"),
        (["10.0.0.9, 10.0.0.1"], "10.0.0.9"),  # a client in a trusted network
        (["203.0.113.7:4711"], "203.0.113.7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["fe80::1%eth0"], "fe80::1"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["unknown"], str(UNKNOWN_ADDRESS)),
        (["127.0.0.1, nonsense"], str(UNKNOWN_ADDRESS)),
        ([""], str(UNKNOWN_ADDRESS)),
    ],
)
def test_the_last_untrusted_address_is_the_clients(forwarded: list[str], expected: str) -> None:
    assert seen(*forwarded) == expected


@given(st.text(), st.lists(st.sampled_from(["10.0.0.1", "127.0.0.1", "::1"])))
def test_a_client_cannot_forge_the_address_that_the_proxy_saw(said: str, behind: list[str]) -> None:
    assert seen(", ".join([said, "203.0.113.7", *behind])) == "203.0.113.7"


class TestGuests:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(changed(settings, "auth", guests=True), "limits", guests_per_minute=1)

    @pytest.mark.gen_test
    async def test_the_guest_limit_counts_each_client_behind_a_proxy(self, harness: Harness) -> None:
        async def ask(*addresses: str) -> int:
            headers = {"X-Forwarded-For": ", ".join(addresses)}
            return (await harness.api("POST", "/api/v1/guest", **headers)).code

        assert await ask("203.0.113.1") == 201
        assert await ask("203.0.113.2") == 201
        assert await ask("203.0.113.1") == 429
        assert await ask("198.51.100.9", "203.0.113.1") == 429  # a forged address before the real one
        assert (await harness.api("POST", "/api/v1/guest", **{"X-Real-Ip": "198.51.100.9"})).code == 201
        assert (await harness.api("POST", "/api/v1/guest", **{"X-Real-Ip": "198.51.100.8"})).code == 429


class TestNoTrustedProxy:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        settings = changed(settings, "server", trusted_proxies=())
        return changed(settings, "web", ops_networks=("10.0.0.0/8",))

    @pytest.mark.gen_test
    async def test_the_header_gives_no_access(self, harness: Harness) -> None:
        assert (await harness.api("GET", "/metrics", **{"X-Forwarded-For": "10.0.0.1"})).code == 403


@pytest.mark.gen_test
async def test_clients_behind_the_proxy_have_no_access_to_ops(harness: Harness) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await harness.api("GET", path)).code == 200
        for forwarded in ("203.0.113.7", "127.0.0.1, 203.0.113.7", "nonsense"):
            assert (await harness.api("GET", path, **{"X-Forwarded-For": forwarded})).code == 403


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *headers: str) -> int:
    """Return the status of ``/healthz``, on a connection that stays open."""
    lines = ["GET /healthz HTTP/1.1", "Host: x", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(line.split()[1] for line in head.splitlines() if line.startswith("Content-Length"))
    await reader.readexactly(int(length))
    return int(head.split()[1])


class TestUnixSocket:
    @pytest.fixture
    def settings(self, settings: config.Config, tmp_path: Path) -> config.Config:
        return changed(settings, "server", unix_socket=str(tmp_path / "sock"), trusted_proxies=())

    @pytest.mark.gen_test
    async def test_a_unix_peer_is_local_without_a_forwarded_address(self, harness: Harness) -> None:
        reader, writer = await asyncio.open_unix_connection(harness.config.server.unix_socket)
        # One connection, as a proxy uses it for several clients: no address is kept for the next request.
        assert await get(reader, writer) == 200
        assert await get(reader, writer, "X-Forwarded-For: 203.0.113.7") == 403
        assert await get(reader, writer) == 200
        writer.close()


@pytest.mark.gen_test
async def test_the_proxy_sets_the_scheme(harness: Harness) -> None:
    seen: list[Any] = []
    application = harness.server.application
    application.settings["log_function"] = lambda handler: seen.append(handler.request.protocol)
    for headers in ({}, {"X-Forwarded-Proto": "https"}, {"X-Forwarded-Proto": "gopher"}):
        assert (await harness.api("GET", "/room", **headers)).code == 200
    assert seen == ["http", "https", "http"]
