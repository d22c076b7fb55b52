"""The end of sockets whose token has ended: it has expired, or its key is not accepted any more.

Strategy: one sweep over the grants of all open sockets, so that an idle socket needs no timer. Tokens that
were revoked are closed by ``revocations.py``, ended sessions of accounts by ``accounts.py``.

A client that a plugin knows by the request of its handshake has no token that it could renew: after the end
of its grant the plugins are asked again.
"""

import asyncio
from collections.abc import Callable

from tornado_chat import config
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.aio.clock import now_seconds
from tornado_chat.aio.periodic import PeriodicTimer
from tornado_chat.core.close_codes import KEY_DROPPED, SIGNED_OUT, TOKEN_EXPIRED
from tornado_chat.core.errors import ChatError, Forbidden, Unauthenticated
from tornado_chat.core.requests import Request
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.messaging.connections import Connections, SocketGrant, SocketStream

MAX_SWEEP_SECONDS = 5.0  # seconds between two sweeps
MIN_SWEEP_SECONDS = 0.25
ASK_AGAIN_SECONDS = 30.0  # seconds between two questions to plugins about the same socket
MAX_QUESTIONS = 20  # at the same time


def has_expired(grant: SocketGrant, settings: config.Auth, now: float) -> bool:
    """Return True if the socket of ``grant`` must be closed.

    The grace begins anew when the conversation of the client ends, so that the client can still rate it.

    :arg now: seconds since 1970.
    """
    if now < grant.expires:
        return False
    if grant.is_engaged:
        grant.engaged = now
        limit = settings.longest_socket
        return limit > 0 and now >= max(grant.expires + _grace(settings), grant.opened + limit)
    return now >= max(grant.expires, grant.engaged) + _grace(settings)


def _grace(settings: config.Auth) -> float:
    # A token is still accepted within the leeway, and must not be refused by the next sweep.
    return max(settings.expiry_grace, settings.leeway)


class SocketExpiry:
    """Closes the sockets of this process whose token has ended.

    :arg clock: seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        settings: config.Auth,
        connections: Connections,
        access_control: AccessControl,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = now_seconds,
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._access_control = access_control
        self._clock = clock
        self._tasks = BackgroundTasks(loop)
        self._free_questions = asyncio.Semaphore(MAX_QUESTIONS)
        self._timer = PeriodicTimer(
            loop, self._sweep_interval, self._run, "the search for sockets whose token has ended"
        )

    def start(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def reconfigure(self, settings: config.Auth) -> None:
        """Use other settings from now on, for the open sockets too."""
        self._settings = settings
        if self._timer.is_running:
            self._timer.start()

    def _sweep_interval(self) -> float:
        return min(MAX_SWEEP_SECONDS, max(MIN_SWEEP_SECONDS, self._settings.expiry_grace / 12))

    def sweep(self) -> None:
        """Close the sockets whose token has ended."""
        settings, now = self._settings, self._clock()
        grants = self._connections.grants
        # Plain comprehensions first: this goes through all sockets of the process.
        expired = [stream for stream, grant in grants.items() if grant.expires <= now]
        for socket_stream in expired:
            grant = grants[socket_stream]
            if grant.request is not None and grant.ask_again <= now:
                grant.ask_again = now + ASK_AGAIN_SECONDS
                self._tasks.spawn(self._ask_again(socket_stream, grant.request))
            elif has_expired(grant, settings, now):
                socket_stream.close(*TOKEN_EXPIRED)
        accepted = self._access_control.authenticator.accepted_keys()
        if accepted is not None:
            dropped = {grant.key for grant in grants.values()} - accepted - {None}
            if dropped:
                self._connections.close_where(KEY_DROPPED, lambda grant: grant.key in dropped)

    async def _ask_again(self, socket_stream: SocketStream, request: Request) -> None:
        """Ask the plugins about a socket whose grant has ended; it ends as usual if there is no newer one."""
        async with self._free_questions:
            if socket_stream.closed:
                return
            try:
                newer = await self._access_control.ask_again(request)
                if newer is not None and newer.expires > self._clock():
                    self._connections.renew(socket_stream, newer, request)
            except (Unauthenticated, Forbidden):  # refused, or the session is another person's by now
                socket_stream.close(*SIGNED_OUT)
            except ChatError:
                pass  # a plugin failed, which is counted; the question comes again

    def _run(self, late: float) -> None:
        key_set = self._access_control.authenticator.key_set
        if key_set is not None and len(self._connections):
            key_set.refresh()  # without it, a withdrawn key would be noticed at the next sign-in
        self.sweep()
