"""Passwords of accounts: which are taken, and their hashes.

Hashes are Argon2id's (RFC 9106, its second recommendation: 64 MiB for about 50 ms). That much work is
done in threads, in two at a time at most, so that many attempts at once wear out neither the loop nor the memory.
"""

import asyncio
import base64
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tornado_chat.core.errors import Unavailable

MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 1024
"""Characters. There is no other rule of what has to be in a password (NIST SP 800-63B section 3.1.1.2)."""

MIN_DISTINCT_CHARS = 4
"""Different characters that a password has at least."""

_COMMON_PASSWORDS = """
    0123456789 0987654321 1234567890 12345678910 123456789a 1q2w3e4r5t 1qaz2wsx3edc 9876543210 a123456789
    abc123456789 abcd123456 abcdefghij admin12345 admin123456 administrator asdfghjkl123 changeme123
    iloveyou123 letmein123 p@ssw0rd123 passw0rd123 password00 password01 password12 password123 password1234
    password12345 q1w2e3r4t5 qq123456789 qwerty1234 qwerty12345 qwerty123456 qwertyuiop tornado-chat
    tornado_chat tornadochat welcome123 woaini1314 woaini5201314 zxcvbnm123
"""
COMMON_PASSWORDS = frozenset(_COMMON_PASSWORDS.split())
"""Of those that are long enough, the ones that are tried first."""

THREADS = 2
MAX_WAITING_HASHES = 40
"""Hashes that may wait for a thread: a second or so of work."""

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""For passwords that somebody reads to somebody else: without 0 and o, 1, i and l."""


class WeakPassword(ValueError):
    """Why a password is not taken, in a sentence."""


def check_strength(password: str, *names: str | None) -> None:
    """:raises WeakPassword: ``password`` is too easy to guess, for one by ``names`` of its owner."""
    text = _normalize(password)
    if len(text) < MIN_PASSWORD_CHARS:
        raise WeakPassword(
            f"a password has at least {MIN_PASSWORD_CHARS} characters; a few words are easy to remember"
        )
    if len(text) > MAX_PASSWORD_CHARS:
        raise WeakPassword(f"a password has at most {MAX_PASSWORD_CHARS} characters")
    if text.casefold() in {_normalize(name).casefold() for name in names if name}:
        raise WeakPassword("the password is the name itself; take another one")
    if len(set(text.casefold())) < MIN_DISTINCT_CHARS:
        raise WeakPassword(
            f"the password has fewer than {MIN_DISTINCT_CHARS} different characters; take another one"
        )
    if text.casefold() in COMMON_PASSWORDS:
        raise WeakPassword("this is one of the passwords that everybody tries first; take another one")


def generate() -> str:
    """A strong password, as ``k3vd7-9xqmr-…``: 99 bits."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(4))


class Passwords:
    """Hashes and compares. :arg hasher: with the parameters of new hashes."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._dummy_hash = _make_dummy_hash(self._hasher)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self._waiting = 0

    async def matches(self, password: str, hash: str | None) -> bool:
        """Whether ``hash`` is of ``password``. It takes as long to say no for None, the hash of nobody.

        :raises Unavailable: too many are being compared.
        """
        if self._waiting >= MAX_WAITING_HASHES:
            raise Unavailable("overloaded")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            same = await loop.run_in_executor(self._pool, self._verify, hash or self._dummy_hash, password)
        finally:
            self._waiting -= 1
        return same and hash is not None

    def needs_rehash(self, hash: str) -> bool:
        """Whether ``hash`` was made with other parameters than new ones are."""
        return self._hasher.check_needs_rehash(hash)

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.hash_blocking, password)

    def hash_blocking(self, password: str) -> str:
        """The same for a command, which has no loop to keep running."""
        return self._hasher.hash(_normalize(password))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(hash, _normalize(password))
        except (VerificationError, InvalidHashError):
            return False


def _normalize(password: str) -> str:
    """The same characters however a keyboard composes them. A lone surrogate can be in no password."""
    return unicodedata.normalize("NFKC", password).encode(errors="replace").decode()


def _make_dummy_hash(hasher: PasswordHasher) -> str:
    """One that no password has, and that takes as long to compare as everybody's."""

    def random(length: int) -> str:
        return base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()

    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${random(hasher.salt_len)}${random(hasher.hash_len)}"
