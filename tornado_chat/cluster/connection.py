"""Connections to Redis, by redis-py, and sentences for what goes wrong with them.

They have no timeouts and no retries of redis-py's own: who uses one watches the time, and ends it as soon as
anything is wrong with it.
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
"""All that using a connection may raise; TimeoutError is one of them."""


def pack_command(*command: str | bytes | int) -> bytes:
    """As Redis reads it."""
    done: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # theirs takes one word
    return done


class NotMasterError(RedisError):
    """Sentinel's master is one no more."""


class RedisConnector:
    """Makes connections to the Redis of ``[cluster]``.

    :arg name: what they are called in CLIENT LIST.
    :arg timeout: seconds to find out from one Sentinel who the master is.
    """

    def __init__(self, settings: config.Cluster, name: str, timeout: float) -> None:
        self.url = _with_password(parse(settings.url), settings.password_file)
        self._name = name
        self._timeout = timeout

    async def connect(self) -> AbstractConnection:
        """:raises: one of ``CONNECTION_ERRORS``."""
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
        """Where the Sentinels say that it is. Most of them ask for no password, some for Redis's own."""
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
        """What is wrong, and what to do, for logs and people; without a password."""
        server = self.url.server
        match error:
            case NoPermissionError():
                return f"Redis at {server} does not allow us enough: {error}. Look at its ACL for our user"
            case AuthenticationError():
                return (
                    f"Redis at {server} does not let us in: {error}. "
                    "Look at the password in [cluster] url or password_file"
                )
            case MasterNotFoundError():
                return f"no master is known: Redis {server} is away, or they do not know it by this name"
            case NotMasterError() | ReadOnlyError():
                return f"Redis at {server} is a replica and takes no commands; wait for a failover, or name the master"
            case TimeoutError() | redis.exceptions.TimeoutError():
                return f"Redis at {server} does not answer"
            case _:
                return f"Redis at {server} cannot be reached: {_system_message(error)}"


def _system_message(error: BaseException) -> str:
    """In the words of the system, which are plainer than redis-py's."""
    below = error if isinstance(error, OSError) else error.__context__
    # The numbers of a TLS error are OpenSSL's own.
    if isinstance(below, OSError) and not isinstance(below, ssl.SSLError) and below.errno:
        return os.strerror(below.errno)
    return str(error).rstrip(".") or type(error).__name__


def _with_password(url: RedisUrl, file: str) -> RedisUrl:
    if not file:
        return url
    return replace(url, password=Path(file).read_text().rstrip("\r\n"))
