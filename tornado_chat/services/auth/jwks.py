"""The public keys of the issuer: the algorithms that a key fits, the PEM file, the key set at a URL.

Strategy: a ``KeySet`` answers from memory as long as it can. It fetches the keys from the issuer when it has
none, when its keys are older than ``max_age``, and when a token names an unknown key (the issuer has rotated
its keys). An attacker could cause many fetches, so they are limited twice: callers share the running fetch,
and a fetch starts at least ``min_interval`` after the start of the one before, whatever its result was.

A failed fetch only sets a flag. While the flag is set, the known keys stay in use, and callers who need one
of them do not wait: the next fetches run in the background.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import AllowedPublicKeys
from tornado.httpclient import HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from tornado_chat.core.errors import Unauthenticated, Unavailable

log = logging.getLogger(__name__)

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The largest key set that is accepted."""

MIN_RSA_BITS = 2048
"""The shortest accepted RSA key (RFC 7518 section 3.3)."""

PUBLIC_KEY_ALGORITHMS: Mapping[str, str] = {
    "RS256": "an RSA key of at least 2048 bits",
    "RS384": "an RSA key of at least 2048 bits",
    "RS512": "an RSA key of at least 2048 bits",
    "ES256": "an EC key on the curve P-256",
    "ES384": "an EC key on the curve P-384",
    "ES512": "an EC key on the curve P-521",
    "EdDSA": "an Ed25519 or Ed448 key",
}
"""The algorithms that verify with a public key, and the key that each of them takes."""

CURVES: Mapping[str, type[ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
}


def is_key_for(key: object, algorithm: str) -> bool:
    """Return True if ``key`` is a public key that ``algorithm`` takes (RFC 7518 section 3, RFC 8037).

    A private key fits no algorithm: a server that only verifies must not have one.
    """
    if algorithm in CURVES:
        return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES[algorithm])
    if algorithm == "EdDSA":
        return isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    if algorithm in PUBLIC_KEY_ALGORITHMS:
        return isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS
    return False


def load_public_key(path: Path) -> AllowedPublicKeys:
    """The public key in a PEM file (``-----BEGIN PUBLIC KEY-----``, RFC 7468 section 13).

    :raises ValueError: it cannot be read, holds something else, or a key that no algorithm takes.
        The sentence is for a person, and says what to do.
    """
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise ValueError(f"the public key file {path} cannot be read: {error.strerror}") from error
    if b"PRIVATE KEY-----" in pem:
        raise ValueError(
            f"{path}: this is a private key; it must stay with the issuer. "
            f"`openssl pkey -in {path} -pubout` prints the public one"
        )
    if b"BEGIN CERTIFICATE-----" in pem:
        raise ValueError(
            f"{path}: this is a certificate; `openssl x509 -in {path} -noout -pubkey` prints its public key"
        )
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(
            f"{path}: this is not a public key in PEM form, which begins with -----BEGIN PUBLIC KEY-----"
        ) from error
    if not any(is_key_for(key, algorithm) for algorithm in PUBLIC_KEY_ALGORITHMS):
        kinds = ", ".join(dict.fromkeys(PUBLIC_KEY_ALGORITHMS.values()))
        raise ValueError(f"{path}: this key cannot be used; it has to be one of: {kinds}")
    return key  # type: ignore[return-value]  # is_key_for() has excluded the kinds beyond AllowedPublicKeys


class _JwkSet(msgspec.Struct):
    """A JWK Set (RFC 7517 section 5). Its members are parsed one by one, and invalid ones are skipped."""

    keys: list[Any]


class KeySet:
    """The keys that an issuer publishes at a URL (RFC 7517), fetched when they are needed.

    The URL is fetched directly, without a proxy; redirects are not followed. A key set belongs to
    the event loop of its first ``key()``.

    :arg url: an ``http`` or ``https`` URL. Its user and password are never logged.
    :arg algorithms: the accepted algorithms. Keys that fit none of them are ignored, and so are
        symmetric (``oct``) and private ones, and those published for another use than ``sig``.
    :arg max_age: seconds after which the keys are fetched again, and thus the longest that a
        withdrawn key is still trusted while the issuer can be reached.
    :arg min_interval: seconds between the starts of two fetches, at least.
    :arg timeout: seconds that a fetch may take.
    :arg clock: monotonic seconds.
    :raises ValueError: ``url`` is not an ``http`` or ``https`` URL.
    """

    def __init__(
        self,
        url: str,
        algorithms: Collection[str],
        *,
        max_age: float = 300.0,
        min_interval: float = 10.0,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._redacted_url = _redact_url(url)
        self._algorithms = [name for name in PUBLIC_KEY_ALGORITHMS if name in algorithms]
        self._max_age = max_age
        self._min_interval = min_interval
        self._timeout = timeout
        self._clock = clock
        self._keys: list[jwt.PyJWK] = []
        self._fetched_at: float | None = None
        self._fetch_started_at: float | None = None
        self._failing = False
        self._fetch_task: asyncio.Task[None] | None = None

    def has_same_source(self, other: "KeySet") -> bool:
        """Return True if ``other`` has the same URL and algorithms."""
        return (self._url, self._algorithms) == (other._url, other._algorithms)

    def keys(self) -> Sequence[jwt.PyJWK] | None:
        """Return the known keys; None before the first fetch."""
        return self._keys if self._fetched_at is not None else None

    def expire(self) -> None:
        """Fetch the keys again when the next caller, or ``refresh``, wants one."""
        if self._fetched_at is not None:
            self._fetched_at = -math.inf

    def refresh(self) -> None:
        """Fetch the keys in the background if they are too old."""
        if self._is_stale():
            self._get_or_start_fetch()

    async def key(self, kid: str | None, alg: str) -> jwt.PyJWK:
        """The key that verifies a token with this header, bound to ``alg``.

        Does not yield to the loop while the keys are fresh.

        :arg kid: the token's key id; None takes the only key that fits ``alg``.
        :raises Unauthenticated: ``token_invalid``, the issuer has no such key, or several.
        :raises Unavailable: ``keys_unavailable``, the key is not known and the issuer does not answer.
        """
        found = self._find(kid, alg)
        if not found or self._is_stale():
            fetch = self._get_or_start_fetch()
            if fetch is not None and not (found and self._failing):
                # Shielded: a caller that is cancelled must not cancel the fetch for the other callers.
                await asyncio.shield(fetch)
                found = self._find(kid, alg)
        if not found:
            if self._failing:
                raise Unavailable("keys_unavailable", retry_after=self._seconds_until_fetch())
            raise Unauthenticated("token_invalid", reason="its issuer publishes no key for it")
        if kid is None and len(found) > 1:
            raise Unauthenticated(
                "token_invalid", reason="it does not say (kid) which key of its issuer signed it"
            )
        return found[0]

    def _find(self, kid: str | None, alg: str) -> list[jwt.PyJWK]:
        return [key for key in self._keys if key.algorithm_name == alg and (kid is None or key.key_id == kid)]

    def _is_stale(self) -> bool:
        return self._fetched_at is None or self._clock() - self._fetched_at >= self._max_age

    def _get_or_start_fetch(self) -> asyncio.Task[None] | None:
        """Return the running fetch, or a new one; None if the last one started too recently."""
        if self._fetch_task is None:
            now = self._clock()
            if self._fetch_started_at is not None and now - self._fetch_started_at < self._min_interval:
                return None
            self._fetch_started_at = now
            self._fetch_task = asyncio.create_task(self._refresh(), name="jwks")
        return self._fetch_task

    def _seconds_until_fetch(self) -> int:
        """Return the whole seconds until the next fetch may start, at least 1."""
        if self._fetch_started_at is None:
            return 1
        return max(1, math.ceil(self._fetch_started_at + self._min_interval - self._clock()))

    async def _refresh(self) -> None:
        """Replace the keys, or set the flag. Raises nothing: many callers may wait for it, or none."""
        try:
            keys = usable_keys(await self._fetch(), self._algorithms)
        except Exception as error:  # the issuer's server may cause any error here
            self._on_fetch_failed(error)
        else:
            self._on_fetch_succeeded(keys)
        finally:
            self._fetch_task = None

    async def _fetch(self) -> bytes:
        # This client is used whatever AsyncHTTPClient is configured to, as only it limits the body. A
        # client per fetch costs little at this rate, and need not be closed when the server stops.
        client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=MAX_DOCUMENT_BYTES)
        try:
            response = await client.fetch(
                HTTPRequest(
                    self._url,
                    headers={"Accept": "application/jwk-set+json, application/json"},
                    connect_timeout=self._timeout,
                    request_timeout=self._timeout,
                    follow_redirects=False,
                    decompress_response=False,  # so a small response cannot expand in memory
                )
            )
        finally:
            client.close()
        return response.body

    def _on_fetch_succeeded(self, keys: list[jwt.PyJWK]) -> None:
        if self._failing:
            log.info("the key set %s answers again", self._redacted_url)
        if not keys and (self._keys or self._fetched_at is None):
            log.warning(
                "the key set %s has no key that fits [auth] algorithms: no token of its issuer is accepted",
                self._redacted_url,
            )
        self._keys = keys
        self._fetched_at = self._clock()
        self._failing = False

    def _on_fetch_failed(self, error: Exception) -> None:
        if not self._failing:
            log.warning(
                "the key set %s cannot be fetched: %s; %s",
                self._redacted_url,
                str(error) or type(error).__name__,
                "the known keys stay in use" if self._keys else "no token of its issuer can be checked",
            )
        self._failing = True


def usable_keys(document: bytes, algorithms: Collection[str]) -> list[jwt.PyJWK]:
    """Return the keys of a JWK Set that verify signatures, once for each of ``algorithms`` that they fit.

    Unknown members are skipped, as RFC 7517 section 5 requires.

    :raises msgspec.DecodeError: ``document`` is not a JWK Set.
    """
    members = msgspec.json.decode(document, type=_JwkSet).keys
    return [
        key
        for member in members
        if isinstance(member, dict) and _is_for_verifying(member)
        for algorithm in algorithms
        if (key := _parse(member, algorithm)) is not None
    ]


def _is_for_verifying(member: Mapping[str, Any]) -> bool:
    operations = member.get("key_ops", ["verify"])
    return member.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _parse(member: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    if member.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(member, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if is_key_for(key.key, algorithm) else None


def _redact_url(url: str) -> str:
    """Return ``url`` for the log: without user, password, query and fragment.

    :raises ValueError: ``url`` is not an http or https URL.
    """
    with contextlib.suppress(ValueError):  # the parser raises it for wrong brackets and ports
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    raise ValueError(
        "[auth] jwks_url is not an http or https URL; "
        "it looks like https://issuer.example.org/.well-known/jwks.json"
    )
