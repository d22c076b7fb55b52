"""The shared secret of the HS algorithms: its file, its creation, its required strength."""

import logging
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

import jwt
from jwt.algorithms import HMACAlgorithm

from tornado_chat import config
from tornado_chat.core.private_file import create_private_file

log = logging.getLogger(__name__)

HMAC_SECRET_BYTES: Mapping[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The algorithms with a shared secret, and its shortest length in bytes (RFC 7518 section 3.2)."""

MIN_SECRET_BYTES = 16
"""A shorter secret is refused."""

ADVICE = "make one with `openssl rand -base64 48`"


def load_secret(auth: config.Auth, state_dir: Path) -> bytes:
    """Return the shared secret of ``[auth] secret_file``, else of ``state_dir/secret``, created if missing.

    Processes that start at the same time get the same secret. ``[auth] secret_file`` may have any file mode
    (a container's secret is often readable by all users).

    :raises ValueError: the file cannot be read or created, the secret is too short, or the file in
        ``state_dir`` is readable by other users. The message says what to do.
    """
    is_generated = not auth.secret_file
    path = state_dir / "secret" if is_generated else Path(auth.secret_file)
    try:
        if is_generated and not path.exists():
            create_private_file(path, secrets.token_urlsafe(48) + "\n")
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read().rstrip(b"\r\n")
    except OSError as error:
        raise ValueError(f"the secret file {path} cannot be used: {error.strerror}") from error
    if is_generated and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"the secret file {path} is open to other users of this machine: chmod 600 {path}")
    require_strong(secret, f"the secret file {path}")
    _warn_if_short(secret, auth, path)
    return secret


def require_strong(secret: bytes, source: str) -> None:
    """Check the strength of ``secret``.

    :arg source: names the secret in the message, for example "the secret file /path".
    :raises ValueError: ``secret`` can be guessed, or is a public key.
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"{source} has {len(secret)} bytes and can be guessed: {ADVICE}")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError as error:
        raise ValueError(
            f"{source} is a public key, certificate or JWK, not a shared secret: {ADVICE}"
        ) from error


def _warn_if_short(secret: bytes, auth: config.Auth, path: Path) -> None:
    """Log a warning if the secret is shorter than the hash, as RFC 7518 section 3.2 requires.

    A host's shorter secret is accepted all the same, as the host may be unable to change it.
    """
    shared = filter(HMAC_SECRET_BYTES.__contains__, auth.algorithms)
    name = max(shared, key=HMAC_SECRET_BYTES.__getitem__, default="HS256")
    if len(secret) < HMAC_SECRET_BYTES[name]:
        log.warning(
            "the secret file %s has %d bytes, %s asks for %d: %s",
            path,
            len(secret),
            name,
            HMAC_SECRET_BYTES[name],
            ADVICE,
        )
