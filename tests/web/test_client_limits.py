"""The rate limits of people and client networks, on a real server."""

import asyncio
import contextlib
import json
from typing import Any

import pytest

from tests.conftest import Harness, changed, token
from tornado_chat import config
from tornado_chat.client import ConnectionClosed, RawClient
from tornado_chat.core.errors import Unavailable

HOST = token("service", "host")
VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")
SUPERVISOR = token("supervisor", 3, "S")
WIDGET = "https://shop.example"


@pytest.fixture
def limits() -> dict[str, Any]:
    """Options of ``[limits]``, which a test may parametrize."""
    return {}


@pytest.fixture
def settings(settings: config.Config, limits: dict[str, Any]) -> config.Config:
    settings = changed(settings, "auth", guests=True)
    settings = changed(settings, "web", origins=(WIDGET,))
    return changed(settings, "limits", **limits)


async def make_guest(harness: Harness, address: str) -> tuple[int, str, str]:
    """Return the status, the id and the token of a new guest that a proxy forwards from ``address``."""
    answer = await harness.api("POST", "/api/v1/guest", **{"X-Forwarded-For": address})
    guest = json.loads(answer.body)
    return answer.code, guest.get("id", ""), guest.get("token", "")


@pytest.mark.gen_test
async def test_guests_count_by_ipv6_network_and_the_refusal_says_when_to_come_back(harness: Harness) -> None:
    made = [(await make_guest(harness, f"2001:db8:1:2::{n:x}"))[0] for n in range(30)]
    assert made.count(201) == config.Limits().guests_per_minute
    headers = {"X-Forwarded-For": "2001:db8:1:2:ffff::1", "Origin": WIDGET}
    refused = await harness.api("POST", "/api/v1/guest", **headers)
    assert refused.code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 6  # 10 a minute
    assert refused.headers["Access-Control-Expose-Headers"] == "Retry-After"
    assert (await make_guest(harness, "2001:db8:1:3::1"))[0] == 201


@pytest.mark.gen_test
async def test_a_guest_that_opens_300_sessions_does_not_fill_a_counsellors_inbox(harness: Harness) -> None:
    _, id, guest = await make_guest(harness, "192.0.2.1")
    body = {"user_id": id, "consultant_id": 2}
    answers = [await harness.api("POST", "/api/v1/sessions", guest, body) for _ in range(300)]
    limit = config.Limits().notifications_per_hour
    assert [answer.code for answer in answers] == [201] * limit + [429] * (300 - limit)
    assert all(1 <= int(answer.headers["Retry-After"]) <= 120 for answer in answers[limit:])
    inbox = json.loads((await harness.api("GET", "/api/v1/notifications?limit=200", COUNSELLOR)).body)
    assert len(inbox["items"]) == limit
    assert (await harness.api("POST", "/api/v1/sessions", VISITOR, {**body, "user_id": 1})).code == 201


@pytest.mark.parametrize("limits", [{"supervisions_per_hour": 2}])
@pytest.mark.gen_test
async def test_supervision_is_limited_for_the_counsellor_and_not_for_the_host(harness: Harness) -> None:
    path = f"/api/v1/sessions/{await harness.session()}/supervision"
    codes = [(await harness.api("POST", path, COUNSELLOR, {"supervisor_id": n})).code for n in range(3)]
    assert codes == [201, 201, 429]
    for n in range(5):
        assert (await harness.api("POST", path, HOST, {"supervisor_id": n})).code == 201


@pytest.mark.parametrize("limits", [{"requests_per_minute": 3}])
@pytest.mark.gen_test
async def test_writing_requests_are_limited_and_four_times_as_many_that_read(harness: Harness) -> None:
    session = await harness.session()
    answers = [
        await harness.api("POST", f"/api/v1/sessions/{session}/rating", VISITOR, {"rate": 5})
        for _ in range(4)
    ]
    assert [answer.code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 20
    path = f"/api/v1/sessions/{session}"
    codes = [(await harness.api("GET", path, VISITOR)).code for _ in range(13)]
    assert codes == [200] * 12 + [429]
    assert {(await harness.api("GET", path, HOST)).code for _ in range(13)} == {200}


@pytest.mark.parametrize("limits", [{"messages_per_second": 0.001, "burst": 24}])
@pytest.mark.gen_test
async def test_the_sockets_of_a_person_send_twice_as_much_as_one_together(harness: Harness) -> None:
    session = await harness.session()
    first, second, third = [await harness.chat(VISITOR, session, features="ack") for _ in range(3)]
    other = await harness.chat(COUNSELLOR, session, features="ack")

    async def send(client: RawClient) -> None:
        for n in range(24):
            await client.send_json({"msg": f"{n}", "id": f"{n}"})

    for client in (first, second, other):
        await send(client)
        for n in range(24):
            while (await client.recv_json()).get("ack") != f"{n}":
                pass
    with contextlib.suppress(ConnectionClosed):  # it may be closed before it has sent all
        await send(third)
    assert (await third.wait_closed()).code == 4429


@pytest.mark.parametrize("limits", [{"sockets_per_minute": 5, "network_factor": 1}])
@pytest.mark.gen_test
async def test_sockets_that_never_sign_in_are_limited_by_network_and_then_not_logged(
    harness: Harness, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append("too many sockets do not sign in")
    caplog.set_level("INFO")

    async def closed(path: str) -> int | None:
        client = await harness.connect(path)
        with contextlib.suppress(TimeoutError):
            return (await client.wait_closed(0.1)).code
        await client.close()
        return None

    for n in range(8):  # those that sign in count for their person
        await (await harness.user(n, connect=False)).close()
    codes = [await closed("/v1/ws/user/connect") for _ in range(3)]
    codes += [await closed("/chat?token=x&sessionId=1") for _ in range(3)]
    assert codes == [None] * 3 + [4401] * 3
    while "too many sockets" not in caplog.text:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    caplog.clear()
    for _ in range(20):
        assert await closed("/v1/ws/user/connect") == 4429
        assert await closed("/chat?token=x&sessionId=1") == 4401
    assert not [record for record in caplog.records if record.name.startswith("tornado_chat")]
    client = await harness.chat(VISITOR, await harness.session())
    assert (await client.recv_json())["isSystem"]


@pytest.mark.parametrize("limits", [{"sockets_per_minute": 3}])
@pytest.mark.gen_test
async def test_sockets_opened_one_after_the_other_are_limited(harness: Harness) -> None:
    for _ in range(3):
        client = await harness.connect(f"/notify?token={VISITOR}&features=alive")
        await client.send_json({"alive": True})
        await client.recv_json()
        await client.close()
    assert (await (await harness.connect(f"/notify?token={VISITOR}")).wait_closed()).code == 4429
    other = await harness.connect(f"/notify?token={COUNSELLOR}&features=alive")
    await other.send_json({"alive": True})
    await other.recv_json()


@pytest.mark.parametrize("limits", [{"sessions_per_hour": 2}])
@pytest.mark.gen_test
async def test_support_conversations_are_limited_and_returning_is_not(harness: Harness) -> None:
    for _ in range(2):
        user = await harness.user(7)
        await user.until("connect_queue")
        await user.send_frame("disconnect")
        await user.close()
    refused = await harness.user(7)
    assert (await refused.client.wait_closed()).code == 4429
    staying = await harness.user(8)
    await staying.until("connect_queue")
    for _ in range(4):
        await staying.close()
        staying = await harness.user(8)
        await staying.until("connect_queue")


@pytest.mark.parametrize("limits", [{"bytes_per_second": 1_000_000, "bytes_burst": 65536}])
@pytest.mark.gen_test
async def test_a_socket_that_sends_too_many_bytes_is_read_more_slowly_and_loses_nothing(
    harness: Harness,
) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    loop = asyncio.get_running_loop()
    started = loop.time()
    for n in range(10):
        await visitor.send_json({"msg": str(n) * 50_000, "id": str(n)})
    acknowledged = []
    while len(acknowledged) < 10:
        frame = await visitor.recv_json()
        if "ack" in frame:
            acknowledged.append(frame["ack"])
    assert acknowledged == [str(n) for n in range(10)]
    # A lower bound: the burst, then 1 MB per second; the last frame is stored before its pause.
    assert loop.time() - started >= (9 * 50_000 - 65536) / 1_000_000


@pytest.mark.parametrize("limits", [{"bytes_per_second": 1024, "bytes_burst": 65536}])
@pytest.mark.gen_test
async def test_far_too_many_bytes_on_several_sockets_close_one(harness: Harness) -> None:
    session = await harness.session()
    for n in range(2):
        visitor = await harness.chat(VISITOR, session, features="ack")
        await visitor.send_json({"msg": "x" * 60_000, "id": str(n)})
        while "ack" not in await visitor.recv_json():
            pass
    third = await harness.chat(VISITOR, session)
    await third.send_json({"msg": "x" * 60_000})
    assert (await third.wait_closed()).code == 4429
    # A person has one limit for sockets and requests.
    answer = await harness.api("POST", f"/api/v1/sessions/{session}/rating", VISITOR, {"rate": 5})
    assert answer.code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 9


@pytest.mark.gen_test
async def test_a_503_says_when_to_try_again(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable(*arguments: object) -> None:
        raise Unavailable("database_away")

    monkeypatch.setattr(harness.server._services.sessions, "read", unavailable)
    answer = await harness.api("GET", "/api/v1/sessions/1", HOST)
    assert (answer.code, answer.headers["Retry-After"]) == (503, "5")
