"""The shared secret of the HS algorithms: where it is kept, how it is made, what it must be."""

import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

import jwt
from jwt.algorithms import HMACAlgorithm

from tornado_chat import config

log = logging.getLogger(__name__)

HMAC_SECRET_BYTES: Mapping[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The algorithms with a shared secret, and how long it is at least (RFC 7518 section 3.2)."""

MIN_SECRET_BYTES = 16
"""A shorter secret is refused."""

ADVICE = "make one with `openssl rand -base64 48`"


def load_secret(auth: config.Auth, state_dir: Path) -> bytes:
    """The shared secret: of ``[auth] secret_file``, else of ``state_dir/secret``, made if missing.

    Processes that start at once agree on one. A file that we did not make may have the mode that
    its administrator gave it (a container's secret is often readable by all).

    :raises ValueError: the file cannot be read or made, the secret is too short for the configured
        algorithms, or the file in ``state_dir`` is open to others. The sentence is for a person, and
        says what to do.
    """
    is_generated = not auth.secret_file
    path = state_dir / "secret" if is_generated else Path(auth.secret_file)
    try:
        if is_generated and not path.exists():
            _make_secret(path)
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


def _make_secret(path: Path) -> None:
    """Write a new secret to ``path``, unless somebody else is quicker.

    It is written aside and linked: whoever sees ``path`` sees all of it, and the first link wins.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".secret-")  # O_EXCL, mode 0600
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
            if os.geteuid() == 0:  # a command, perhaps; the server is to read it
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)


def require_strong(secret: bytes, what: str) -> None:
    """:raises ValueError: ``secret`` can be guessed, or is a public key."""
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"{what} has {len(secret)} bytes and can be guessed: {ADVICE}")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError as error:
        raise ValueError(
            f"{what} is a public key, certificate or JWK, not a shared secret: {ADVICE}"
        ) from error


def _warn_if_short(secret: bytes, auth: config.Auth, path: Path) -> None:
    """RFC 7518 asks for as many bytes as the hash has. A host's shorter secret works all the same:
    it cannot be changed from here."""
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
