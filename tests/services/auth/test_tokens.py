"""Tokens: accepted ones, all known ways to forge one, minting, and the files with the keys."""

import asyncio
import base64
import dataclasses
import hashlib
import hmac
import json
import logging
import math
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.core.errors import ChatError, Unauthenticated, Unavailable
from tornado_chat.core.texts import error_text
from tornado_chat.core.types import TOKEN_ROLES, Identity, Person, Role
from tornado_chat.services.auth import tokens
from tornado_chat.services.auth import tokens as identity
from tornado_chat.services.auth.jwks import KeySet
from tornado_chat.services.auth.secret import load_secret
from tornado_chat.services.auth.tokens import MAX_TOKEN_CHARS, Authenticator, build_authenticator, mint_token

NOW = 1_742_459_205.0
SECRET = b"0123456789abcdef" * 4
AUTH = config.Auth()

RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA, "RS512": RSA, "ES256": P256, "EdDSA": ED}


def immediately(call: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that must not yield."""
    try:
        call.send(None)
    except StopIteration as stop:
        return stop.value
    call.close()
    raise AssertionError("it yielded to the loop")


def claims(**changes: Any) -> dict[str, Any]:
    """Return valid claims with changes; the value None removes a claim."""
    all = {"id": 7, "type": "user", "name": "Ann", "exp": NOW + 60} | changes
    return {name: value for name, value in all.items() if value is not None}


def sign(payload: object, key: Any = SECRET, alg: str = "HS256", **header: Any) -> str:
    """Return a signed token with any JSON value as its payload, valid or not."""
    return jwt.api_jws.encode(json.dumps(payload).encode(), key, alg, header)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


HS256_HEADER = b64(b'{"alg":"HS256"}')


def by_hand(header: object, payload: object, secret: bytes | None = None) -> str:
    """Return a token that PyJWT refuses to make, as an attacker makes it."""
    text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}"
    signature = b"" if secret is None else hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{b64(signature)}"


def public_pem(private: Any) -> bytes:
    return private.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)


def authenticator(
    *algorithms: str, pem: Path | None = None, now: float = NOW, **options: Any
) -> Authenticator:
    auth = config.Auth(
        algorithms=algorithms or ("HS256",),  # type: ignore[arg-type]
        public_key_file=str(pem or ""),
        **options,
    )
    return Authenticator(auth, SECRET, None, lambda: now)


def verify(token: str | None, by: Authenticator | None = None) -> Identity:
    identity = immediately((by or authenticator()).verify(token))
    assert isinstance(identity, Identity)
    return identity


def reason(token: str | None, by: Authenticator | None = None) -> str:
    """Return the reason why ``token`` is not valid, and check that it contains no part of the token."""
    with pytest.raises(Unauthenticated) as caught:
        verify(token, by)
    error = caught.value
    for part in (token or "").split("."):
        assert len(part) < 8 or part not in str(error)
    assert error_text("en", error)
    return error.detail["reason"] if error.code == "token_invalid" else error.code


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "issuer.pem"
    path.write_bytes(public_pem(RSA))
    return path


# Claims


def test_a_valid_token_proves_its_identity() -> None:
    identity = verify(sign(claims(extra=[1])))
    assert identity == Identity(Person(Role.USER, "7"), "Ann", claims(extra=[1]))


@pytest.mark.parametrize("role", TOKEN_ROLES)
def test_every_role_is_accepted(role: Role) -> None:
    assert verify(sign(claims(type=role.value))).person.role is role


@pytest.mark.parametrize("token", [None, ""])
def test_a_missing_token_is_refused(token: str | None) -> None:
    assert reason(token) == "token_missing"


@pytest.mark.parametrize(
    ("value", "id"),
    [
        (7, "7"),
        (0, "0"),
        (-3, "-3"),
        ("7", "7"),
        ("x" * 64, "x" * 64),
        ("用户 7", "用户 7"),
        (10**63, "1" + "0" * 63),
    ],
)
def test_valid_ids(value: object, id: str) -> None:
    assert verify(sign(claims(id=value))).person.id == id


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 7.0, "", " ", " 7", "7 ", "x" * 65, 10**64, "a\nb", "a\x00", "a\x7f", "a\u202eb",
        "\ud800", ["7"], {"id": 7},
    ],
)  # fmt: skip
def test_invalid_ids(value: object) -> None:
    assert reason(sign(claims(id=value))).startswith("id is not an integer or a text")


@pytest.mark.parametrize("value", [None, "", "User", "root", 0, True, ["user"], {"user": 1}, "user "])
def test_invalid_roles(value: object) -> None:
    assert reason(sign(claims(type=value))).startswith("type is not one of user, consultant")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, None),
        ("", None),
        (" \n\t", None),
        ("  Ann  ", "Ann"),
        ("A\x00n\r\nn\x9b", "Ann"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("\ud83dAnn\ude00", "Ann"),
        ("x" * 100, "x" * 64),
        ("x" * 63 + "  y", "x" * 63),
        ("张伟 🙂", "张伟 🙂"),
        ("👩\u200d👧", "👩\u200d👧"),
    ],
)
def test_names(value: str | None, name: str | None) -> None:
    assert verify(sign(claims(name=value))).name == name


def test_a_null_name_is_no_name() -> None:
    assert verify(sign(claims() | {"name": None})).name is None


@pytest.mark.parametrize("value", [7, True, ["Ann"], {}])
def test_invalid_names(value: object) -> None:
    assert reason(sign(claims(name=value))) == "name is not a text"


@pytest.mark.parametrize("sub", [7, "7"])
def test_other_claim_names_and_an_integer_subject(sub: object) -> None:
    by = authenticator(id_claim="sub", role_claim="role", name_claim="nick")
    token = sign({"sub": sub, "role": "admin", "nick": "Root", "exp": NOW + 1, "id": 9, "jti": 5})
    assert verify(token, by).person == Person(Role.ADMIN, "7")
    assert verify(token, by).name == "Root"


# Times


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [NOW * 1000, NOW * 1e6, NOW + 101 * 366 * 86400, 10**400])
def test_a_time_in_milliseconds_is_refused_and_logged_once(
    claim: str, value: float, caplog: pytest.LogCaptureFixture, expected_logs: list[str]
) -> None:
    expected_logs.append("tokens are refused: ")
    by = authenticator()
    for _ in range(2):
        told = reason(sign(claims(**{claim: value})), by)
        assert told == f"{claim} is in seconds since 1970, and this one is more than 100 years ahead"
    assert [record.message.split(";")[0] for record in caplog.records] == [f"tokens are refused: {told}"]


@pytest.mark.parametrize("value", ["2026-01-01", None, [], True])
def test_the_time_of_issue_is_optional_and_may_be_anything_but_a_far_time(value: object) -> None:
    assert immediately(authenticator().authenticate(sign(claims(iat=value)))).issued is None


def test_the_grant_has_the_times_and_the_key() -> None:
    grant = immediately(authenticator().authenticate(sign(claims(exp=NOW + 5, iat=NOW - 5))))
    assert (grant.expires, grant.issued) == (NOW + 5, NOW - 5)
    assert grant.key is not None
    without_end = sign({"id": 7, "type": "user"})
    assert immediately(authenticator(require_exp=False).authenticate(without_end)).expires == math.inf


@pytest.mark.parametrize("alg", PRIVATE)
def test_a_key_has_one_fingerprint_for_each_algorithm(alg: str, tmp_path: Path) -> None:
    pem = tmp_path / "key.pem"
    pem.write_bytes(public_pem(PRIVATE[alg]))
    by = authenticator(alg, pem=pem)
    key = immediately(by.authenticate(sign(claims(), PRIVATE[alg], alg))).key
    assert by.accepted_keys() == {key}
    assert key not in (authenticator().accepted_keys() or ())


def test_another_secret_and_another_algorithm_are_other_keys() -> None:
    one, two = authenticator("HS256").accepted_keys(), authenticator("HS256", "HS384").accepted_keys()
    assert one is not None
    assert two is not None
    assert one < two


@pytest.mark.parametrize(
    ("exp", "valid"),
    [(NOW + 1, True), (NOW, True), (NOW - 9.9, True), (NOW - 10, False), (NOW - 11, False), (0, False),
     (-(10**400), False), (NOW + 99 * 365 * 86400, True)],
)  # fmt: skip
def test_expiry_with_leeway(exp: float, valid: bool) -> None:
    token = sign(claims(exp=exp))
    if valid:
        verify(token)
    else:
        assert reason(token) == "token_expired"


def test_expiry_without_leeway_is_the_second_itself() -> None:
    assert verify(sign(claims(exp=NOW + 1)), authenticator(leeway=0))
    assert reason(sign(claims(exp=NOW)), authenticator(leeway=0)) == "token_expired"


def test_times_are_checked_against_the_given_clock() -> None:
    token = sign(claims(exp=2000, nbf=1000))
    assert verify(token, authenticator(now=1500))
    assert reason(token, authenticator(now=2500)) == "token_expired"
    assert reason(token, authenticator(now=500)) == "it is not valid yet (nbf)"


def test_a_cached_token_expires() -> None:
    now = 1500.0
    by = Authenticator(AUTH, SECRET, None, lambda: now)
    token = sign(claims(exp=2000, nbf=1000))
    assert verify(token, by) == verify(token, by)
    now = 2500
    assert reason(token, by) == "token_expired"
    now = 500
    assert reason(token, by) == "it is not valid yet (nbf)"


def test_a_changed_copy_of_a_cached_token_is_refused() -> None:
    by = authenticator()
    token = sign(claims())
    verify(token, by)
    head, _, signature = token.split(".")
    other = b64(json.dumps(claims(type="admin")).encode())
    assert reason(f"{head}.{other}.{signature}", by) == "its signature is wrong"
    assert verify(token, by).person == Person(Role.USER, "7")


def test_the_cache_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "MAX_CACHED_TOKENS", 2)
    by = authenticator()
    tokens = [sign(claims(id=n)) for n in range(5)]
    assert [verify(token, by).person.id for token in tokens * 2] == [*"01234"] * 2
    assert len(by._verified_tokens) == 2


def test_not_before_with_leeway() -> None:
    assert verify(sign(claims(nbf=NOW + 10)))
    assert reason(sign(claims(nbf=NOW + 10.5))) == "it is not valid yet (nbf)"


def test_a_token_without_exp() -> None:
    token = sign(claims(exp=None))
    assert reason(token) == "it never expires (exp)"
    lenient = authenticator(require_exp=False)
    assert verify(token, lenient)
    assert reason(sign(claims(exp=1)), lenient) == "token_expired", "an expiry counts when it is there"


@pytest.mark.parametrize("claim", ["exp", "nbf"])
@pytest.mark.parametrize(
    "value", ["soon", str(int(NOW)), True, [], {}, float("nan"), float("inf"), float("-inf")]
)
def test_invalid_times(claim: str, value: object) -> None:
    assert reason(sign(claims(**{claim: value}))) == f"{claim} is not a number of seconds"


@pytest.mark.parametrize("claim", ["exp", "nbf"])
def test_null_times(claim: str) -> None:
    by = authenticator(require_exp=False)
    assert reason(sign(claims() | {claim: None}), by) == f"{claim} is not a number of seconds"


@pytest.mark.parametrize("iat", [NOW + 10**6, "yesterday", 0])
def test_the_time_of_issue_does_not_matter(iat: object) -> None:
    assert verify(sign(claims(iat=iat)))


# Issuer and audience


def test_issuer() -> None:
    by = authenticator(issuer="https://host")
    assert verify(sign(claims(iss="https://host")), by)
    assert reason(sign(claims(iss="https://host/")), by) == "it comes from another issuer (iss)"
    assert reason(sign(claims(iss=["https://host"])), by) == "it comes from another issuer (iss)"
    assert reason(sign(claims()), by) == "it has no iss"
    assert verify(sign(claims(iss=5))), "none is configured"


def test_audience() -> None:
    by = authenticator(audience="chat")
    assert verify(sign(claims(aud="chat")), by)
    assert verify(sign(claims(aud=["shop", "chat"])), by)
    for other in ("shop", ["shop"], "chatter", {"chat": 1}, 5, ["chat", 5]):
        assert reason(sign(claims(aud=other)), by) == "it is meant for another audience (aud)"
    assert reason(sign(claims()), by) == "it has no aud"
    assert verify(sign(claims(aud="shop"))), "none is configured"


# Signatures


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_shared_secret(alg: str) -> None:
    assert verify(sign(claims(), alg=alg), authenticator(alg))
    assert reason(sign(claims(), b"f" * 64, alg), authenticator(alg)) == "its signature is wrong"
    other = "HS512" if alg == "HS256" else "HS256"
    assert "algorithm is not one of those accepted" in reason(sign(claims(), alg=other), authenticator(alg))


@pytest.mark.parametrize("alg", PRIVATE)
def test_public_key_file(alg: str, pem: Path) -> None:
    pem.write_bytes(public_pem(PRIVATE[alg]))
    by = authenticator(alg, pem=pem)
    token = sign(claims(), PRIVATE[alg], alg)
    assert verify(token, by).person.id == "7"
    assert verify(sign(claims(), PRIVATE[alg], alg, kid="any"), by)
    header, payload, signature = token.split(".")
    forged = f"{header}.{b64(json.dumps(claims(type='admin')).encode())}.{signature}"
    assert reason(forged, by) == "its signature is wrong"
    assert reason(f"{header}.{payload}.", by) == "its signature is wrong"
    assert "algorithm is not one" in reason(sign(claims()), by)


def test_two_families_side_by_side(pem: Path) -> None:
    by = authenticator("HS256", "RS256", pem=pem)
    assert verify(sign(claims()), by)
    assert verify(sign(claims(), RSA, "RS256"), by)


def test_the_public_key_is_no_secret(pem: Path) -> None:
    """CVE-2015-9235 and similar attacks: HS256 with a public key as the secret."""
    both, public = authenticator("HS256", "RS256", pem=pem), authenticator("RS256", pem=pem)
    der = RSA.public_key().public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)
    for known in (pem.read_bytes(), pem.read_bytes().strip(), der, b""):
        forged = by_hand({"alg": "HS256"}, claims(type="admin"), known)
        assert reason(forged, both) == "its signature is wrong"
        assert "algorithm is not one" in reason(forged, public)
        relabelled = by_hand({"alg": "RS256"}, claims(type="admin"), known)
        assert reason(relabelled, both) == "its signature is wrong"


def test_the_secret_is_no_public_key(pem: Path) -> None:
    """The reverse: the shared secret does not sign RS256 tokens."""
    both = authenticator("HS256", "RS256", pem=pem)
    assert reason(by_hand({"alg": "RS256"}, claims(), SECRET), both) == "its signature is wrong"
    _, payload, signature = sign(claims(), RSA, "RS256").split(".")
    relabelled = ".".join([HS256_HEADER, payload, signature])
    assert reason(relabelled, both) == "its signature is wrong"


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "", None, 0, True, [], ["HS256"], {"HS256": 1}]
)
def test_unsigned_tokens(alg: object) -> None:
    for secret in (None, b"", SECRET):
        assert "algorithm is not one" in reason(by_hand({"alg": alg}, claims(), secret))


def test_a_token_without_algorithm() -> None:
    assert "algorithm is not one" in reason(by_hand({"typ": "JWT"}, claims(), SECRET))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256", "crit": ["b64"], "b64": True},
        {"alg": "HS256", "crit": ["exp"], "exp": 5},
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "b64": False},
        {"alg": "HS256", "kid": 5},
        {"alg": "HS256", "kid": None},
    ],
)
def test_unsupported_headers_are_refused(header: object) -> None:
    assert "extension" in reason(by_hand(header, claims(), SECRET)) or "well-formed" in reason(
        by_hand(header, claims(), SECRET)
    )


@pytest.mark.parametrize("field", ["jwk", "jku", "x5u", "x5c"])
def test_keys_inside_the_token_are_ignored(field: str, pem: Path) -> None:
    thief = rsa.generate_private_key(65537, 2048)
    own = jwt.algorithms.RSAAlgorithm.to_jwk(thief.public_key(), as_dict=True)
    token = sign(claims(), thief, "RS256", **{field: own if field == "jwk" else "http://thief.example"})
    assert reason(token, authenticator("RS256", pem=pem)) == "its signature is wrong"


# Malformed tokens


@pytest.mark.parametrize(
    "token",
    [
        ".", "..", "...", "a.b", "a.b.c", "Bearer x", "\x00", "é.é.é", "\ud800.x.y",
        by_hand([], claims(), SECRET),
        by_hand({"alg": "HS256"}, [], SECRET),
        by_hand({"alg": "HS256"}, None, SECRET),
        by_hand({"alg": "HS256"}, "text", SECRET),
        b64(b"[" * 5000) + ".e30.x",
        sign(claims()) + ".x",
        sign(claims()) + "\n",
        " " + sign(claims()),
    ],
)  # fmt: skip
def test_malformed_tokens_are_refused(token: str) -> None:
    assert reason(token) == "it is not a well-formed JWT"


def test_a_deeply_nested_payload_is_refused() -> None:
    text = f"{HS256_HEADER}.{b64(b'[' * 5000)}"
    signature = hmac.new(SECRET, text.encode(), hashlib.sha256).digest()
    assert reason(f"{text}.{b64(signature)}") == "it is not a well-formed JWT"


def test_long_tokens_are_refused_unread() -> None:
    token = sign(claims(pad="x" * MAX_TOKEN_CHARS))
    assert reason(token) == f"it has more than {MAX_TOKEN_CHARS} characters"
    assert verify(sign(claims(pad="x" * 5000)))


GENUINE = sign(claims())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def outcome(token: str) -> Identity | None:
    """Return the identity, or None after a ChatError. Every other exception passes."""
    try:
        return verify(token)
    except ChatError as error:
        error_text("en", error)
        return None


@st.composite
def mutated(draw: st.DrawFn) -> str:
    start = draw(st.integers(0, len(GENUINE)))
    end = draw(st.integers(start, min(len(GENUINE), start + 4)))
    return GENUINE[:start] + draw(st.text(max_size=4)) + GENUINE[end:]


@settings(max_examples=400)
@given(token=st.text() | mutated())
def test_any_mutated_token_raises_only_chat_errors(token: str) -> None:
    identity = outcome(token)
    # A token without changes, or with padded parts as some issuers make them, stays valid.
    assert identity is None or identity.claims == claims()


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    header=st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ", "zip"]), JSON),
    payload=JSON,
)
def test_any_header_raises_only_chat_errors(header: dict[str, Any], payload: Any) -> None:
    assert outcome(by_hand(header, payload, b"not the secret")) is None


@pytest.fixture(scope="module")
def no_log() -> Iterator[None]:
    """No log of the module under test, in which Hypothesis makes times in milliseconds."""
    log = logging.getLogger(tokens.__name__)
    log.disabled = True
    yield
    log.disabled = False


@pytest.mark.usefixtures("no_log")
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.dictionaries(
        st.sampled_from(["id", "type", "name", "exp", "nbf", "iat", "iss", "aud", "sub", "jti"]),
        JSON,
        max_size=3,
    )
)
def test_any_signed_claims_give_a_valid_identity_or_a_chat_error(changes: dict[str, Any]) -> None:
    identity = outcome(sign(claims() | changes))
    if identity is not None:
        assert 0 < len(identity.person.id) <= 64
        assert Person.from_key(identity.person.key) == identity.person
        assert identity.name is None or 0 < len(identity.name) <= 64
        f"{identity.person.id}{identity.name}".encode()


# Minting


@pytest.mark.parametrize(
    "auth", [AUTH, config.Auth(algorithms=("HS512", "RS256"), jwks_url="http://host/keys")]
)
@pytest.mark.parametrize("id", [7, "7", "用户"])
def test_a_minted_token_is_accepted(id: int | str, auth: config.Auth) -> None:
    token = mint_token(auth, SECRET, id=id, role=Role.WAITER, name="Wu", lifetime=60, now=NOW)
    keys = KeySet(auth.jwks_url, auth.algorithms) if auth.jwks_url else None
    identity = verify(token, Authenticator(auth, SECRET, keys, lambda: NOW))
    assert identity.person == Person(Role.WAITER, str(id))
    assert identity.claims == {
        "id": id,
        "type": "waiter",
        "name": "Wu",
        "iat": int(NOW),
        "exp": int(NOW) + 60,
    }
    assert jwt.get_unverified_header(token)["alg"] == auth.algorithms[0]


def test_mint_with_other_claims() -> None:
    auth = config.Auth(
        algorithms=("RS256", "HS384", "HS256"),
        id_claim="sub",
        role_claim="role",
        name_claim="nick",
        issuer="here",
        audience="chat",
    )
    token = mint_token(auth, SECRET, id=7, role=Role.USER, name=None, lifetime=1.5, now=1000.75)
    assert jwt.get_unverified_header(token)["alg"] == "HS384"
    assert jwt.decode(token, options={"verify_signature": False}) == {
        "sub": "7", "role": "user", "iat": 1000, "exp": 1002, "iss": "here", "aud": "chat",
    }  # fmt: skip
    by = authenticator("HS384", now=1001, id_claim="sub", role_claim="role", issuer="here", audience="chat")
    assert verify(token, by).person == Person(Role.USER, "7")


def test_mint_refuses_with_a_sentence() -> None:
    def attempt(auth: config.Auth = AUTH, secret: bytes = SECRET, id: int | str = 7) -> None:
        mint_token(auth, secret, id=id, role=Role.USER, name=None, lifetime=60, now=NOW)

    with pytest.raises(ValueError, match=r"only with a shared secret: .* none of HS256, HS384, HS512"):
        attempt(config.Auth(algorithms=("RS256",)))
    with pytest.raises(ValueError, match="the shared secret has 5 bytes and can be guessed"):
        attempt(secret=b"short")
    for id in ("", "x" * 65, "a\nb"):
        with pytest.raises(ValueError, match="id is not an integer or a text of 1 to 64"):
            attempt(id=id)


# Building an authenticator


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"algorithms": ()}, "an empty list cannot be accepted; choose from HS256"),
        ({"algorithms": ("HS256", "none")}, "none cannot be accepted"),
        ({"algorithms": ("PS256",)}, "PS256 cannot be accepted"),
        ({"algorithms": ("RS256",)}, "RS256 needs public_key_file or jwks_url"),
        ({"algorithms": ("HS256", "ES256")}, "ES256 needs public_key_file or jwks_url"),
        (
            {"algorithms": ("RS256", "ES256"), "public_key_file": True},
            "ES256 needs an EC key on the curve P-256",
        ),
        ({"public_key_file": True}, "HS256 does not use the public key"),
        ({"jwks_url": "http://host/keys"}, "HS256 does not use the public key"),
        ({"algorithms": ("RS256",), "jwks_url": "host/keys"}, "jwks_url is not an http or https URL"),
        ({"algorithms": ("RS256",), "public_key_file": "/nowhere.pem"}, "/nowhere.pem cannot be read"),
        (
            {"algorithms": ("RS256",), "public_key_file": True, "jwks_url": "http://host/keys"},
            "both public_key_file and jwks_url",
        ),
    ],
)
def test_a_configuration_without_usable_keys_is_refused(
    options: dict[str, Any], sentence: str, pem: Path
) -> None:
    if options.get("public_key_file") is True:
        options = options | {"public_key_file": str(pem)}
    with pytest.raises(ValueError, match=sentence):
        build_authenticator(config.Auth(**options), pem.parent / "state")


def test_an_authenticator_refuses_a_weak_secret() -> None:
    with pytest.raises(ValueError, match="HS256 needs a shared secret"):
        Authenticator(AUTH, None, None)
    with pytest.raises(ValueError, match="can be guessed"):
        Authenticator(AUTH, b"secret", None)


def test_build_on_defaults(tmp_path: Path) -> None:
    by = build_authenticator(AUTH, tmp_path)
    token = mint_token(
        AUTH, load_secret(AUTH, tmp_path), id=1, role=Role.ADMIN, name=None, lifetime=60, now=time.time()
    )
    assert verify(token, by).person == Person(Role.ADMIN, "1")


def test_build_creates_no_secret_that_is_not_needed(pem: Path) -> None:
    state = pem.parent / "state"
    build_authenticator(config.Auth(algorithms=("RS256",), public_key_file=str(pem)), state)
    assert not state.exists()


class Keys(RequestHandler):
    def get(self) -> None:
        keys = [
            jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True) | {"kid": "r"},
            jwt.algorithms.ECAlgorithm.to_jwk(P256.public_key(), as_dict=True) | {"kid": "e"},
            jwt.algorithms.OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True) | {"kid": "d", "use": "sig"},
            {"kty": "oct", "k": b64(SECRET), "kid": "h", "alg": "HS256"},
        ]
        self.finish({"keys": keys})


def test_a_key_set_beside_a_secret(tmp_path: Path) -> None:
    async def run() -> None:
        server = HTTPServer(Application([("/keys", Keys)], log_function=lambda handler: None))
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/keys"
        auth = config.Auth(algorithms=("HS256", "RS256", "ES256", "EdDSA"), jwks_url=url)
        own = load_secret(auth, tmp_path)
        by = build_authenticator(dataclasses.replace(auth, require_exp=False), tmp_path)
        person = claims(exp=None)
        try:
            for kid, alg in (("r", "RS256"), ("e", "ES256"), ("d", "EdDSA")):
                identity = await by.verify(sign(person, PRIVATE[alg], alg, kid=kid))
                assert identity.person == Person(Role.USER, "7")
            assert verify(sign(person, RSA, "RS256"), by), "one key fits"
            assert verify(sign(person, own), by)
            # The issuer's symmetric key is public, with or without a kid.
            assert reason(sign(person, SECRET, kid="h"), by) == "its signature is wrong"
            assert "algorithm" in reason(sign(person, RSA, "RS512", kid="r"), by)
            # A key verifies its own algorithm only.
            mislabelled = by_hand({"alg": "ES256", "kid": "r"}, person, SECRET)
            assert reason(mislabelled, by) == "its issuer publishes no key for it"
            assert reason(sign(person, P256, "ES256", kid="x"), by) == "its issuer publishes no key for it"
        finally:
            server.stop()
            await server.close_all_connections()

    asyncio.run(asyncio.wait_for(run(), WAIT_TIMEOUT_SECONDS))


def test_a_token_is_refused_when_its_key_is_withdrawn() -> None:
    async def run() -> None:
        keys = KeySet("http://127.0.0.1:9/", ("RS256",))
        parsed = jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True) | {"kid": "a"}
        other = jwt.algorithms.RSAAlgorithm.to_jwk(
            rsa.generate_private_key(65537, 2048).public_key(), as_dict=True
        ) | {"kid": "a"}
        by = Authenticator(config.Auth(algorithms=("RS256",)), None, keys, lambda: NOW)
        token = sign(claims(), RSA, "RS256", kid="a")
        keys._on_fetch_succeeded([jwt.PyJWK(parsed, "RS256")])
        assert verify(token, by) == verify(token, by)
        keys._on_fetch_succeeded([jwt.PyJWK(other, "RS256")])
        assert reason(token, by) == "its signature is wrong"
        keys._on_fetch_succeeded([jwt.PyJWK(parsed, "RS256")])
        assert verify(token, by).person == Person(Role.USER, "7")

    asyncio.run(run())


def test_a_key_set_out_of_reach(tmp_path: Path, expected_logs: list[str]) -> None:
    expected_logs.append("^the key set http.* cannot be fetched")
    [socket] = bind_sockets(0, "127.0.0.1")
    port = socket.getsockname()[1]
    socket.close()
    by = build_authenticator(
        config.Auth(algorithms=("RS256",), jwks_url=f"http://127.0.0.1:{port}/"), tmp_path
    )
    with pytest.raises(Unavailable) as caught:
        asyncio.run(by.verify(sign(claims(), RSA, "RS256")))
    assert caught.value.code == "keys_unavailable"
    assert error_text("en", caught.value)
