"""Open sockets whose token ends, is replaced by a newer one, or is revoked."""

import asyncio
import json
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.conftest import SECRET, Harness, Peer, changed, on_both, token
from tests.services.auth.test_jwks import issuing, jwk
from tornado_chat import config
from tornado_chat.cli import main
from tornado_chat.client.raw import RawClient

pytestmark = on_both

HOST = token("service", "host")
VISITOR, COUNSELLOR = token("user", 1, "V"), token("consultant", 2, "C")


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return changed(settings, "auth", expiry_grace=0, leeway=0)


def pass_time(harness: Harness, seconds: float) -> None:
    """Let the clock of the sweep go forward, and sweep."""
    expiry = harness.server._socket_expiry
    clock = expiry._clock
    expiry._clock = lambda: clock() + seconds
    expiry.sweep()


def with_claims(text: str, **claims: object) -> str:
    """Return the token with other values of its claims."""
    return jwt.encode({**jwt.decode(text, options={"verify_signature": False}), **claims}, SECRET, "HS256")


async def is_open(client: RawClient) -> bool:
    """Return True if the server has not closed the socket: it answers a ping, or a frame."""
    await asyncio.sleep(0.05)
    return client.close_code is None


async def notify(harness: Harness, who: str = VISITOR, features: str = "token,alive") -> RawClient:
    client = await harness.connect(f"/notify?token={who}&features={features}")
    if "alive" in features:
        await client.send_json({"alive": True})
        assert await client.recv_json() == {"alive": True}
    return client


# --- the end of a token ---


@pytest.mark.gen_test
async def test_sockets_without_a_conversation_end_with_their_token(harness: Harness) -> None:
    session = await harness.session()
    supervisor = token("admin", 9)
    plain = await notify(harness, features="")
    observer = await harness.connect(f"/observe?token={supervisor}&sessionId={session}&features=alive")
    await observer.send_json({"alive": True})
    await observer.recv_json()
    idle_user, idle_waiter = await harness.user(5, connect=False), await harness.waiter(7)
    for peer in (idle_user, idle_waiter):
        await peer.send_frame("unknown")  # the answer shows that the socket is signed in
        await peer.until("error")
    pass_time(harness, 3300)
    assert await is_open(plain)
    pass_time(harness, 400)
    for client in (plain, observer, idle_user.client, idle_waiter.client):
        closed = await client.wait_closed()
        assert (closed.code, closed.reason) == (4401, "the token has expired, sign in again")


@pytest.mark.gen_test
async def test_the_sweep_runs_by_itself(harness: Harness) -> None:
    client = await harness.connect(f"/notify?token={token('user', 1, lifetime=1.5)}")
    assert (await client.wait_closed()).code == 4401


@pytest.mark.gen_test
async def test_participants_stay_until_the_end_of_their_conversation(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    counsellor = await harness.chat(COUNSELLOR, session)
    queued = await harness.user(5)
    await queued.until("connect_queue")
    while (await visitor.recv_json())["msg"] != "会话已开始":
        pass
    grants = harness.server._connections.grants
    while not all(grant.is_engaged for grant in grants.values()):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    pass_time(harness, 3700)
    waiter = await harness.waiter(7, lifetime=9000)
    await queued.until("connect_success")
    await waiter.until("new_connection")
    pass_time(harness, 10)
    await visitor.send_json({"msg": "still here"})
    while (await counsellor.recv_json())["msg"] != "still here":
        pass
    await queued.send_frame("message_text", {"message": "still here, too"})
    assert (await waiter.until("message_text"))["payload"] == {"message": "still here, too"}
    await waiter.send_frame("disconnect", to=(await _address(harness, waiter)))
    await queued.until("disconnected")
    pass_time(harness, 1)
    assert (await queued.client.wait_closed()).code == 4401
    assert await is_open(waiter.client)
    assert await is_open(visitor)
    pass_time(harness, 12 * 3600)
    for client in (visitor, counsellor, waiter.client):
        assert (await client.wait_closed()).code == 4401


async def _address(harness: Harness, waiter: Peer) -> str:
    """Return the address of the only user of a waiter."""
    (connection,) = harness.server._local_conversations._local_waiters.values()
    (row,) = connection.rows.values()
    return row.user_uuid


@pytest.mark.gen_test
async def test_a_key_that_its_issuer_withdraws_closes_its_sockets(
    harness: Harness, expected_logs: list[str]
) -> None:
    expected_logs.append("cannot be fetched")
    kept, withdrawn = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    claims = jwt.decode(VISITOR, options={"verify_signature": False})
    async with issuing(jwk(kept, "kept"), jwk(withdrawn, "withdrawn")) as issuer:
        harness.config = changed(harness.config, "auth", algorithms=("EdDSA",), jwks_url=issuer.url)
        await harness.server.reload(harness.config)
        key_set = harness.server._access_control.authenticator.key_set
        assert key_set is not None
        key_set._min_interval = 0
        one = await notify(harness, jwt.encode(claims, kept, "EdDSA", {"kid": "kept"}))
        other = await notify(harness, jwt.encode(claims, withdrawn, "EdDSA", {"kid": "withdrawn"}))
        issuer.publish(jwk(kept, "kept"))
        await harness.server.reload(harness.config)
        closed = await other.wait_closed()
        assert (closed.code, "key" in closed.reason) == (4401, True)
        assert await is_open(one)
        issuer.status = 500  # an issuer that fails withdraws no key
        await harness.server.reload(harness.config)
        fetches = issuer.fetches
        while issuer.fetches == fetches:  # noqa: ASYNC110 - another server
            await asyncio.sleep(0.01)
        assert await is_open(one)


# --- a newer token ---


@pytest.mark.gen_test
async def test_listeners_take_a_newer_token(harness: Harness) -> None:
    session = await harness.session()
    client = await notify(harness)
    admin = token("admin", 9)
    observer = await harness.connect(f"/observe?token={admin}&sessionId={session}&features=token")
    for each, role, id in ((client, "user", 1), (observer, "admin", 9)):
        await each.send_json({"token": token(role, id, lifetime=9000)})
        assert await each.recv_json() == {"token": True}
    pass_time(harness, 3700)
    assert await is_open(client)
    assert await is_open(observer)
    pass_time(harness, 9000)
    assert (await client.wait_closed()).code == 4401


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("newer", "told"),
    [
        (token("user", 2), "同一人"),
        (token("consultant", 1), "同一人"),
        ("not a token", "新令牌未被接受"),
        (token("user", 1, lifetime=-60), "令牌已过期"),
        ("", "缺少令牌"),
    ],
)
async def test_a_newer_token_that_is_refused_leaves_the_socket(
    harness: Harness, newer: str, told: str
) -> None:
    session = await harness.session()
    chat = await harness.chat(VISITOR, session, features="token")
    await chat.recv_json()
    for client in (await notify(harness), chat):
        await client.send_json({"token": newer})
        answer = await client.recv_json()
        assert (answer["isSystem"], told in answer["msg"]) == (True, True)
        assert await is_open(client)


@pytest.mark.gen_test
async def test_newer_tokens_that_follow_too_fast_are_refused(harness: Harness) -> None:
    client = await notify(harness)
    for _ in range(2):
        await client.send_json({"token": VISITOR})
    assert await client.recv_json() == {"token": True}
    assert "过于频繁" in (await client.recv_json())["msg"]
    assert await is_open(client)


@pytest.mark.gen_test
async def test_a_client_of_the_seed_cannot_send_a_token(harness: Harness) -> None:
    client = await notify(harness, features="alive")
    await client.send_json({"token": VISITOR})  # ignored, as every unknown frame of a listener
    await client.send_json({"alive": True})
    assert await client.recv_json() == {"alive": True}
    chat = await harness.chat(VISITOR, await harness.session())
    await chat.recv_json()
    await chat.send_json({"token": VISITOR})
    assert "格式不正确" in (await chat.recv_json())["msg"]


@pytest.mark.gen_test
async def test_support_takes_a_newer_token_by_auth(harness: Harness) -> None:
    user = await harness.user(5, connect=False, features=["ack"])
    await user.get("auth_success")
    frame = await user.send_frame("auth", {"token": token("user", 5, lifetime=9000)})
    answer = await user.get("auth_success")
    assert (answer["reply_id"], answer["payload"]["id"]) == (frame, "5")
    pass_time(harness, 3700)
    assert await is_open(user.client)
    other = await harness.user(6, connect=False, features=["ack"])
    await other.get("auth_success")
    frame = await other.send_frame("auth", {"token": token("user", 5)})
    refused = await other.get("error")
    assert (refused["reply_id"], refused["payload"]["message"]) == (frame, "新令牌必须属于同一人和同一角色")
    assert await is_open(other.client)


# --- revocations ---


async def revoke(harness: Harness, **body: object) -> dict[str, object]:
    answer = await harness.api("POST", "/api/v1/revocations", HOST, body)
    assert answer.code == 201, answer.body
    return dict(json.loads(answer.body))


@pytest.mark.gen_test
async def test_a_revocation_shuts_a_person_out_and_ends(harness: Harness) -> None:
    session = await harness.session()
    counsellor = await harness.chat(COUNSELLOR, session)
    await counsellor.recv_json()
    other = await notify(harness)
    revoked = await revoke(harness, role="consultant", id=2)
    assert (revoked["role"], revoked["id"], revoked["made_by"]) == ("consultant", 2, "service:host")
    closed = await counsellor.wait_closed()
    assert (closed.code, closed.reason) == (4401, "the token was revoked, sign in again")
    refused = await harness.chat(COUNSELLOR, session)
    assert (await refused.wait_closed()).code == 4401
    answer = await harness.api("GET", "/api/v1/notifications", COUNSELLOR)
    assert (answer.code, json.loads(answer.body)["code"]) == (401, "token_revoked")
    assert await is_open(other)
    listed = json.loads((await harness.api("GET", "/api/v1/revocations?limit=1", HOST)).body)
    assert listed == {"items": [revoked], "next": None}
    answer = await harness.api("DELETE", "/api/v1/revocations?role=consultant&id=2", token("admin", 9))
    assert (answer.code, json.loads(answer.body)) == (200, {**revoked, "id": "2"})  # an admin may use a page
    assert (await harness.api("GET", "/api/v1/notifications", COUNSELLOR)).code == 200
    answer = await harness.api("DELETE", "/api/v1/revocations?role=consultant&id=2", HOST)
    assert (answer.code, json.loads(answer.body)["code"]) == (404, "no_such_revocation")


@pytest.mark.gen_test
async def test_tokens_that_are_issued_later_are_accepted_on_request_only(harness: Harness) -> None:
    revoked = {"role": "user", "id": "1", "for": "12h"}
    later = with_claims(VISITOR, iat=4_000_000_000, exp=4_000_000_100)
    without_time = with_claims(VISITOR, iat=None)
    await revoke(harness, **revoked)
    assert (await harness.api("GET", "/api/v1/notifications", later)).code == 200
    assert (await harness.api("GET", "/api/v1/notifications", without_time)).code == 401
    await revoke(harness, **revoked, all_tokens=True)
    assert (await harness.api("GET", "/api/v1/notifications", later)).code == 401


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "body",
    [
        {"role": "user"},
        {"role": "cook", "id": 1},
        {"role": "user", "id": 1, "for": 0},
        {"role": "user", "id": 1, "for": -1},
        {"role": "user", "id": 1, "for": "soon"},
        {"role": "user", "id": 1, "for": 10**12},
    ],
)
async def test_a_malformed_revocation_is_refused(harness: Harness, body: dict[str, object]) -> None:
    assert (await harness.api("POST", "/api/v1/revocations", HOST, body)).code == 400


@pytest.mark.gen_test
async def test_only_hosts_and_admins_revoke(harness: Harness) -> None:
    for role in ("user", "consultant", "supervisor", "waiter"):
        for method, query in (("POST", ""), ("GET", ""), ("DELETE", "?role=user&id=1")):
            answer = await harness.api(method, f"/api/v1/revocations{query}", token(role, 1), {})
            assert answer.code == 403


@pytest.mark.gen_test
async def test_the_command_shuts_a_person_out_of_a_running_server(harness: Harness, tmp_path: Path) -> None:
    client = await notify(harness)
    given = [
        f"--set=server.state_dir={tmp_path / 'state'}",
        f"--set=storage.url={harness.config.storage.url}",
    ]

    async def run(*arguments: str, code: int = 0) -> str:
        runner = CliRunner()
        result = await asyncio.to_thread(runner.invoke, main, [*arguments, *given])
        assert result.exit_code == code, result.output
        return result.output

    assert await run("revocations") == "there is no revocation\n"
    output = await run("revoke", "--id", "1", "--role", "user", "--for", "2h")
    assert output.startswith("the tokens issued before now of user 1 are refused until ")
    await harness.server._revocations.read()
    assert (await client.wait_closed()).code == 4401
    assert "user  1   before " in await run("revocations")
    assert await run("unrevoke", "--id", "1", "--role", "user") == "the tokens of user 1 are accepted again\n"
    assert "there is no revocation of user 1" in await run("unrevoke", "--id", "1", "--role", "user", code=1)
    await harness.server._revocations.read()
    await notify(harness)
