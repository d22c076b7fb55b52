"""Verifying the tokens of the host system, and minting the server's own tokens.

Strategy: the unverified header of a token decides little. Its ``alg`` selects one of the configured
algorithms, and each of these is bound to its own key when the authenticator is built: the HS family to the
shared secret, the others to the public key or the issuer's key set. So a public key can never be used as a
secret, or the reverse (RFC 8725 section 3.1).

A verified token is cached by its digest: as long as its key is in use, only its times are checked again. Each
authenticator has its own cache, so new keys and other rules start with an empty one.

PyJWT parses the token and checks signature, issuer and audience. The claims with a time are checked here,
against the clock that is passed in.
"""

import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from jwt.algorithms import AllowedPublicKeys

from tornado_chat import config
from tornado_chat.aio.clock import now_seconds
from tornado_chat.core.errors import Unauthenticated
from tornado_chat.core.types import Grant, Identity, Person, Role
from tornado_chat.services.auth.claims import read_id, read_name, read_role
from tornado_chat.services.auth.grants import VerificationKey, key_fingerprint, make_grant, read_number
from tornado_chat.services.auth.jwks import PUBLIC_KEY_ALGORITHMS, KeySet, is_key_for, load_public_key
from tornado_chat.services.auth.secret import HMAC_SECRET_BYTES, load_secret, require_strong

log = logging.getLogger(__name__)

MAX_TOKEN_CHARS = 8192
"""The longest token that is read; longer ones are refused."""

ACCOUNT_KEY_ID = "tornado-chat"
"""``kid`` of the tokens that the server issues for its own accounts, which have a separate key."""

ACCOUNT_TOKEN_ALGORITHM = "HS256"  # noqa: S105 - the name of an algorithm

LATEST_TIME_SECONDS = 100 * 366 * 86400.0
"""The farthest time ahead in a claim. A time in milliseconds is thousands of years ahead."""

MAX_CACHED_TOKENS = 4096
"""The size of the cache of verified tokens; a page sends its token with each socket and each call."""


class _VerifiedToken(NamedTuple):
    """The grant of a verified token, valid as long as ``key`` is the key for its ``alg`` and ``kid``."""

    grant: Grant
    alg: str
    kid: str | None
    key: VerificationKey


class Authenticator:
    """Turns tokens (JWT, RFC 7519) into identities.

    :arg auth: the accepted algorithms, claims, issuer and audience.
    :arg secret: the shared secret of the HS algorithms, see ``load_secret``.
    :arg keys: the issuer's key set, if ``[auth] jwks_url`` is set.
    :arg account_key: the key of the tokens for the server's own accounts (``derive_account_key``); None:
        there are no accounts.
    :arg clock: seconds since 1970-01-01 UTC.
    :raises ValueError: some accepted algorithm has no key, a key has no algorithm, a key is too
        weak or cannot be read. The message is for the author of the configuration.
    """

    def __init__(
        self,
        auth: config.Auth,
        secret: bytes | None,
        keys: KeySet | None,
        clock: Callable[[], float] = now_seconds,
        account_key: bytes | None = None,
    ) -> None:
        self._auth = auth
        self._account_key = account_key
        self._keys_by_algorithm = _load_static_keys(auth, secret, keys)
        self._key_set = keys
        self._clock = clock
        self._claims_in_milliseconds: set[str] = set()  # those that the log tells of already
        # By the token's SHA-256 digest; the most recently used is the last.
        self._verified_tokens: dict[bytes, _VerifiedToken] = {}
        self._jwt = jwt.PyJWT(
            {
                # PyJWT would use its own clock: _check_times does these checks.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                # Hosts with integer ids put integers into these claims, although RFC 7519 demands strings.
                "verify_sub": False,
                "verify_jti": False,
                "verify_iss": bool(auth.issuer),
                "verify_aud": bool(auth.audience),
            }
        )

    @property
    def key_set(self) -> KeySet | None:
        return self._key_set

    def has_different_keys(self, other: "Authenticator") -> bool:
        """Return True if a token may be valid for one of the two authenticators and not for the other."""
        return self._keys_by_algorithm != other._keys_by_algorithm or self._key_set is not other._key_set

    def accepted_keys(self) -> frozenset[bytes] | None:
        """Return the fingerprints of all keys that verify tokens; None before the key set was fetched."""
        keys = {key_fingerprint(alg, key) for alg, key in self._keys_by_algorithm.items()}
        if self._account_key is not None:
            keys.add(key_fingerprint(ACCOUNT_TOKEN_ALGORITHM, self._account_key))
        if self._key_set is not None:
            published = self._key_set.keys()
            if published is None:
                return None
            keys.update(key_fingerprint(key.algorithm_name, key) for key in published)
        return frozenset(keys)

    async def verify(self, token: str | None) -> Identity:
        """Return the identity that ``token`` proves. Raises the errors of ``authenticate``."""
        return (await self.authenticate(token)).identity

    async def authenticate(self, token: str | None) -> Grant:
        """Return what ``token`` proves.

        Yields to the loop only when a key set has to be fetched.

        :raises Unauthenticated: ``token_missing`` (None or empty), ``token_expired``, or
            ``token_invalid`` with a ``reason`` that contains no part of the token.
        :raises Unavailable: ``keys_unavailable``, the issuer's key set cannot be fetched.
        """
        if not token:
            raise Unauthenticated("token_missing")
        if len(token) > MAX_TOKEN_CHARS:
            raise _invalid(f"it has more than {MAX_TOKEN_CHARS} characters")
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        known = self._verified_tokens.pop(digest, None)
        if known is not None and await self._find_key(known.alg, known.kid) is known.key:
            self._check_times(known.grant.identity.claims)
            self._verified_tokens[digest] = known  # moved to the end, as the most recently used
            return known.grant
        # The signature is checked against the alg and the key that the unverified header names, so
        # a forged header leads to a wrong signature.
        alg, kid = self._read_header(token)
        key = await self._find_key(alg, kid)
        claims = self._read_claims(token, alg, key)
        self._check_times(claims)
        grant = make_grant(self._identify(claims), key_fingerprint(alg, key))
        if len(self._verified_tokens) >= MAX_CACHED_TOKENS:
            del self._verified_tokens[next(iter(self._verified_tokens))]
        self._verified_tokens[digest] = _VerifiedToken(grant, alg, kid, key)
        return grant

    def _read_header(self, token: str) -> tuple[str, str | None]:
        """``alg`` and ``kid`` of the header, which is not verified yet."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise _invalid("it is not a well-formed JWT") from error
        if "crit" in header:
            # RFC 7515 section 4.1.11: extensions that must be understood. None is supported.
            raise _invalid("it depends on an extension that is not supported")
        alg, kid = header.get("alg"), header.get("kid")
        if self._is_account_key(kid):
            return ACCOUNT_TOKEN_ALGORITHM, kid  # PyJWT refuses a token whose header names another
        if alg not in self._auth.algorithms:
            raise _invalid("its algorithm is not one of those accepted")
        return alg, kid

    def _is_account_key(self, kid: str | None) -> bool:
        return self._account_key is not None and kid == ACCOUNT_KEY_ID

    async def _find_key(self, alg: str, kid: str | None) -> VerificationKey:
        if self._account_key is not None and self._is_account_key(kid):
            return self._account_key
        static = self._keys_by_algorithm.get(alg)
        if static is not None:
            return static
        if self._key_set is None:
            raise _invalid("there is no key for its algorithm")
        return await self._key_set.key(kid, alg)

    def _read_claims(self, token: str, alg: str, key: VerificationKey) -> Mapping[str, Any]:
        """The claims, once the signature, the issuer and the audience are right."""
        try:
            return self._jwt.decode(
                token,
                key,
                algorithms=[alg],
                issuer=self._auth.issuer or None,
                audience=self._auth.audience or None,
            )
        except jwt.InvalidSignatureError as error:
            raise _invalid("its signature is wrong") from error
        except jwt.InvalidIssuerError as error:
            raise _invalid("it comes from another issuer (iss)") from error
        except jwt.InvalidAudienceError as error:
            raise _invalid("it is meant for another audience (aud)") from error
        except jwt.MissingRequiredClaimError as error:
            raise _invalid(f"it has no {error.claim}") from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise _invalid("it is not a well-formed JWT") from error

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        """Check ``exp`` and ``nbf`` (RFC 7519 sections 4.1.4 and 4.1.5), with the configured leeway."""
        now, leeway = self._clock(), self._auth.leeway
        expires, begins = _numeric_date(claims, "exp"), _numeric_date(claims, "nbf")
        for claim, value in (("exp", expires), ("nbf", begins), ("iat", read_number(claims, "iat"))):
            if value is not None and value > now + LATEST_TIME_SECONDS:
                self._refuse_far_time(claim)
        if expires is None:
            if self._auth.require_exp:
                raise _invalid("it never expires (exp)")
        elif expires <= now - leeway:
            raise Unauthenticated("token_expired")
        if begins is not None and begins > now + leeway:
            raise _invalid("it is not valid yet (nbf)")

    def _refuse_far_time(self, claim: str) -> None:
        """Refuse a claim in milliseconds, which would be a token without an end. The first one is logged."""
        reason = f"{claim} is in seconds since 1970, and this one is more than 100 years ahead"
        if claim not in self._claims_in_milliseconds:
            self._claims_in_milliseconds.add(claim)
            log.warning(
                "tokens are refused: %s; does their issuer write milliseconds? Divide by 1000 there", reason
            )
        raise _invalid(reason)

    def _identify(self, claims: Mapping[str, Any]) -> Identity:
        auth = self._auth
        try:
            return Identity(
                Person(read_role(auth.role_claim, claims), read_id(auth.id_claim, claims)),
                read_name(auth.name_claim, claims),
                claims,
            )
        except ValueError as error:
            raise _invalid(str(error)) from error


def build_authenticator(
    auth: config.Auth,
    state_dir: Path,
    secret: bytes | None = None,
    account_key: bytes | None = None,
    previous: Authenticator | None = None,
) -> Authenticator:
    """Build the authenticator of this configuration, with its secret loaded (or created) and its key set.

    :arg secret: of ``load_secret``, if it is loaded already.
    :arg account_key: as in ``Authenticator``.
    :arg previous: the authenticator in use. Its key set is kept, with the known keys, if the URL is the same.
    :raises ValueError: as ``Authenticator``, ``KeySet`` and ``load_secret`` do.
    """
    shared = any(name in HMAC_SECRET_BYTES for name in auth.algorithms)
    if shared and secret is None:
        secret = load_secret(auth, state_dir)
    keys = KeySet(auth.jwks_url, auth.algorithms) if auth.jwks_url else None
    known = None if previous is None else previous.key_set
    if keys is not None and known is not None and keys.has_same_source(known):
        keys = known
        keys.expire()  # the reload may be meant for a key that the issuer has withdrawn
    return Authenticator(auth, secret if shared else None, keys, account_key=account_key)


def derive_account_key(secret: bytes) -> bytes:
    """Derive the key of the tokens for the server's own accounts from the secret of ``load_secret``.

    The keys differ, so a token for an account is never accepted as a host's token where the host uses public
    keys, nor the reverse.
    """
    return hmac.digest(secret, b"tornado-chat: tokens of the server's own accounts", "sha256")


def mint_token(
    auth: config.Auth,
    secret: bytes,
    *,
    id: int | str,
    role: Role,
    name: str | None,
    lifetime: float,
    now: float,
    extra_claims: Mapping[str, Any] | None = None,
) -> str:
    """Mint a token that ``Authenticator`` accepts, signed with the first configured HS algorithm.

    An integer ``id`` stays an integer in the claim, as host systems write it; in ``sub`` it becomes a
    string, as RFC 7519 section 4.1.2 demands.

    :arg lifetime: seconds.
    :arg now: seconds since 1970-01-01 UTC.
    :arg extra_claims: further claims.
    :raises ValueError: no HS algorithm is configured, the secret is too weak, or ``id`` is no valid id. The
        message is for a person.
    """
    algorithm = next((name for name in auth.algorithms if name in HMAC_SECRET_BYTES), None)
    if algorithm is None:
        raise ValueError(
            "tokens can be made only with a shared secret: [auth] algorithms has none of "
            f"{', '.join(HMAC_SECRET_BYTES)}, so let the issuer make them"
        )
    require_strong(secret, "the shared secret")
    claims = {**(extra_claims or {}), **_make_claims(auth, id, role, name, lifetime, now)}
    return jwt.encode(claims, secret, algorithm)


def mint_account_token(
    auth: config.Auth,
    key: bytes,
    *,
    id: int | str,
    role: Role,
    name: str | None,
    lifetime: float,
    now: float,
    extra_claims: Mapping[str, Any],
) -> str:
    """Mint a token for one of the server's own accounts, whatever algorithms the host's tokens have.

    :arg key: from ``derive_account_key``.
    :arg extra_claims: further claims.
    """
    claims = {**_make_claims(auth, id, role, name, lifetime, now), **extra_claims}
    return jwt.encode(claims, key, ACCOUNT_TOKEN_ALGORITHM, {"kid": ACCOUNT_KEY_ID})


def _make_claims(
    auth: config.Auth, id: int | str, role: Role, name: str | None, lifetime: float, now: float
) -> dict[str, Any]:
    claims: dict[str, Any] = {
        auth.id_claim: str(id) if auth.id_claim == "sub" else id,
        auth.role_claim: role.value,
        "iat": int(now),
        "exp": int(now + lifetime),
    }
    read_id(auth.id_claim, claims)
    if name is not None:
        claims[auth.name_claim] = name
    if auth.issuer:
        claims["iss"] = auth.issuer
    if auth.audience:
        claims["aud"] = auth.audience
    return claims


# Keys


def _load_static_keys(
    auth: config.Auth, secret: bytes | None, keys: KeySet | None
) -> Mapping[str, bytes | AllowedPublicKeys]:
    """Return the key of each accepted algorithm, except those whose keys come from the key set."""
    public = [name for name in auth.algorithms if name in PUBLIC_KEY_ALGORITHMS]
    shared = [name for name in auth.algorithms if name in HMAC_SECRET_BYTES]
    unknown = [
        name
        for name in auth.algorithms
        if name not in PUBLIC_KEY_ALGORITHMS and name not in HMAC_SECRET_BYTES
    ]
    if unknown or not auth.algorithms:
        raise ValueError(
            f"[auth] algorithms: {', '.join(unknown) or 'an empty list'} cannot be accepted; "
            f"choose from {', '.join([*HMAC_SECRET_BYTES, *PUBLIC_KEY_ALGORITHMS])}"
        )
    if auth.public_key_file and keys is not None:
        raise ValueError("[auth] has both public_key_file and jwks_url; leave one of them empty")
    if (auth.public_key_file or keys is not None) and not public:
        raise ValueError(
            f"[auth] algorithms: {', '.join(shared)} does not use the public key that is configured; "
            f"add the issuer's algorithm, one of {', '.join(PUBLIC_KEY_ALGORITHMS)}"
        )
    static: dict[str, bytes | AllowedPublicKeys] = {}
    if shared:
        if secret is None:
            raise ValueError(f"[auth] algorithms: {shared[0]} needs a shared secret")
        require_strong(secret, "the shared secret")
        static.update(dict.fromkeys(shared, secret))
    if auth.public_key_file:
        path = Path(auth.public_key_file)
        key = load_public_key(path)
        for name in public:
            if not is_key_for(key, name):
                raise ValueError(
                    f"[auth] algorithms: {name} needs {PUBLIC_KEY_ALGORITHMS[name]}, {path} has another"
                )
            static[name] = key
    elif public and keys is None:
        raise ValueError(f"[auth] algorithms: {public[0]} needs public_key_file or jwks_url")
    return static


def _numeric_date(claims: Mapping[str, Any], claim: str) -> float | None:
    """Return the claim in seconds since 1970 (RFC 7519 section 2); None if it is missing."""
    if claim not in claims:
        return None
    number = read_number(claims, claim)
    if number is None:
        raise _invalid(f"{claim} is not a number of seconds")
    return number


def _invalid(reason: str) -> Unauthenticated:
    return Unauthenticated("token_invalid", reason=reason)
