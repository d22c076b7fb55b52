"""What ends a token besides its signature: its times, and the fingerprint of its key."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import AllowedPublicKeys

from tornado_chat.core.types import Claims, Grant, Identity

VerificationKey = bytes | AllowedPublicKeys | jwt.PyJWK


def make_grant(identity: Identity, key: bytes | None = None) -> Grant:
    """Return the grant of an identity; claims with a time that is no number count as missing.

    :arg key: as in ``Grant``.
    """
    expires = read_number(identity.claims, "exp")
    issued = read_number(identity.claims, "iat")
    identity = msgspec.structs.replace(identity, claims=Claims(identity.claims))
    return Grant(identity, math.inf if expires is None else expires, issued, key)


def key_fingerprint(alg: str, key: VerificationKey) -> bytes:
    """Return eight bytes that tell keys apart, also the same key with another algorithm."""
    if not isinstance(key, bytes):
        public: AllowedPublicKeys = key.key if isinstance(key, jwt.PyJWK) else key
        key = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(alg.encode() + b"\0" + key).digest()[:8]


def read_number(claims: Mapping[str, Any], claim: str) -> float | None:
    """Return a claim that is a number; None if it is missing or something else."""
    value = claims.get(claim)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # Python's JSON parser accepts NaN, which compares as neither early nor late.
    return value if isinstance(value, float) and math.isfinite(value) else None
