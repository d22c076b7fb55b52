"""Passwords of accounts: the rules for new passwords, and the hashes.

The hashes are Argon2id (RFC 9106, its second recommendation: 64 MiB and about 50 ms each). They are computed
in at most two threads, so that many attempts at once block neither the loop nor exhaust the memory.
"""

import asyncio
import base64
import os
import secrets
import sys
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tornado_chat.core.errors import Unavailable

MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 1024
"""There is no rule about kinds of characters (NIST SP 800-63B section 3.1.1.2)."""

MIN_DISTINCT_CHARS = 4
"""The smallest number of different characters in a password."""

_COMMON_PASSWORDS = """
    0123456789 0987654321 1234567890 12345678910 123456789a 1q2w3e4r5t 1qaz2wsx3edc 9876543210 a123456789
    abc123456789 abcd123456 abcdefghij admin12345 admin123456 administrator asdfghjkl123 changeme123
    iloveyou123 letmein123 p@ssw0rd123 passw0rd123 password00 password01 password12 password123 password1234
    password12345 q1w2e3r4t5 qq123456789 qwerty1234 qwerty12345 qwerty123456 qwertyuiop tornado-chat
    tornado_chat tornadochat welcome123 woaini1314 woaini5201314 zxcvbnm123
"""
COMMON_PASSWORDS = frozenset(_COMMON_PASSWORDS.split())
"""The passwords of sufficient length that attackers try first."""

THREADS = 2
HASHING_NICENESS = 10  # the priority of these threads, see nice(2)
MAX_WAITING_HASHES = 40
"""Hashes that may wait for a thread: a second or so of work."""

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""For generated passwords, which may be read aloud: without 0 and o, 1, i and l."""


class WeakPassword(ValueError):
    """A password is refused. The message is a sentence for the user."""


def check_strength(password: str, *names: str | None) -> None:
    """Check a new password.

    :arg names: names of its owner, which are no passwords.
    :raises WeakPassword: ``password`` is too easy to guess.
    """
    text = _normalize(password)
    if len(text) < MIN_PASSWORD_CHARS:
        raise WeakPassword(
            f"a password has at least {MIN_PASSWORD_CHARS} characters; a few words are easy to remember"
        )
    if len(text) > MAX_PASSWORD_CHARS:
        raise WeakPassword(f"a password has at most {MAX_PASSWORD_CHARS} characters")
    if text.casefold() in {_normalize(name).casefold() for name in names if name}:
        raise WeakPassword("the password is the name itself; choose another password")
    if len(set(text.casefold())) < MIN_DISTINCT_CHARS:
        raise WeakPassword(
            f"the password has fewer than {MIN_DISTINCT_CHARS} different characters; choose another password"
        )
    if text.casefold() in COMMON_PASSWORDS:
        raise WeakPassword("this is one of the most common passwords; choose another password")


def generate() -> str:
    """Return a random password like ``k3vd7-9xqmr-…``, with 99 bits of entropy."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(4))


class Passwords:
    """Hashes and verifies passwords.

    :arg hasher: has the parameters of new hashes.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._dummy_hash = _make_dummy_hash(self._hasher)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="password", initializer=_lower_priority)
        self._waiting = 0

    async def matches(self, password: str, hash: str | None) -> bool:
        """Return True if ``hash`` is the hash of ``password``.

        For None (there is no such account) the answer is False and takes as long as any other.

        :raises Unavailable: too many comparisons are waiting.
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
        """Return True if ``hash`` was made with other parameters than those of new hashes."""
        return self._hasher.check_needs_rehash(hash)

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.hash_blocking, password)

    def hash_blocking(self, password: str) -> str:
        """Hash in the calling thread, for commands, which have no running loop."""
        return self._hasher.hash(_normalize(password))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(hash, _normalize(password))
        except (VerificationError, InvalidHashError):
            return False


def _lower_priority() -> None:
    """Let the calling thread, and those of the hash function, yield the processors to the event loop.

    Linux has a priority for each thread; elsewhere nothing is changed.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), HASHING_NICENESS)


def _normalize(password: str) -> str:
    """Return the same text however a keyboard composes its characters. Lone surrogates are replaced."""
    return unicodedata.normalize("NFKC", password).encode(errors="replace").decode()


def _make_dummy_hash(hasher: PasswordHasher) -> str:
    """Return a hash that no password has; to verify it takes as long as any other hash."""

    def random(length: int) -> str:
        return base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()

    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${random(hasher.salt_len)}${random(hasher.hash_len)}"
