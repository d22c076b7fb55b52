"""MySQL and MariaDB: connections with the settings that this server needs, and the kinds of their errors.

Every session reads committed rows (READ COMMITTED), refuses values that do not fit (strict mode), and
waits for locks, answers and the server for a bounded time. Tables are InnoDB and compare text byte
by byte, as SQLite does: ids that differ in case, accents or spaces are different people.
"""

import contextlib
import ssl
import threading
import time
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import peewee as pw

from tornado_chat import config
from tornado_chat.config import mysql_url
from tornado_chat.config.mysql_url import MysqlUrl

CONNECT_TIMEOUT_SECONDS = 5.0
# How long to wait for the result of a statement; more than LOCK_WAIT_SECONDS, whose end produces a result.
STATEMENT_TIMEOUT_SECONDS = 12.0
LOCK_WAIT_SECONDS = 5  # for a row's or a table's lock
IDLE_TRANSACTION_SECONDS = 10  # after this time MariaDB ends an idle transaction and frees its locks
# A connection that was idle for longer is replaced: a firewall or proxy in between may have dropped it.
MAX_IDLE_CONNECTION_SECONDS = 60.0

SQL_MODE = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO"
CLIENT_FOUND_ROWS = 2
"""Protocol flag: an UPDATE counts the rows that it matches, also unchanged ones, as SQLite does."""

MAX_PACKET_BYTES = 1024 * 1024 * 1024
"""Limit of the driver for one packet; the server's own limit is the effective one."""

LOCK_TIMEOUT_ERROR = 1205  # ER_LOCK_WAIT_TIMEOUT


class MissingDriver(pw.ImproperlyConfigured):
    """The database's driver is not installed. The argument is a sentence that says how to install it."""


class ErrorKind(Enum):
    """The kind of a database error."""

    LOST = "the connection is lost, and it is unknown how far the server got"
    AWAY = "the server accepts no writes now; another server may take over, or the same one recover"
    LOCKED = "another transaction holds a lock that the work needs"
    COLLISION = "deadlock: this transaction was rolled back so that the other one could continue"
    RACE = "duplicate key: another transaction inserted the row after this one had looked for it"
    WORK = "the work itself fails"


_CODES_BY_KIND = {
    ErrorKind.LOST: (1053, 1079, 1080, 1152, *range(1154, 1162), 1184, 1317, 1927, 3169, 4031),
    # Too many connections; a read-only server; access or database withdrawn while an operator works on them;
    # a node of a cluster that is not ready, or rolled back a commit that the other nodes rejected.
    ErrorKind.AWAY: (1040, 1044, 1045, 1047, 1049, 1129, 1203, 1223, 1226, 1290, 1792, 1836, 3100, 3101),
    ErrorKind.LOCKED: (LOCK_TIMEOUT_ERROR, 3572),
    ErrorKind.COLLISION: (1020, 1213, 3058),
    ErrorKind.RACE: (1062,),
}
_KIND_BY_CODE = {code: kind for kind, codes in _CODES_BY_KIND.items() for code in codes}
_CLIENT_ERRORS = range(2000, 3000)


def classify_error(error: BaseException) -> ErrorKind:
    """Return the kind of an error; an error that is not of the database or driver is of kind ``WORK``."""
    code = error_code(error)
    if code is None:
        return ErrorKind.WORK
    if code == 0 or code in _CLIENT_ERRORS:  # 0: the driver's own error for a connection that is closed
        return ErrorKind.LOST
    return _KIND_BY_CODE.get(code, ErrorKind.WORK)


def error_code(error: BaseException) -> int | None:
    """Return the number of a server's or driver's error, wrapped by Peewee or not."""
    if not (error.args and type(error).__module__.partition(".")[0] in ("peewee", "pymysql")):
        return None
    first = error.args[0]
    if isinstance(first, BaseException):
        return error_code(first)
    return first if isinstance(first, int) else None


class StatementRecorder(Protocol):
    """Executes the statements of a migration and records them; see ``storage/migration_steps.py``."""

    def execute(self, sql: str, params: Any) -> Any: ...


class _LastUse(threading.local):
    at = 0.0


class MysqlDatabase(pw.MySQLDatabase):
    """Peewee's database with the settings of this module. It has one connection per thread."""

    # TEXT ends at 64 KiB.
    field_types = {**pw.MySQLDatabase.field_types, "TEXT": "LONGTEXT"}

    def __init__(self, url: MysqlUrl, **options: Any) -> None:
        super().__init__(url.name, **options)
        self.url = url
        self.recorder: StatementRecorder | None = None
        self._collation = ""
        self._last_use = _LastUse()

    def _set_server_version(self, conn: Any) -> None:
        super()._set_server_version(conn)  # type: ignore[misc]  # absent from the stubs
        self.mariadb = "mariadb" in str(conn.get_server_info()).lower()
        # Both collations compare byte by byte and do not pad: "7" and "7 " are two people.
        self._collation = "utf8mb4_nopad_bin" if self.mariadb else "utf8mb4_0900_bin"

    def _initialize_connection(self, conn: Any) -> None:
        settings = {
            "sql_mode": f"'{SQL_MODE}'",
            "time_zone": "'+00:00'",
            "innodb_lock_wait_timeout": LOCK_WAIT_SECONDS,
            "lock_wait_timeout": LOCK_WAIT_SECONDS,
        }
        if self.mariadb:
            settings["idle_write_transaction_timeout"] = IDLE_TRANSACTION_SECONDS
        with conn.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute(
                f"SET SESSION {', '.join(f'{name} = {value}' for name, value in settings.items())}"
            )

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        if self.recorder is not None and not sql.lstrip().upper().startswith(("SELECT", "SHOW", "DESCRIBE")):
            return self.recorder.execute(sql, params)
        return self.run_sql(sql, params)

    def run_sql(self, sql: str, params: Any = None) -> Any:
        """Execute a statement without the recorder."""
        if sql.startswith("CREATE TABLE"):
            self.connection()  # type: ignore[no-untyped-call]  # connecting sets ``_collation``
            sql = f"{sql} ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={self._collation}"
        return super().execute_sql(sql, params)  # type: ignore[no-untyped-call]

    # --- stale connections ---

    def drop_if_stale(self) -> None:
        """Drop this thread's connection if it was not used for ``MAX_IDLE_CONNECTION_SECONDS``."""
        now = time.monotonic()
        if not self.is_closed() and now - self._last_use.at > MAX_IDLE_CONNECTION_SECONDS:
            self.drop_connection()
        self._last_use.at = now

    def _close(self, conn: Any) -> None:
        with contextlib.suppress(Exception):  # the connection may be lost already
            conn.close()

    def drop_connection(self) -> None:
        """Drop this thread's connection, regardless of its state."""
        state: Any = self._state  # type: ignore[attr-defined]  # the thread's own; absent from the stubs
        connection = state.conn
        state.reset()
        if connection is not None:
            self._close(connection)


def open_mysql(storage: config.Storage, *, without_timeout: bool) -> MysqlDatabase:
    """Return the database, not connected yet.

    :arg without_timeout: wait for the result of a statement without a time limit.
    :raises OSError: the password file cannot be read, or a TLS file is not valid.
    :raises MissingDriver: PyMySQL is not installed.
    """
    try:
        import pymysql  # noqa: F401 - Peewee uses it if it is installed
    except ImportError:
        raise MissingDriver("MySQL needs the driver PyMySQL: pip install 'tornado_chat[mysql]'") from None
    url = mysql_url.parse(storage.url)
    options: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "read_timeout": None if without_timeout else STATEMENT_TIMEOUT_SECONDS,
        "write_timeout": None if without_timeout else STATEMENT_TIMEOUT_SECONDS,
        "client_flag": CLIENT_FOUND_ROWS,
        "max_allowed_packet": MAX_PACKET_BYTES,
        "program_name": "tornado_chat",
    }
    for name, value in {
        "user": url.user,
        "host": url.host,
        "unix_socket": url.socket,
        "read_default_file": url.option_file,
    }.items():
        if value:
            options[name] = value
    if url.host:
        options["port"] = url.port
    if storage.password_file:
        # Bytes: the driver would encode a str as Latin-1.
        options["password"] = Path(storage.password_file).read_bytes().rstrip(b"\r\n")
    if url.tls == "disabled":
        options["ssl_disabled"] = True
    else:
        options["ssl"] = _tls(url)
    return MysqlDatabase(url, **options)


def _tls(url: MysqlUrl) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=url.ca or None)
        if url.cert:
            context.load_cert_chain(url.cert, url.key)
    except ssl.SSLError as error:
        raise OSError(f"one of the files of ssl-ca, ssl-cert and ssl-key is not valid: {error}") from error
    context.check_hostname = url.tls == "verify-identity"
    if url.tls == "required":
        context.verify_mode = ssl.CERT_NONE
    return context
