"""Accounts of the server, over real sockets: signing in, tokens, and the end of sessions and tokens."""

import asyncio
import json
import logging
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa
from tornado.httpclient import HTTPResponse

from tests.conftest import SECRET, Harness, changed, token
from tests.helpers.accounts import PASSWORD, SESSION, TOKEN, Browser, cheap_passwords, make_account
from tornado_chat import config
from tornado_chat.server import builders
from tornado_chat.server.server import Server
from tornado_chat.services.auth.passwords import Passwords
from tornado_chat.services.auth.tokens import ACCOUNT_KEY_ID, derive_account_key
from tornado_chat.storage import staff


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders, "Passwords", cheap_passwords)


def problem(answer: HTTPResponse) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.code, json.loads(answer.body)["code"]


async def signed_in(harness: Harness, name: str = "chen", role: str = "consultant", **more: Any) -> Browser:
    await make_account(harness, name, role, **more)
    browser = Browser(harness)
    assert (await browser.sign_in(name)).code == 204
    return browser


@pytest.mark.gen_test
async def test_tokens_of_accounts_are_accepted_everywhere(harness: Harness) -> None:
    await make_account(harness, "chen", display_name="陈老师", id="2")
    browser = Browser(harness)
    assert await browser.account() is None
    assert problem(await browser.ask("POST", TOKEN)) == (401, "signed_out")
    answer = await browser.sign_in(" Chen ")
    assert (answer.code, answer.body) == (204, b"")
    assert await browser.account() == {"id": "2", "role": "consultant", "name": "陈老师"}

    made = json.loads((await browser.ask("POST", TOKEN)).body)
    assert {**made, "token": ""} == {
        "token": "",
        "expires_in": 900,
        "id": "2",
        "role": "consultant",
        "name": "陈老师",
    }
    session = await harness.session(1, 2)
    assert (await harness.api("GET", f"/api/v1/sessions/{session}", made["token"])).code == 200
    counsellor = await harness.chat(made["token"], session)
    visitor = await harness.chat(token("user", 1, "V"), session)
    await counsellor.send_json({"msg": "hello"})
    while (await visitor.recv_json())["msg"] != "hello":
        pass


@pytest.mark.gen_test
async def test_the_attributes_of_the_cookie(harness: Harness) -> None:
    await make_account(harness, "chen")
    answer = await Browser(harness).sign_in("chen")
    session, device = answer.headers.get_list("Set-Cookie")
    assert re.fullmatch(r"tornado-chat-staff=[\w-]{43}; HttpOnly; Path=/; SameSite=Strict", session)
    assert re.fullmatch(r"tornado-chat-device=\S+; expires=[^;]+; HttpOnly; Path=/; SameSite=Strict", device)
    assert answer.headers["Cache-Control"] == "no-store"

    secure = Browser(harness, Origin=harness.http.replace("http:", "https:"))
    for cookie in (await secure.sign_in("chen")).headers.get_list("Set-Cookie"):
        assert cookie.startswith("__Host-tornado-chat-")
        assert "; Secure" in cookie
        assert "; Path=/;" in cookie
        assert "Domain" not in cookie
    await secure.token()
    # The cookie without the prefix could come from an attacker on the network, over plain HTTP.
    plain = Browser(harness, Origin=harness.http.replace("http:", "https:"))
    plain.cookies = {"tornado-chat-staff": secure.cookies["__Host-tornado-chat-staff"]}
    assert problem(await plain.ask("POST", TOKEN)) == (401, "signed_out")


@pytest.mark.gen_test
async def test_the_database_has_neither_the_secret_nor_the_password(harness: Harness) -> None:
    browser = await signed_in(harness)
    harness.server._database.connect(reuse_if_open=True)
    dump = "\n".join(harness.server._database.connection().iterdump())
    harness.server._database.close()
    assert "staff_session" in dump
    assert browser.cookies["tornado-chat-staff"] not in dump
    assert PASSWORD not in dump


@pytest.mark.gen_test
async def test_a_wrong_name_and_a_wrong_password_look_the_same(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await make_account(harness, "chen")
    answers = [
        await Browser(harness).sign_in("chen", "wrong but long"),
        await Browser(harness).sign_in("typed-my-password-here", "wrong but long"),
        await Browser(harness).sign_in("chen\u0000'; --", PASSWORD),
    ]
    assert {answer.code for answer in answers} == {401}
    assert {answer.body for answer in answers} == {answers[0].body}
    assert json.loads(answers[0].body)["code"] == "wrong_password"
    assert not any(answer.headers.get_list("Set-Cookie") for answer in answers)
    facts = [getattr(record, "fields", {}) for record in caplog.records if "refused" in record.getMessage()]
    assert [each.get("name") for each in facts] == ["chen", None, None]
    everything = " ".join(
        f"{record.getMessage()} {getattr(record, 'fields', '')}"
        for record in caplog.records
        if not record.name.startswith("peewee")  # its SQL is never logged by a server, see test_logs
    )
    assert "typed-my-password-here" not in everything
    assert "wrong but long" not in everything
    assert PASSWORD not in everything


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "body",
    [{}, [], {"name": "chen"}, {"name": 1, "password": "x"}, {"name": "n" * 65, "password": "x"},
     {"name": "chen", "password": "x" * 1025}],
)  # fmt: skip
async def test_malformed_credentials_are_refused(harness: Harness, body: Any) -> None:
    assert problem(await Browser(harness).ask("POST", SESSION, body or {"x": 1}))[0] == 400


@pytest.mark.gen_test
async def test_only_the_right_password_reveals_a_disabled_account(harness: Harness) -> None:
    await make_account(harness, "chen", disabled=True)
    assert problem(await Browser(harness).sign_in("chen")) == (403, "account_disabled")
    assert problem(await Browser(harness).sign_in("chen", "wrong but long")) == (401, "wrong_password")


@pytest.mark.gen_test
async def test_signing_out_ends_tokens_and_sockets(harness: Harness) -> None:
    browser = await signed_in(harness)
    theirs = dict(browser.cookies)
    text = await browser.token()
    notify = await harness.connect(f"/notify?token={text}")
    answer = await browser.ask("DELETE", SESSION)
    assert answer.code == 204
    assert (await notify.wait_closed()).code == 4401
    assert "tornado-chat-staff" not in browser.cookies
    browser.cookies = theirs  # copied cookies
    assert await browser.account() is None
    assert problem(await browser.ask("POST", TOKEN)) == (401, "signed_out")
    assert problem(await harness.api("GET", "/api/v1/notifications", text)) == (401, "signed_out")
    assert (await (await harness.connect(f"/notify?token={text}")).wait_closed()).code == 4401
    assert (await browser.ask("DELETE", SESSION)).code == 204


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["disabled", "password", "removed"])
async def test_changes_by_the_operator_end_sessions_and_sockets(harness: Harness, how: str) -> None:
    browser = await signed_in(harness)
    other = await signed_in(harness, "bob", "waiter")
    text = await browser.token()
    notify = await harness.connect(f"/notify?token={text}")
    stays = await harness.connect(f"/notify?token={await other.token()}")
    change = {
        "disabled": lambda tx: staff.set_disabled(tx.database, "chen", True),
        "password": lambda tx: staff.set_password(tx.database, "chen", "another hash"),
        "removed": lambda tx: staff.remove(tx.database, "chen", 1),
    }[how]
    assert await harness.server._store.write(change)
    assert problem(await browser.ask("POST", TOKEN)) == (401, "signed_out")
    assert problem(await harness.api("GET", "/api/v1/notifications", text)) == (401, "signed_out")
    await harness.server._accounts.close_ended_sessions()
    assert (await notify.wait_closed()).code == 4401
    assert stays.close_code is None
    await other.token()
    expected = (403, "account_disabled") if how == "disabled" else (401, "wrong_password")
    assert problem(await Browser(harness).sign_in("chen")) == expected


@pytest.mark.gen_test
async def test_sockets_of_ended_sessions_are_closed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tornado_chat.services.auth import accounts as service

    monkeypatch.setattr(service, "SWEEP_INTERVAL_SECONDS", 0.01)
    sweeping = harness.server._accounts._sweeper
    assert sweeping is not None
    sweeping.cancel()
    harness.server._accounts.start()
    browser = await signed_in(harness)
    notify = await harness.connect(f"/notify?token={await browser.token()}")
    await harness.server._store.write(lambda tx: staff.set_disabled(tx.database, "chen", True))
    assert (await notify.wait_closed()).code == 4401


@pytest.mark.gen_test
async def test_a_session_ends_by_age_and_by_inactivity(harness: Harness) -> None:
    service = harness.server._accounts
    begin = time.time()
    service._clock = lambda: begin

    async def works_after(browser: Browser, minutes: float) -> bool:
        service._clock = lambda: begin + minutes * 60
        return await browser.account() is not None

    idle = await signed_in(harness)
    assert await works_after(idle, 59)
    assert not await works_after(idle, 61)

    service._clock = lambda: begin
    used = Browser(harness)
    await used.sign_in("chen")
    notify = await harness.connect(f"/notify?token={await used.token()}")
    while not [*harness.server._connections.sessions()]:  # noqa: ASYNC110 - no frame shows the admission
        await asyncio.sleep(0.01)
    for minutes in range(50, 11 * 60, 50):  # an open socket counts as activity
        assert await works_after(used, minutes)
        await service.close_ended_sessions()
    assert await works_after(used, 11 * 60)
    made = json.loads((await used.ask("POST", TOKEN)).body)
    assert made["expires_in"] == 900
    service._clock = lambda: begin + 12 * 3600 - 60
    assert json.loads((await used.ask("POST", TOKEN)).body)["expires_in"] <= 60
    assert not await works_after(used, 12 * 60 + 1)
    await service.close_ended_sessions()
    assert notify.close_code is None  # an open socket keeps its session


@pytest.mark.gen_test
async def test_other_sites_are_refused(harness: Harness) -> None:
    browser = await signed_in(harness)
    body = {"name": "chen", "password": PASSWORD}
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "", "Origin": "null"},
        {"Sec-Fetch-Site": "", "Origin": harness.http + "0"},
    ):
        for method, path in (("POST", SESSION), ("POST", TOKEN), ("DELETE", SESSION)):
            answer = await browser.ask(method, path, body, **headers)
            assert problem(answer) == (403, "other_origin"), headers
    for kind in ("application/x-www-form-urlencoded", "text/plain", ""):
        assert problem(await browser.ask("POST", TOKEN, **{"Content-Type": kind})) == (400, "bad_shape")
    await browser.token()
    # Over plain HTTP browsers send Origin only; programs send neither header.
    await Browser(harness, **{"Sec-Fetch-Site": ""}).ask("POST", SESSION, body)
    assert (
        await harness.api("POST", SESSION, None, body, **{"Content-Type": "application/json"})
    ).code == 204


class TestWithOrigins:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "web", origins=("https://host.example", "app://x", "http://[::1]:8000"))

    @pytest.mark.gen_test
    async def test_other_origins_have_no_access_to_accounts(self, harness: Harness) -> None:
        browser = await signed_in(harness)
        answer = await browser.ask(
            "POST", TOKEN, Origin="https://host.example", **{"Sec-Fetch-Site": "cross-site"}
        )
        assert problem(answer) == (403, "other_origin")
        assert "Access-Control-Allow-Origin" not in answer.headers
        answer = await harness.api("OPTIONS", TOKEN, None, Origin="https://host.example")
        assert "Access-Control-Allow-Origin" not in answer.headers

    @pytest.mark.gen_test
    async def test_other_origins_may_embed_pages_but_not_signin(self, harness: Harness) -> None:
        room, form = await harness.api("GET", "/room"), await harness.api("GET", "/signin")
        assert "frame-ancestors 'self' https://host.example" in room.headers["Content-Security-Policy"]
        assert "app:" not in room.headers["Content-Security-Policy"]
        assert "X-Frame-Options" not in room.headers
        assert "frame-ancestors 'none'" in form.headers["Content-Security-Policy"]
        assert form.headers["X-Frame-Options"] == "DENY"
        assert b'<meta name="origins" content="https://host.example">' in room.body


@pytest.mark.gen_test
async def test_the_wildcard_origin_is_not_trusted(settings: config.Config) -> None:
    server = Server(changed(settings, "web", origins=("*", "https://host.example")))
    await server.start()
    room = await Harness(server, settings, []).api("GET", "/room")
    assert "frame-ancestors 'none'" in room.headers["Content-Security-Policy"]
    assert room.headers["X-Frame-Options"] == "DENY"
    assert b'<meta name="origins" content="">' in room.body
    await server.stop()


@pytest.mark.gen_test
async def test_pages_know_whether_there_are_accounts(harness: Harness) -> None:
    assert b'<meta name="accounts" content="off">' in (await harness.api("GET", "/signin")).body
    await make_account(harness, "chen", disabled=True)
    text = (await harness.api("GET", "/signin")).body.decode()
    assert '<meta name="accounts" content="on">' in text
    assert re.search(r'<meta name="pages" content="/room .*/signin\b', text)
    await harness.server._store.write(lambda tx: staff.remove(tx.database, "chen", 1))
    assert b'<meta name="accounts" content="off">' in (await harness.api("GET", "/signin")).body


@pytest.mark.gen_test
async def test_options_are_escaped_in_a_page(settings: config.Config) -> None:
    server = Server(changed(settings, "auth", name_claim='"><script>alert(1)</script>'))
    await server.start()
    room = await Harness(server, settings, []).api("GET", "/room")
    assert b"<script>alert" not in room.body
    assert b"&lt;script&gt;alert" in room.body
    await server.stop()


@pytest.mark.gen_test
async def test_sign_in_is_refused_without_accounts(settings: config.Config) -> None:
    server = Server(changed(settings, "staff", enabled=False))
    await server.start()
    harness = Harness(server, settings, [])
    await make_account(harness, "chen")
    assert problem(await Browser(harness).sign_in("chen")) == (403, "accounts_off")
    assert problem(await Browser(harness).ask("POST", TOKEN)) == (403, "accounts_off")
    assert await Browser(harness).account() is None
    assert b'<meta name="accounts" content="off">' in (await harness.api("GET", "/signin")).body
    await server.stop()


@pytest.mark.gen_test
async def test_failed_sign_ins_are_delayed_except_on_known_devices(
    harness: Harness, expected_logs: list[str]
) -> None:
    expected_logs.append("many attempts to sign in")
    owner = await signed_in(harness)
    stranger = Browser(harness)
    answers = [await stranger.sign_in("chen", f"guess number {n}") for n in range(7)]
    assert [answer.code for answer in answers] == [401] * 6 + [429]
    assert problem(answers[-1]) == (429, "too_many_attempts")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 2
    assert (await stranger.sign_in("chen")).code == 429  # the right password is not checked, either
    assert (await owner.sign_in("chen")).code == 204
    assert (await Browser(harness).sign_in("nobody", PASSWORD)).code == 401
    # The device cookie is bound to the browser, the name and the password of its time.
    device = owner.cookies["tornado-chat-device"]
    await make_account(harness, "bob")
    for n in range(6):
        await stranger.sign_in("bob", f"guess number {n}")
    liar = Browser(harness)
    liar.cookies = {"tornado-chat-device": device}
    assert (await liar.sign_in("bob")).code == 429
    liar.cookies = {"tornado-chat-device": "x" + device}
    assert (await liar.sign_in("chen")).code == 429


@pytest.mark.gen_test
async def test_parallel_guesses_are_delayed_too(harness: Harness, expected_logs: list[str]) -> None:
    expected_logs.append("many attempts to sign in")
    await make_account(harness, "chen")
    answers = await asyncio.gather(*(Browser(harness).sign_in("chen", f"guess {n}") for n in range(30)))
    assert sum(answer.code == 401 for answer in answers) == 6


@pytest.mark.gen_test
async def test_hashes_are_renewed_with_new_parameters(harness: Harness) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    browser = await signed_in(harness, hash=old)
    found = await harness.server._store.read(staff.find_account, "chen")
    assert found is not None
    assert "m=8,t=1" in found[1]
    await browser.token()  # the session survives the new hash
    assert (await Browser(harness).sign_in("chen")).code == 204


@pytest.mark.gen_test
async def test_signing_in_again_signs_the_first_account_out(harness: Harness) -> None:
    browser = await signed_in(harness)
    theirs = await browser.token()
    await make_account(harness, "bob", "waiter")
    assert (await browser.sign_in("bob")).code == 204
    assert (await browser.account() or {})["name"] == "bob"
    assert (await harness.api("GET", "/api/v1/notifications", theirs)).code == 401


@pytest.mark.gen_test
async def test_the_hosts_secret_cannot_sign_account_tokens(harness: Harness) -> None:
    browser = await signed_in(harness)
    text = await browser.token()
    claims = jwt.decode(text, options={"verify_signature": False})
    by_host = jwt.encode(claims, SECRET, "HS256", {"kid": ACCOUNT_KEY_ID})
    assert (await harness.api("GET", "/api/v1/notifications", by_host)).code == 401
    unnamed = jwt.encode(claims, derive_account_key(SECRET), "HS256")
    assert (await harness.api("GET", "/api/v1/notifications", unnamed)).code == 401
    other = jwt.encode(claims, derive_account_key(SECRET) * 2, "HS512", {"kid": ACCOUNT_KEY_ID})
    assert (await harness.api("GET", "/api/v1/notifications", other)).code == 401
    stolen = jwt.encode(
        {**claims, "tornado_chat_session": 7}, derive_account_key(SECRET), "HS256", {"kid": ACCOUNT_KEY_ID}
    )
    assert (await harness.api("GET", "/api/v1/notifications", stolen)).code == 401


@pytest.mark.gen_test
async def test_accounts_work_beside_a_host_with_public_keys(settings: config.Config, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    auth = config.Auth(
        algorithms=("RS256",),
        public_key_file=str(tmp_path / "key.pem"),
        issuer="https://host.example",
        audience="chat",
        id_claim="sub",
        role_claim="role",
    )
    server = Server(replace(settings, auth=auth))
    await server.start()
    harness = Harness(server, settings, [])
    browser = await signed_in(harness, id="7")
    assert (await harness.api("GET", "/api/v1/notifications", await browser.token())).code == 200
    claims = {"sub": "1", "role": "consultant", "exp": time.time() + 60}
    claims |= {"iss": "https://host.example", "aud": "chat"}
    by_host = jwt.encode(claims, key, "RS256")
    assert (await harness.api("GET", "/api/v1/notifications", by_host)).code == 200
    secret = (settings.state_dir / "secret").read_bytes().strip()
    forged = jwt.encode(claims, secret, "HS256")
    assert (await harness.api("GET", "/api/v1/notifications", forged)).code == 401
    await server.stop()


@pytest.mark.gen_test
async def test_sessions_survive_a_restart(harness: Harness, settings: config.Config) -> None:
    browser = await signed_in(harness)
    text = await browser.token()
    again = Server(settings)
    await again.start()
    browser._harness = Harness(again, settings, [])
    browser._headers["Origin"] = again.url
    assert (await browser.account() or {})["name"] == "chen"
    assert (await browser._harness.api("GET", "/api/v1/notifications", text)).code == 200
    await again.stop()


@pytest.mark.gen_test
async def test_with_the_real_parameters(harness: Harness) -> None:
    real = Passwords()
    harness.server._accounts._passwords = real
    browser = await signed_in(harness, hash=real.hash_blocking(PASSWORD))
    await browser.token()
    assert (await Browser(harness).sign_in("nobody")).code == 401
