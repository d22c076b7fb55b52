"""The issuer's keys: the algorithms that they fit, and a real server that rotates them, fails and hangs."""

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.helpers.clock import Clock
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.core.errors import Unauthenticated, Unavailable
from tornado_chat.services.auth.jwks import (
    MAX_DOCUMENT_BYTES,
    KeySet,
    is_key_for,
    load_public_key,
    usable_keys,
)

ALGORITHMS = ("RS256", "ES256", "EdDSA")


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), WAIT_TIMEOUT_SECONDS))

    return run


def immediately(call: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that must not yield."""
    try:
        call.send(None)
    except StopIteration as stop:
        return stop.value
    call.close()
    raise AssertionError("it yielded to the loop")


RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
K256 = ec.generate_private_key(ec.SECP256K1())
ED = ed25519.Ed25519PrivateKey.generate()
ED448 = ed448.Ed448PrivateKey.generate()

MAKERS: Mapping[type, Any] = {
    rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm,
    ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm,
    ed25519.Ed25519PublicKey: jwt.algorithms.OKPAlgorithm,
    ed448.Ed448PublicKey: jwt.algorithms.OKPAlgorithm,
}


def jwk(private: Any, kid: str | None = None, **members: Any) -> dict[str, Any]:
    """Return the public JWK of a private key."""
    public = private.public_key()
    maker = next(maker for kind, maker in MAKERS.items() if isinstance(public, kind))
    return maker.to_jwk(public, as_dict=True) | ({"kid": kid} if kid else {}) | members


def document(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def pem(key: Any) -> bytes:
    if hasattr(key, "private_bytes"):
        return key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    return key.public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)


class Issuer:
    """An HTTP server with a key set that the test changes."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.body = document()
        self.fetches = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    def publish(self, *keys: Any) -> None:
        self.body = document(*keys)


class Page(RequestHandler):
    def initialize(self, issuer: Issuer) -> None:
        self.issuer = issuer

    async def get(self) -> None:
        self.issuer.fetches += 1
        self.issuer.asked.set()
        await self.issuer.gate.wait()
        self.set_status(self.issuer.status)
        if self.issuer.status == 302:
            self.set_header("Location", "/elsewhere")
        self.finish(self.issuer.body)


class Elsewhere(RequestHandler):
    def get(self) -> None:
        self.finish(document(jwk(RSA, "a")))


@contextlib.asynccontextmanager
async def issuing(*keys: Any) -> AsyncIterator[Issuer]:
    issuer = Issuer()
    issuer.publish(*keys)
    app = Application(
        [("/keys", Page, {"issuer": issuer}), ("/elsewhere", Elsewhere)], log_function=lambda handler: None
    )
    server = HTTPServer(app)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    issuer.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/keys"
    try:
        yield issuer
    finally:
        issuer.gate.set()
        server.stop()
        await server.close_all_connections()


async def fails_with(code: str, call: Awaitable[Any]) -> None:
    with pytest.raises((Unauthenticated, Unavailable)) as caught:
        await call
    assert caught.value.code == code


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "tornado_chat.services.auth.jwks" and record.levelno >= logging.WARNING
    ]


# Keys and algorithms


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (RSA, {"RS256", "RS384", "RS512"}),
        (SMALL_RSA, set()),
        (P256, {"ES256"}),
        (P384, {"ES384"}),
        (P521, {"ES512"}),
        (K256, set()),
        (ED, {"EdDSA"}),
        (ED448, {"EdDSA"}),
    ],
)
def test_a_key_fits_its_algorithms_only(key: Any, algorithms: set[str]) -> None:
    names = {"none", "HS256", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA", "PS256"}
    assert {name for name in names if is_key_for(key.public_key(), name)} == algorithms
    assert not any(is_key_for(key, name) for name in names), "private keys fit nothing"
    assert not any(is_key_for(b"secret", name) for name in names)


def test_usable_keys_are_bound_to_each_algorithm_that_they_fit() -> None:
    keys = usable_keys(document(jwk(RSA, "a"), jwk(P256, "b")), ["RS256", "RS512", "ES256"])
    assert [(key.key_id, key.algorithm_name) for key in keys] == [
        ("a", "RS256"),
        ("a", "RS512"),
        ("b", "ES256"),
    ]


@pytest.mark.parametrize(
    "member",
    [
        jwk(RSA, "a", use="enc"),
        jwk(RSA, "a", key_ops=["encrypt"]),
        jwk(RSA, "a", key_ops="verify"),
        jwk(RSA, "a", alg="RS512"),
        jwk(RSA, "a", alg="HS256"),
        jwk(SMALL_RSA, "a"),
        jwk(P384, "a"),
        jwk(P384, "a", crv="P-256"),
        jwk(K256, "a"),
        jwt.algorithms.RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"key_ops": ["verify"]},
        {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "a"},
        {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "a", "alg": "HS256"},
        {"kty": "RSA", "kid": "a"},
        {"kty": "RSA", "n": 5, "e": None},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": None},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": ["RSA"], "crv": {}},
        {},
        "a",
        None,
        [],
    ],
)
def test_other_members_are_ignored(member: Any) -> None:
    keys = usable_keys(document(member, jwk(ED, "good")), ["HS256", *ALGORITHMS])
    assert [key.key_id for key in keys] == ["good"]


@pytest.mark.parametrize("junk", [b"", b"{}", b"[]", b'{"keys": {}}', b"<html>", b"\xff", b"[" * 100_000])
def test_a_malformed_key_set_is_refused(junk: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, RecursionError)):
        usable_keys(junk, ALGORITHMS)


# The PEM file


@pytest.mark.parametrize("key", [RSA, P256, P384, ED, ED448])
def test_public_key_file(key: Any, tmp_path: Path) -> None:
    path = tmp_path / "issuer.pem"
    path.write_bytes(pem(key.public_key()))
    assert pem(load_public_key(path)) == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not a public key in PEM form"),
        (b"\x00\xff junk", "not a public key in PEM form"),
        (b"-----BEGIN PUBLIC KEY-----\njunk\n-----END PUBLIC KEY-----\n", "not a public key in PEM form"),
        (b"-----BEGIN CERTIFICATE-----\n", "this is a certificate; `openssl x509"),
        (pem(RSA), "this is a private key; it must stay"),
        (pem(ED.public_key()) + pem(ED), "this is a private key"),
        (
            RSA.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption()),
            "this is a private key",
        ),
        (pem(SMALL_RSA.public_key()), "at least 2048 bits"),
        (pem(K256.public_key()), "this key cannot be used"),
        (pem(dsa.generate_private_key(2048).public_key()), "this key cannot be used"),
    ],
    ids=[
        "empty",
        "junk",
        "junk inside",
        "certificate",
        "private",
        "public and private",
        "private PKCS1",
        "short",
        "curve",
        "DSA",
    ],
)
def test_public_key_file_with_something_else(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "issuer.pem"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as caught:
        load_public_key(path)
    assert str(path) in str(caught.value)


def test_public_key_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"issuer\.pem cannot be read: No such file"):
        load_public_key(tmp_path / "issuer.pem")


# The key set at a URL


@pytest.fixture
def warns(expected_logs: list[str]) -> None:
    expected_logs.append("^the key set http")


@pytest.mark.parametrize(
    "url",
    ["", "keys.json", "file:///etc/passwd", "ftp://host/keys", "https://", "http://[", "http://host:x/"],
)
def test_only_http_urls(url: str) -> None:
    with pytest.raises(ValueError, match="jwks_url is not an http or https URL"):
        KeySet(url, ALGORITHMS)


@on_a_loop
async def test_keys_are_fetched_once_and_then_answer_without_yielding() -> None:
    async with issuing(jwk(RSA, "a"), jwk(P256, "b"), jwk(ED, "c")) as issuer:
        keys = KeySet(issuer.url, ALGORITHMS, clock=Clock())
        assert (await keys.key("a", "RS256")).algorithm_name == "RS256"
        assert immediately(keys.key("b", "ES256")).key.curve.name == "secp256r1"
        assert immediately(keys.key("c", "EdDSA")).key_id == "c"
        assert issuer.fetches == 1


@on_a_loop
async def test_a_kid_names_a_key_of_another_algorithm() -> None:
    async with issuing(jwk(RSA, "a")) as issuer:
        keys = KeySet(issuer.url, ALGORITHMS, clock=Clock())
        for alg in ("ES256", "HS256", "none"):
            await fails_with("token_invalid", keys.key("a", alg))


@on_a_loop
async def test_without_kid_exactly_one_key_has_to_fit() -> None:
    async with issuing(jwk(RSA), jwk(P256, "b")) as issuer:
        clock = Clock()
        keys = KeySet(issuer.url, ALGORITHMS, clock=clock)
        assert (await keys.key(None, "RS256")).key_type == "RSA"
        assert immediately(keys.key(None, "ES256")).key_id == "b"
        await fails_with("token_invalid", keys.key(None, "EdDSA"))

        issuer.publish(jwk(P256, "b"), jwk(ec.generate_private_key(ec.SECP256R1()), "c"))
        clock.now += 300
        await fails_with("token_invalid", keys.key(None, "ES256"))
        assert immediately(keys.key("c", "ES256")).key_id == "c"

        issuer.publish(jwk(P256, "b"))
        clock.now += 300
        assert (await keys.key(None, "ES256")).key_id == "b", "the second key is gone, so it is clear again"


@on_a_loop
async def test_rotation_an_unknown_kid_fetches_again() -> None:
    async with issuing(jwk(RSA, "old")) as issuer:
        clock = Clock()
        keys = KeySet(issuer.url, ALGORITHMS, clock=clock)
        await keys.key("old", "RS256")
        issuer.publish(jwk(RSA, "old"), jwk(P256, "new"))
        clock.now += 10
        assert (await keys.key("new", "ES256")).key_id == "new"
        assert issuer.fetches == 2


@on_a_loop
async def test_unknown_kids_do_not_cause_a_fetch_each() -> None:
    async with issuing(jwk(RSA, "a")) as issuer:
        clock = Clock()
        keys = KeySet(issuer.url, ALGORITHMS, clock=clock)
        for number in range(50):
            await fails_with("token_invalid", keys.key(f"junk{number}", "RS256"))
        assert issuer.fetches == 1
        clock.now += 9.9
        await fails_with("token_invalid", keys.key("junk", "RS256"))
        assert issuer.fetches == 1
        clock.now += 0.1
        await fails_with("token_invalid", keys.key("junk", "RS256"))
        assert issuer.fetches == 2


@on_a_loop
async def test_a_withdrawn_key_is_forgotten_when_the_keys_are_old() -> None:
    async with issuing(jwk(RSA, "a")) as issuer:
        clock = Clock()
        keys = KeySet(issuer.url, ALGORITHMS, max_age=60, clock=clock)
        await keys.key("a", "RS256")
        issuer.publish(jwk(P256, "b"))
        clock.now += 59.9
        immediately(keys.key("a", "RS256"))
        clock.now += 0.1
        await fails_with("token_invalid", keys.key("a", "RS256"))
        assert issuer.fetches == 2


@on_a_loop
async def test_callers_share_one_fetch() -> None:
    async with issuing(jwk(RSA, "a")) as issuer:
        issuer.gate.clear()
        keys = KeySet(issuer.url, ALGORITHMS, clock=Clock())
        callers = [asyncio.create_task(keys.key("a", "RS256")) for _ in range(50)]
        await issuer.asked.wait()
        callers[0].cancel()
        issuer.gate.set()
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert all(isinstance(answer, jwt.PyJWK) for answer in answers[1:])
        assert issuer.fetches == 1


@pytest.mark.usefixtures("warns")
@on_a_loop
async def test_an_outage_from_the_start_refuses_tokens(caplog: pytest.LogCaptureFixture) -> None:
    async with issuing(jwk(RSA, "a")) as issuer:
        issuer.status = 503
        clock = Clock()
        keys = KeySet(issuer.url, ALGORITHMS, clock=clock)
        await fails_with("keys_unavailable", keys.key("a", "RS256"))
        await fails_with("keys_unavailable", keys.key("a", "RS256"))
        assert issuer.fetches == 1
        clock.now += 10
        await fails_with("keys_unavailable", keys.key("a", "RS256"))
        assert issuer.fetches == 2
        assert warnings_of(caplog) == [
            f"the key set {issuer.url} cannot be fetched: HTTP 503: Service Unavailable; "
            "no token of its issuer can be checked"
        ]
        issuer.status = 200
        clock.now += 10
        assert (await keys.key("a", "RS256")).key_id == "a"


@pytest.mark.usefixtures("warns")
@on_a_loop
async def test_known_keys_outlive_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tornado_chat")
    async with issuing(jwk(RSA, "a")) as issuer:
        clock = Clock()
        keys = KeySet(issuer.url, ALGORITHMS, clock=clock)
        await keys.key("a", "RS256")

        issuer.status = 500
        clock.now += 300
        assert (await keys.key("a", "RS256")).key_id == "a", "the first one waits for the fetch to fail"
        assert issuer.fetches == 2
        clock.now += 3600
        issuer.asked.clear()
        assert immediately(keys.key("a", "RS256")).key_id == "a", "from then on no caller waits"
        await fails_with("keys_unavailable", keys.key("new", "RS256"))
        assert issuer.fetches == 3
        assert len(warnings_of(caplog)) == 1
        assert "the known keys stay in use" in warnings_of(caplog)[0]

        issuer.status = 200
        issuer.publish(jwk(RSA, "new"))
        clock.now += 10
        assert (await keys.key("new", "RS256")).key_id == "new"
        await fails_with("token_invalid", keys.key("a", "RS256"))
        assert f"the key set {issuer.url} answers again" in caplog.messages

        issuer.status = 500
        clock.now += 300
        await keys.key("new", "RS256")
        assert len(warnings_of(caplog)) == 2, "another outage, another warning"


@pytest.mark.usefixtures("warns")
@on_a_loop
async def test_an_issuer_that_refuses_connections(caplog: pytest.LogCaptureFixture) -> None:
    async with issuing() as issuer:
        pass
    url = issuer.url.replace("http://", "http://me:hunter2@") + "?key=hunter2"
    keys = KeySet(url, ALGORITHMS, clock=Clock())
    await fails_with("keys_unavailable", keys.key("a", "RS256"))
    [warning] = warnings_of(caplog)
    assert issuer.url in warning
    assert "hunter2" not in warning


@pytest.mark.usefixtures("warns")
@on_a_loop
async def test_an_issuer_that_hangs() -> None:
    async with issuing(jwk(RSA, "a")) as issuer:
        issuer.gate.clear()
        keys = KeySet(issuer.url, ALGORITHMS, timeout=0.05, clock=Clock())
        await fails_with("keys_unavailable", keys.key("a", "RS256"))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, document(jwk(RSA, "a")) + b" " * MAX_DOCUMENT_BYTES),
        (200, b"<html>Welcome to the hotel</html>"),
        (200, b"[" * 100_000),
        (302, b""),
        (404, document(jwk(RSA, "a"))),
    ],
    ids=["too big", "no JSON", "nested", "redirect", "error page"],
)
@pytest.mark.usefixtures("warns")
@on_a_loop
async def test_an_answer_that_is_no_key_set(
    status: int, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with issuing() as issuer:
        issuer.status, issuer.body = status, body
        keys = KeySet(issuer.url, ALGORITHMS, clock=Clock())
        await fails_with("keys_unavailable", keys.key("a", "RS256"))
        assert len(warnings_of(caplog)) == 1


@pytest.mark.usefixtures("warns")
@on_a_loop
async def test_a_key_set_without_usable_keys_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with issuing({"kty": "oct", "k": "AAAA"}) as issuer:
        clock = Clock()
        keys = KeySet(issuer.url, ALGORITHMS, clock=clock)
        for _ in range(3):
            await fails_with("token_invalid", keys.key("a", "RS256"))
            clock.now += 10
        assert issuer.fetches == 3
        assert len(warnings_of(caplog)) == 1


@on_a_loop
async def test_a_refresh_fetches_only_keys_that_are_too_old() -> None:
    async with issuing(jwk(ED, "a")) as issuer:
        keys = KeySet(issuer.url, ALGORITHMS, min_interval=0)
        assert keys.keys() is None
        keys.expire()  # has no effect before the first fetch
        await keys.key("a", "EdDSA")
        keys.refresh()
        assert keys._fetch_task is None
        assert [key.key_id for key in keys.keys() or ()] == ["a"]
        issuer.publish(jwk(ED, "b"))
        keys.expire()
        assert [key.key_id for key in keys.keys() or ()] == ["a"]
        keys.refresh()
        assert keys._fetch_task is not None
        await keys._fetch_task
        assert [key.key_id for key in keys.keys() or ()] == ["b"]
        assert issuer.fetches == 2
