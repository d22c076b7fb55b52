"""The server's own accounts: sign-in with name and password, sessions, and tokens for sessions.

A browser that is signed in has a cookie with a secret; the database has the hash of the secret. For the
cookie the server issues tokens with a lifetime of 15 minutes, which the rest of the server accepts like a
host's tokens. Each token names its session by that hash. When a session ends (signed out, password changed,
account disabled or removed), its tokens are refused at once, and the sockets that were opened with them are
closed within ``SWEEP_INTERVAL_SECONDS``.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from tornado_chat import config
from tornado_chat.aio.clock import now_seconds
from tornado_chat.aio.periodic import run_forever
from tornado_chat.core.errors import ChatError, Forbidden, TooFast, Unauthenticated
from tornado_chat.core.types import Activity, Identity, StaffAccount
from tornado_chat.domain.approval import TRAINEE_CLAIM
from tornado_chat.domain.groups import GROUPS_CLAIM
from tornado_chat.observability.logs import fields
from tornado_chat.services.auth.failed_sign_ins import FailedSignIns
from tornado_chat.services.auth.login_throttle import LoginThrottle
from tornado_chat.services.auth.passwords import Passwords
from tornado_chat.services.auth.tokens import mint_account_token
from tornado_chat.services.messaging.connections import ACCOUNT_SESSION_CLAIM, Connections
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import staff

log = logging.getLogger(__name__)

TOKEN_LIFETIME_SECONDS = 900.0
SWEEP_INTERVAL_SECONDS = 5.0  # seconds between two searches for sockets whose session has ended
TOUCH_INTERVAL_SECONDS = 120.0  # seconds between two records that the sessions of open sockets are in use
KEEP_EXPIRED_SECONDS = 86400.0
"""The time for which expired sessions are kept: an open conversation may outlive its session by that."""


class SignInResult(NamedTuple):
    """The result of a successful sign-in.

    :ivar secret: for the cookie of the session.
    :ivar device: for the cookie that marks a browser in which the account has signed in before.
    """

    account: StaffAccount
    secret: str
    device: str


class AccountToken(NamedTuple):
    """A token for an account.

    :ivar expires_in: seconds.
    """

    account: StaffAccount
    token: str
    expires_in: int


class Accounts:
    """Sign-in, sessions and tokens of accounts.

    :arg key: from ``derive_account_key``; None: accounts are switched off.
    :arg clock: seconds since 1970-01-01 UTC.
    :arg report_action: reports an action to the plugins.
    """

    def __init__(
        self,
        settings: config.Staff,
        auth: config.Auth,
        key: bytes | None,
        store: Store,
        connections: Connections,
        passwords: Passwords,
        login_throttle: LoginThrottle,
        clock: Callable[[], float] = now_seconds,
        report_action: Callable[[Activity], None] = lambda activity: None,
    ) -> None:
        self._settings = settings
        self._auth = auth
        self._key = key
        self._store = store
        self._connections = connections
        self._passwords = passwords
        self._login_throttle = login_throttle
        self._clock = clock
        self._report_action = report_action
        self._failed_sign_ins = FailedSignIns(self._report_failures, time.monotonic)
        self._touched_at = 0.0
        self._sweeper: asyncio.Task[None] | None = None

    def reconfigure(self, auth: config.Auth, key: bytes | None) -> None:
        """Use another key and other settings for tokens from now on."""
        self._auth = auth
        self._key = key

    # --- for browsers ---

    async def is_available(self) -> bool:
        """Return True if there are accounts, so that sign-in is possible."""
        if self._key is None:
            return False
        try:
            return await self._store.read(staff.has_accounts)
        except ChatError:
            return True  # the sign-in itself will report the problem

    async def sign_in(self, name: str, password: str, address: str, device: str | None) -> SignInResult:
        """Open a session.

        :arg device: of an earlier ``SignInResult``, from the browser's cookie.
        :raises Unauthenticated: ``wrong_password``, which may be the name as well.
        :raises Forbidden: the account is disabled, or all are.
        :raises TooFast: ``too_many_attempts``, with ``retry_after``.
        :raises Unavailable: the database does not answer, or too many sign in.
        """
        self._require_key()
        name = name.strip().lower()
        account, hash = await self._store.read(staff.find_account, name) or (None, None)
        known = hash is not None and device is not None and is_device_cookie(device, name, hash)
        try:
            attempt = self._login_throttle.begin(
                name, address, device if known else None, account is not None
            )
        except TooFast:
            self._count_failure(account)
            raise
        if not await self._passwords.matches(password, hash) or account is None or hash is None:
            # A name without an account may be a password in the wrong field, so it is not logged.
            named = {"name": account.name} if account else {}
            log.info("sign-in refused", extra=fields(reason="password", address=address, **named))
            self._count_failure(account)
            raise Unauthenticated("wrong_password")
        attempt.succeeded()
        if account.disabled:
            log.info("sign-in refused", extra=fields(reason="disabled", address=address, name=name))
            self._count_failure(account)
            raise Forbidden("account_disabled")
        if self._passwords.needs_rehash(hash):
            hash = await self._rehash(name, password, hash)
        secret = secrets.token_urlsafe(32)
        if not await self._open_session(name, hash, secret):
            raise Unauthenticated("wrong_password")  # the account has changed in this moment
        self._failed_sign_ins.report_rest(account)
        self._report_action(Activity(account.person.key, "signed in", detail=f"account {name}"))
        log.info("signed in", extra=fields(name=name, role=account.person.role, address=address))
        return SignInResult(account, secret, make_device_cookie(name, hash))

    async def find_account(self, secret: str | None) -> StaffAccount | None:
        """Return the account that is signed in with this cookie, or None."""
        found = await self._find_session(secret)
        return found[0] if found else None

    async def issue_token(self, secret: str | None) -> AccountToken:
        """Issue a token for the account that is signed in with this cookie.

        :raises Unauthenticated: ``signed_out``, the cookie has no session, or the session has ended.
        """
        key = self._require_key()
        found = await self._find_session(secret)
        if found is None or secret is None:
            raise Unauthenticated("signed_out")
        account, expires = found
        now = self._clock()
        session = _hash_secret(secret)
        await self._store.write(
            lambda tx: staff.touch_sessions(tx.database, [session], _to_microseconds(now))
        )
        lifetime = min(TOKEN_LIFETIME_SECONDS, expires / 1_000_000 - now)
        token = mint_account_token(
            self._auth,
            key,
            id=account.person.host_id,
            role=account.person.role,
            name=account.shown_name,
            lifetime=lifetime,
            now=now,
            extra_claims={
                ACCOUNT_SESSION_CLAIM: session,
                **({GROUPS_CLAIM: account.groups} if account.groups else {}),
                **({TRAINEE_CLAIM: True} if account.trainee else {}),
            },
        )
        return AccountToken(account, token, int(lifetime))

    async def sign_out(self, secret: str | None) -> None:
        """Close the session, and the sockets that it opened in this process."""
        if not secret:
            return
        key = _hash_secret(secret)
        account = await self._store.write(lambda tx: staff.close_session(tx.database, key))
        if account is not None:
            log.info("signed out", extra=fields(name=account.name))
        self._connections.close_session(key)

    # --- for the rest of the server ---

    async def require_session(self, identity: Identity) -> None:
        """Check that the session of the identity, if it has one, has not ended.

        :raises Unauthenticated: ``signed_out``, the session has ended.
        """
        key = identity.claims.get(ACCOUNT_SESSION_CLAIM)
        if key is not None and key not in await self._store.look_up(staff.existing_sessions, [str(key)]):
            raise Unauthenticated("signed_out")

    def start(self) -> None:
        self._sweeper = asyncio.get_running_loop().create_task(
            run_forever(self._sweep, "the search for ended sessions", SWEEP_INTERVAL_SECONDS)
        )

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait({self._sweeper})
        self._failed_sign_ins.report_all()
        self._passwords.close()

    async def close_ended_sessions(self) -> None:
        """Close the sockets of sessions that have ended, and record that the others are in use."""
        keys = [*self._connections.sessions()]
        if not keys:
            return
        existing = await self._store.read(staff.existing_sessions, keys)
        for key in keys:
            if key not in existing:
                self._connections.close_session(key)
        now = self._clock()
        interval = min(TOUCH_INTERVAL_SECONDS, self._settings.idle_timeout / 4)
        if existing and now - self._touched_at >= interval:
            self._touched_at = now
            await self._store.write(
                lambda tx: staff.touch_sessions(tx.database, [*existing], _to_microseconds(now))
            )

    async def _sweep(self) -> None:
        await asyncio.sleep(SWEEP_INTERVAL_SECONDS)
        self._failed_sign_ins.report_due()
        with suppress(ChatError):  # the database is away, which its writer logs
            await self.close_ended_sessions()

    # --- inside ---

    def _count_failure(self, account: StaffAccount | None) -> None:
        if account is not None:
            self._failed_sign_ins.add(account)

    def _report_failures(self, account: StaffAccount, failures: int) -> None:
        # The actor is unknown: the failure says that it was perhaps not the person of the account.
        count = "" if failures == 1 else f"{failures} times, "
        detail = f"{count}account {account.name} of {account.person.key}"
        self._report_action(Activity("-", "failed to sign in", detail=detail))

    def _require_key(self) -> bytes:
        if self._key is None:
            raise Forbidden("accounts_off")
        return self._key

    async def _find_session(self, secret: str | None) -> tuple[StaffAccount, int] | None:
        if self._key is None or not secret:
            return None
        now, idle = _to_microseconds(self._clock()), _to_microseconds(self._settings.idle_timeout)
        return await self._store.read(staff.session, _hash_secret(secret), now, idle)

    async def _rehash(self, name: str, password: str, old: str) -> str:
        new = await self._passwords.hash(password)
        await self._store.write(lambda tx: staff.rehash(tx.database, name, old, new))
        return new

    async def _open_session(self, name: str, hash: str, secret: str) -> bool:
        now = self._clock()
        expires, forget = now + self._settings.session_lifetime, now - KEEP_EXPIRED_SECONDS
        return await self._store.write(
            lambda tx: staff.open_session(
                tx.database,
                _hash_secret(secret),
                name,
                hash,
                _to_microseconds(now),
                _to_microseconds(expires),
                _to_microseconds(forget),
            )
        )


def make_device_cookie(name: str, hash: str) -> str:
    """Return a cookie for a browser in which ``name`` has signed in.

    It is signed with the password's hash as the key, so a new password invalidates it.
    """
    nonce = secrets.token_urlsafe(12)
    return f"{nonce}.{_device_signature(nonce, name, hash)}"


def is_device_cookie(device: str, name: str, hash: str) -> bool:
    """Return True if ``device`` is a cookie of ``make_device_cookie`` for ``name``."""
    nonce, _, signature = device.partition(".")
    expected = _device_signature(nonce, name, hash)
    return hmac.compare_digest(signature.encode(errors="replace"), expected.encode())


def _device_signature(nonce: str, name: str, hash: str) -> str:
    message = f"device:{name}:{nonce}".encode(errors="replace")
    return hmac.new(hash.encode(), message, "sha256").hexdigest()


def _hash_secret(secret: str) -> str:
    """Return the hash that is stored for a cookie. A secret of 256 random bits needs no slow hash."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _to_microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
