"""Forged, expired and malformed tokens, at every place that takes a token."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scripts.attacks.attack import CLOSE_TIMEOUT_SECONDS, Attack, Trial
from scripts.attacks.people import claims, token
from scripts.attacks.raw_socket import UpgradeRefused
from scripts.attacks.server import SECRET

ADMIN = claims("admin", 1)
YEAR_SECONDS = 365 * 86400


def encode(header: Any, payload: Any, signature: bytes = b"") -> str:
    """Return a token of these parts, without any check."""
    parts = [json.dumps(part).encode() if not isinstance(part, bytes) else part for part in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))


def signed(
    header: dict[str, Any] | None = None, key: bytes = SECRET, algorithm: str = "HS256", **more: Any
) -> str:
    """Return a token of an administrator with these changes, signed with ``key``."""
    return jwt.encode({**ADMIN, **more}, key, algorithm, headers=header)


def without(name: str) -> str:
    return jwt.encode({key: value for key, value in ADMIN.items() if key != name}, SECRET, "HS256")


def forgeries() -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a token, and the token."""
    good = token("admin", 1)
    head, body, signature = good.split(".")
    names: tuple[Any, ...] = ("none", "None", "NONE", "nOnE", "", None, 0, [], "HS256 ", "hs256")
    for name in names:
        yield f"alg {name!r} without a signature", encode({"alg": name, "typ": "JWT"}, ADMIN)
        yield f"alg {name!r} with another's signature", f"{encode({'alg': name}, ADMIN)}{signature}"
    yield "no signature", f"{head}.{body}."
    yield "two parts", f"{head}.{body}"
    yield "four parts", f"{good}.{signature}"
    yield (
        "the signature of another token",
        f"{head}.{encode({}, ADMIN | {'id': 2}).split('.')[1]}.{signature}",
    )
    for key in (b"", b"secret", b"\0" * 32, SECRET[:-1], SECRET + b" ", SECRET.hex().encode()):
        yield f"the key {key[-8:]!r}", encode_signed(ADMIN, key)
    yield "another algorithm of the same key", signed(key=SECRET.ljust(64, b"\0"), algorithm="HS512")
    for kid in (
        *("tornado-chat", "../../../../dev/null", "/dev/null", "' UNION SELECT 'x", "a" * 5000, ""),
        *("http://127.0.0.2/key", "file:///etc/passwd", "\0"),
    ):
        key = b"\0" * 32 if kid != "tornado-chat" else SECRET
        yield f"kid {kid[:24]!r}", signed({"kid": kid}, key)
    no_texts: tuple[Any, ...] = (0, [], {}, None, True, ["tornado-chat"])
    for no_text in no_texts:
        yield f"kid {no_text!r}", encode({"alg": "HS256", "kid": no_text}, ADMIN, b"x" * 32)
    own = Ed25519PrivateKey.generate()
    public = own.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(public).rstrip(b"=").decode()}
    for header in (
        {"jwk": jwk},
        {"jku": "http://127.0.0.2/keys"},
        {"x5u": "http://127.0.0.2/c"},
        {"x5c": ["eA=="]},
    ):
        yield f"its own key in {next(iter(header))}", jwt.encode(ADMIN, own, "EdDSA", headers=header)
    yield "crit", signed({"crit": ["exp"], "exp": 1})
    yield "an unencoded payload", signed({"b64": False, "crit": ["b64"]})
    now = int(time.time())
    for text, value in (
        ("a minute ago", now - 60),
        ("a year ago", now - YEAR_SECONDS),
        ("0", 0),
        ("negative", -now),
        ("in milliseconds", (now + 3600) * 1000),
        ("in milliseconds, ended", (now - 3600) * 1000),
        ("in microseconds", (now + 3600) * 10**6),
        ("10^30", 10**30),
        ("a text", str(now + 3600)),
        ("true", True),
        ("null", None),
        ("a list", [now + 3600]),
        ("a date", "2099-01-01T00:00:00Z"),
    ):
        yield f"exp {text}", encode_signed({**ADMIN, "exp": value})
    for literal in ("NaN", "Infinity", "-Infinity", "1e999"):
        raw = json.dumps(ADMIN).replace(str(ADMIN["exp"]), literal).encode()
        yield f"exp {literal}", encode_signed(raw)
    yield "no exp", without("exp")
    yield "nbf in an hour", signed(nbf=now + 3600)
    yield "nbf a text", signed(nbf="soon")
    for audience in (
        "another-server",
        ["another-server"],
        "",
        "attacked-server2",
        [],
        7,
        {"attacked-server": 1},
    ):
        yield f"aud {audience!r}", encode_signed({**ADMIN, "aud": audience})
    yield "no aud", without("aud")
    for issuer in ("another-host", "", ["attacked-host"], "attacked-host ", 7):
        yield f"iss {issuer!r}", encode_signed({**ADMIN, "iss": issuer})
    yield "no iss", without("iss")
    for role in (
        "Admin",
        "ADMIN",
        "admin ",
        "root",
        "",
        0,
        None,
        True,
        ["admin"],
        {"admin": 1},
        "adm\u0131n",
        "guest",
    ):
        yield f"role {role!r}", encode_signed({**ADMIN, "type": role})
    yield "no role", without("type")
    ids: tuple[Any, ...] = ("", " ", None, True, 1.5, [], [1], {}, "a" * 65, "a\0b", "a\nb", "\ud800", 10**70)
    for id in (*ids, "a\u202eb"):
        yield f"id {ascii(id)[:24]}", encode_signed({**ADMIN, "id": id})
    yield "no id", without("id")
    for payload in (
        b"",
        b"[]",
        b"null",
        b'"admin"',
        b"1",
        b"{" * 3000,
        b"[" * 5000,
        b"\xff\xfe",
        b'{"a":' * 900,
    ):
        yield f"the payload {payload[:8]!r}", encode_signed(payload)
    for text in ("", ".", "..", "...", "a.b.c", "null", "Bearer", "eyJ" * 2000, "é.é.é", "a" * 20000):
        yield f"the text {text[:8]!r}", text
    for change in (" ", "\t", "%00", "%0a", "+", "%20", "=", "%3d", ","):
        yield f"{change!r} inside", f"{head}{change}.{body}.{signature}"
    yield "a bit of the signature", f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    yield "half a signature", f"{head}.{body}.{signature[: len(signature) // 2]}"


def encode_signed(payload: Any, key: bytes = SECRET) -> str:
    """Return a token with this payload, which may be none of a token, and a signature with ``key``."""
    unsigned = encode({"alg": "HS256", "typ": "JWT"}, payload).rpartition(".")[0]
    mac = hmac.digest(key, unsigned.encode(), "sha256")
    return f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


async def run(trial: Trial) -> None:
    good = token("admin", 1)
    for name, place in PLACES.items():
        answer = await place(trial, good)
        trial.require(answer is None, f"{name} refuses a valid token: {answer}")
    cases = [*forgeries()]
    if trial.quick:
        milliseconds = [each for each in cases if "milliseconds" in each[0]]
        cases = [*dict.fromkeys([*milliseconds, *trial.random.sample(cases, len(cases) // 2)])]
    results = await trial.together(
        partial(_judge, trial, name, text, what) for what, text in cases for name in PLACES
    )
    trial.require(len(results) == len(cases) * len(PLACES), "tries are missing")


async def _judge(trial: Trial, place: str, text: str, what: str) -> None:
    answer = await PLACES[place](trial, text)
    trial.judge(answer is None, answer or "accepted", f"{what}, {place}")


async def _by_header(trial: Trial, text: str) -> str | None:
    """Return how the HTTP API refuses the token, None if it does not."""
    if any(each in text for each in "\r\n\0"):
        return "not sent"
    answer = await trial.http("GET", "/api/v1/notifications", text)
    return None if 200 <= answer.status < 400 else str(answer.status)


async def _by_query(trial: Trial, text: str) -> str | None:
    address = quote(text.encode("utf-8", "surrogatepass"), safe="%+=,")
    try:
        socket = await trial.socket(f"/notify?token={address}")
    except UpgradeRefused as error:
        return str(error.status)
    code = await socket.wait_closed(CLOSE_TIMEOUT_SECONDS if text != token("admin", 1) else 0.5)
    socket.abort()
    return None if code is None else str(code)


async def _by_frame(trial: Trial, text: str) -> str | None:
    """Return how a support socket refuses the token. A valid one is closed with 4403, for its role."""
    socket = await trial.support("user", text)
    code = await socket.wait_closed(CLOSE_TIMEOUT_SECONDS)
    socket.abort()
    return None if code in (None, 4403) else str(code)


PLACES = {"Authorization": _by_header, "/notify?token=": _by_query, "auth": _by_frame}

ATTACKS = [
    Attack("tokens", "forged, expired, foreign and malformed tokens, in headers, addresses and frames", run),
]
