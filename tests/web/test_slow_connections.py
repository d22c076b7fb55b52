"""Connections that send slowly, send nothing, or are too many; without a proxy and behind one."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Harness, changed, token
from tests.helpers.raw_http import RawConnection
from tornado_chat import config
from tornado_chat.client import RawClient

ATTACKER, NEIGHBOUR = "127.0.0.2", "127.0.0.3"
CAP = 10  # connections without an identity from one address
SLOW = 60
UPGRADE = (
    *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
CLOSE_1013 = (1013).to_bytes(2, "big")


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    """No network is the operator's own: every connection is a stranger's."""
    settings = changed(settings, "server", trusted_proxies=())
    settings = changed(settings, "web", ops_networks=())
    return changed(
        settings,
        "limits",
        header_timeout=60,
        body_timeout=60,
        idle_timeout=60,
        anonymous_connections=6 * CAP,
        anonymous_connections_per_address=CAP,
    )


@pytest.fixture(autouse=True)
def _refusals_are_expected(expected_logs: list[str]) -> None:
    expected_logs.append("connections are refused, as too many have not signed in")


@pytest.fixture(autouse=True)
def connections(harness: Harness) -> Iterator[list[RawConnection]]:
    connections: list[RawConnection] = []
    yield connections
    for each in connections:
        each.close()


async def open_many(
    harness: Harness, connections: list[RawConnection], count: int, source: str = ATTACKER
) -> list[RawConnection]:
    opened = [await RawConnection.open(harness.http, source) for _ in range(count)]
    connections += opened
    return opened


def held(harness: Harness) -> int:
    return len(harness.server._http.open_connections)


def anonymous(harness: Harness) -> int:
    return len(harness.server._connection_limits.anonymous)


async def wait_held(harness: Harness, count: int) -> None:
    while held(harness) != count:  # noqa: ASYNC110 - a count, not an event
        await asyncio.sleep(0.01)


class TestTimeouts:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "limits", anonymous_connections_per_address=1000, anonymous_connections=1000)

    @pytest.mark.parametrize(
        ("phase", "sent"),
        [
            ("header", ""),
            ("header", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Never: "),
            ("body", "POST /api/v1/guest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"),
            ("body", "POST /api/v1/guest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
            ("idle", "GET /room HTTP/1.1\r\nHost: x\r\n\r\n"),
        ],
    )
    @pytest.mark.gen_test
    async def test_slow_connections_are_closed(
        self, harness: Harness, connections: list[RawConnection], phase: str, sent: str
    ) -> None:
        slow = await open_many(harness, connections, SLOW)
        for each in slow:
            await each.send(sent)
        if phase == "idle":
            for each in slow:
                await each.receive_head()
        await harness.server.reload(changed(harness.config, "limits", **{f"{phase}_timeout": 0.1}))
        await asyncio.gather(*(each.wait_closed() for each in slow))
        await wait_held(harness, 0)
        assert anonymous(harness) == 0
        assert harness.server.metrics.connections_aborted.counts[phase,] == SLOW

    @pytest.mark.gen_test
    async def test_a_head_that_comes_byte_by_byte_is_not_waited_for(
        self, harness: Harness, connections: list[RawConnection]
    ) -> None:
        await harness.server.reload(changed(harness.config, "limits", header_timeout=0.3))
        (slow,) = await open_many(harness, connections, 1)
        while not slow.is_closed:
            try:
                await slow.send("G")
            except ConnectionError:
                break
            await asyncio.sleep(0.02)
        await wait_held(harness, 0)
        assert harness.server.metrics.connections_aborted.counts["header",] == 1

    @pytest.mark.gen_test
    async def test_a_socket_is_no_http_connection_any_more(self, harness: Harness) -> None:
        number = await harness.session()
        chat = await harness.chat(token("user", 1), number, features="ack")
        await wait_held(harness, 0)
        harness.server._http.open_connections.check(asyncio.get_running_loop().time() + 1e6)
        await chat.send_json({"msg": "still here", "id": "1"})
        while "ack" not in await chat.recv_json():
            pass


class TestDirect:
    @pytest.mark.gen_test
    async def test_silent_connections_beyond_the_limit_get_503(
        self, harness: Harness, connections: list[RawConnection]
    ) -> None:
        silent = await open_many(harness, connections, 60)
        refused = [await each.receive_head() for each in silent[2 * CAP :]]
        assert all(head.startswith("HTTP/1.1 503") and "\r\nRetry-After: 5\r\n" in head for head in refused)
        await wait_held(harness, 2 * CAP)
        assert not any(each.is_closed for each in silent[: 2 * CAP])
        assert harness.server.metrics.connections_refused == 40

    @pytest.mark.gen_test
    async def test_beyond_the_limit_only_requests_with_a_token_are_served(
        self, harness: Harness, connections: list[RawConnection]
    ) -> None:
        number = await harness.session()
        await open_many(harness, connections, CAP)
        await wait_held(harness, CAP)
        stranger, guest = await open_many(harness, connections, 2)
        await stranger.request("/room")
        answer = await stranger.receive_until(b"}")
        assert answer.startswith(b"HTTP/1.1 503")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too_many_anonymous"
        assert stranger.is_closed
        await guest.request("/api/v1/guest", "Content-Length: 0", method="POST")
        assert "HTTP/1.1 503" in await guest.receive_head()
        path, who = f"/api/v1/sessions/{number}", f"Authorization: Bearer {token('user', 1)}"
        for _ in range(3):  # each on a connection of its own, as there is no room for one that waits
            (person,) = await open_many(harness, connections, 1)
            await person.request(path, who)
            assert "HTTP/1.1 200" in await person.receive_head()
            await person.wait_closed()
        (forged,) = await open_many(harness, connections, 1)
        await forged.request(path, "Authorization: Bearer forged")
        assert "HTTP/1.1 401" in await forged.receive_head()
        await forged.wait_closed()  # it may not ask again

    @pytest.mark.gen_test
    async def test_sockets_without_a_token_beyond_the_limit_are_closed_with_1013(
        self, harness: Harness, connections: list[RawConnection]
    ) -> None:
        number = await harness.session()
        waiting = await open_many(harness, connections, CAP)
        for each in waiting:
            await each.request("/v1/ws/user/connect", *UPGRADE)
            assert "HTTP/1.1 101" in await each.receive_head()
        await wait_held(harness, 0)
        assert anonymous(harness) == CAP
        (late,) = await open_many(harness, connections, 1)
        await late.request("/v1/ws/user/connect", *UPGRADE)
        assert CLOSE_1013 in await late.receive_until(CLOSE_1013)
        (listener,) = await open_many(harness, connections, 1)
        await listener.request(f"/chat?sessionId={number}&type=0", *UPGRADE)
        assert CLOSE_1013 in await listener.receive_until(CLOSE_1013)
        (person,) = await open_many(harness, connections, 1)
        await person.request(f"/chat?sessionId={number}&type=0&token={token('user', 1)}", *UPGRADE)
        assert "HTTP/1.1 101" in await person.receive_head()
        while not len(harness.server._connections):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        assert anonymous(harness) <= CAP + 2

    @pytest.mark.gen_test
    async def test_idle_connections_make_room_for_new_ones(
        self, harness: Harness, connections: list[RawConnection]
    ) -> None:
        answered = await open_many(harness, connections, CAP)
        for each in answered:
            await each.request("/room")
            assert "HTTP/1.1 200" in await each.receive_head()
        for _ in range(2):
            (new,) = await open_many(harness, connections, 1)
            await new.request("/room")
            assert "HTTP/1.1 200" in await new.receive_head()
        await answered[0].wait_closed()
        await answered[1].wait_closed()
        await wait_held(harness, CAP)
        assert anonymous(harness) == CAP
        assert harness.server.metrics.connections_refused == 0

    @pytest.mark.gen_test
    async def test_one_token_does_not_suffice_to_hold_many_connections(
        self, harness: Harness, connections: list[RawConnection]
    ) -> None:
        path = f"/api/v1/sessions/{await harness.session()}"
        for _ in range(SLOW):
            (each,) = await open_many(harness, connections, 1)
            await each.request(path, f"Authorization: Bearer {token('user', 1)}")
            assert "HTTP/1.1 200" in await each.receive_head()
        await wait_held(harness, CAP)
        while anonymous(harness) != CAP:  # noqa: ASYNC110 - the last one becomes idle after its answer
            await asyncio.sleep(0.01)

    @pytest.mark.gen_test
    async def test_refusals_are_logged_once_a_minute(
        self, harness: Harness, connections: list[RawConnection], caplog: pytest.LogCaptureFixture
    ) -> None:
        await open_many(harness, connections, SLOW)
        while harness.server.metrics.connections_refused < SLOW - 2 * CAP:  # noqa: ASYNC110 - a count
            await asyncio.sleep(0.01)
        assert caplog.text.count("connections are refused") == 1

    @pytest.mark.gen_test
    async def test_neither_neighbours_nor_people_who_are_signed_in_notice(
        self, harness: Harness, connections: list[RawConnection]
    ) -> None:
        number = await harness.session()
        chat = await RawClient.connect(
            f"{harness.ws}/chat?token={token('user', 1)}&sessionId={number}&type=0&features=ack"
        )
        harness.clients.append(chat)
        await open_many(harness, connections, 60)
        await chat.send_json({"msg": "hello", "id": "1"})
        while "ack" not in await chat.recv_json():
            pass
        (neighbour,) = await open_many(harness, connections, 1, NEIGHBOUR)
        await neighbour.request("/room")
        assert "HTTP/1.1 200" in await neighbour.receive_head()

    @pytest.mark.gen_test
    async def test_many_addresses_share_a_limit(
        self, harness: Harness, connections: list[RawConnection]
    ) -> None:
        for n in range(6):
            await open_many(harness, connections, CAP, f"127.0.1.{n}")
        await wait_held(harness, 6 * CAP)
        (neighbour,) = await open_many(harness, connections, 1, NEIGHBOUR)
        await neighbour.request("/room")
        assert "HTTP/1.1 503" in await neighbour.receive_head()


class TestBehindAProxy:
    @pytest.fixture
    def settings(self, settings: config.Config, tmp_path: Path) -> config.Config:
        unix_socket = str(tmp_path / "chat.sock")
        return changed(settings, "server", trusted_proxies=("127.0.0.1",), unix_socket=unix_socket)

    @pytest.mark.gen_test
    async def test_the_proxys_connections_are_not_limited(
        self, harness: Harness, connections: list[RawConnection]
    ) -> None:
        await open_many(harness, connections, 5 * CAP, "127.0.0.1")
        await wait_held(harness, 5 * CAP)
        assert anonymous(harness) == 0
        (proxy,) = await open_many(harness, connections, 1, "127.0.0.1")
        await proxy.request("/room", "X-Forwarded-For: 203.0.113.7")
        assert "HTTP/1.1 200" in await proxy.receive_head()

    @pytest.mark.gen_test
    async def test_a_proxy_on_the_unix_socket_that_states_no_client_is_not_limited(
        self, harness: Harness, connections: list[RawConnection]
    ) -> None:
        await harness.server.reload(changed(harness.config, "server", trusted_proxies=()))
        path = harness.config.server.unix_socket
        writers = []
        for _ in range(2 * CAP + 1):
            reader, writer = await asyncio.open_unix_connection(path)
            writers.append(writer)
            head = "\r\n".join(["GET /v1/ws/user/connect HTTP/1.1", "Host: x", *UPGRADE, "", ""])
            writer.write(head.encode())
            assert b" 101 " in await reader.readline()
        assert anonymous(harness) == 0
        for writer in writers:
            writer.close()

    @pytest.mark.gen_test
    async def test_its_clients_are(self, harness: Harness, connections: list[RawConnection]) -> None:
        attacker, neighbour = "X-Forwarded-For: 2001:db8::1", "X-Forwarded-For: 2001:db8:1::1"
        waiting = await open_many(harness, connections, CAP, "127.0.0.1")
        for n, each in enumerate(waiting):
            await each.request("/v1/ws/user/connect", f"X-Forwarded-For: 2001:db8::{n}", *UPGRADE)
            assert "HTTP/1.1 101" in await each.receive_head()
        late, other, proxy = await open_many(harness, connections, 3, "127.0.0.1")
        await late.request("/v1/ws/user/connect", attacker, *UPGRADE)
        assert CLOSE_1013 in await late.receive_until(CLOSE_1013)
        await other.request("/v1/ws/user/connect", neighbour, *UPGRADE)
        assert "HTTP/1.1 101" in await other.receive_head()
        await proxy.request("/room", neighbour)  # one connection, requests of many clients
        assert "HTTP/1.1 200" in await proxy.receive_head()
        await proxy.request("/room", attacker)
        assert "HTTP/1.1 503" in await proxy.receive_head()
        for each in waiting:
            each.close()
        while anonymous(harness) > 2:  # noqa: ASYNC110 - a count, not an event
            await asyncio.sleep(0.01)
