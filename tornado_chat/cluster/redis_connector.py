"""Connections to Redis, made with redis-py, and descriptions of their errors.

The timeouts and retries of redis-py are off: the user of a connection limits the time of its commands, and
closes the connection at the first error.
"""

import os
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import hiredis
import redis.exceptions
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ReadOnlyError, RedisError

from tornado_chat import config
from tornado_chat.config.redis_url import RedisUrl, parse

CONNECTION_ERRORS = (RedisError, OSError)
"""All errors that the use of a connection may raise. ``TimeoutError`` is an ``OSError``."""


def pack_command(*command: str | bytes | int) -> bytes:
    """Encode a command in the protocol of Redis (RESP)."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # the stub is too narrow
    return packed


def needs_operator(error: BaseException) -> bool:
    """Return True if the error does not pass by itself when Redis is running again."""
    return isinstance(error, AuthenticationError | NoPermissionError)


class NotMasterError(RedisError):
    """The server that Sentinel named as the master is a replica."""


class RedisConnector:
    """Makes connections to the Redis of ``[cluster]``.

    :arg name: the name of the connections in CLIENT LIST.
    :arg timeout: seconds within which a Sentinel has to name the master.
    """

    def __init__(self, settings: config.Cluster, name: str, timeout: float) -> None:
        self.url = _with_password(parse(settings.url), settings.password_file)
        self._name = name
        self._timeout = timeout

    async def connect(self) -> AbstractConnection:
        """Return a new connection, to the master if the url names Sentinels.

        :raises: one of ``CONNECTION_ERRORS``.
        """
        url = self.url
        options = self._options(password=True)
        if url.path:
            connection: AbstractConnection = UnixDomainSocketConnection(path=url.path, **options)
        else:
            host, port = await self._discover_master() if url.service else url.hosts[0]
            kind = SSLConnection if url.tls else Connection
            connection = kind(host=host, port=port, socket_keepalive=True, **options)
        try:
            await connection.connect()
            if url.service:
                await connection.send_command("ROLE", check_health=False)
                if (await connection.read_response())[0] != b"master":
                    raise NotMasterError("it is a replica")
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    def _options(self, *, password: bool) -> dict[str, Any]:
        url = self.url
        options: dict[str, Any] = {
            "db": url.db,
            "protocol": 2,
            "client_name": self._name,
            "socket_timeout": None,
            "retry": Retry(NoBackoff(), 0),
        }
        if password:
            options |= {"username": url.user or None, "password": url.password or None}
        if url.tls:
            options |= {
                "ssl_ca_certs": url.ca or None,
                "ssl_certfile": url.cert or None,
                "ssl_keyfile": url.key or None,
            }
        return options

    async def _discover_master(self) -> tuple[str, int]:
        """Return host and port of the master, as the Sentinels name it.

        Most Sentinels need no password. If they refuse the connection without one, the password of Redis is
        tried.
        """
        try:
            return await self._ask_sentinels(password=False)
        except MasterNotFoundError as error:
            if not (self.url.password and "Authentication" in str(error)):
                raise
            return await self._ask_sentinels(password=True)

    async def _ask_sentinels(self, *, password: bool) -> tuple[str, int]:
        options = self._options(password=password) | {
            "db": 0,
            "socket_timeout": self._timeout,
            "ssl": self.url.tls,
        }
        sentinel = Sentinel(self.url.hosts, sentinel_kwargs=options)
        try:
            host, port = await sentinel.discover_master(self.url.service)
        finally:
            for each in sentinel.sentinels:
                await each.aclose()
        return host, port

    def describe_error(self, error: BaseException) -> str:
        """Return a description of ``error`` with advice, for logs and operators; without a password."""
        server = self.url.server
        match error:
            case NoPermissionError():
                return (
                    f"Redis at {server} refuses a command: {error}. "
                    "Check the ACL of the user in [cluster] url"
                )
            case AuthenticationError():
                return (
                    f"Redis at {server} refuses the login: {error}. "
                    "Check the password in [cluster] url or password_file"
                )
            case MasterNotFoundError():
                return (
                    f"the Sentinels {self.url.addresses} know no master for the service {self.url.service}: "
                    "Redis is down, or the service has another name"
                )
            case NotMasterError() | ReadOnlyError():
                return (
                    f"Redis at {server} is a replica and accepts no writes; "
                    "wait for a failover, or set [cluster] url to the master"
                )
            case TimeoutError() | redis.exceptions.TimeoutError():
                return f"Redis at {server} does not answer"
            case _:
                return f"Redis at {server} cannot be reached: {_system_message(error)}"


def _system_message(error: BaseException) -> str:
    """Return the message of the operating system, which is plainer than that of redis-py, if there is one."""
    os_error = error if isinstance(error, OSError) else error.__context__
    # The numbers of TLS errors are those of OpenSSL, not of the operating system.
    if isinstance(os_error, OSError) and not isinstance(os_error, ssl.SSLError) and os_error.errno:
        return os.strerror(os_error.errno)
    return str(error).rstrip(".") or type(error).__name__


def _with_password(url: RedisUrl, file: str) -> RedisUrl:
    if not file:
        return url
    return replace(url, password=Path(file).read_text().rstrip("\r\n"))
