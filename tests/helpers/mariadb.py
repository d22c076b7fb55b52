"""The MariaDB servers that the tests start: each has its own folder, port, socket and process id."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql

from tests.helpers.own_server import OwnServer, free_port
from tornado_chat import config
from tornado_chat.storage import schema
from tornado_chat.storage.database import open_database
from tornado_chat.storage.raw_sql import fetch_rows

SMALL_MEMORY_OPTIONS = [
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
    "--innodb-log-buffer-size=2M",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
    "--table-open-cache=400",
    "--innodb-stats-persistent=OFF",
]


class MariaDB(OwnServer):
    """One MariaDB server at a time; a test may restart it on the same data.

    :arg directory: an empty directory.
    :arg data: the result of ``make_data``, which is copied.
    :arg options: further options of mariadbd, such as ``--max-connections=20``.
    """

    TIMEOUT_SECONDS = 90.0

    def __init__(self, directory: Path, data: Path, *options: str) -> None:
        self.directory = directory
        shutil.copytree(data, directory / "data")
        self.port = free_port()
        # A short name: the path of a test's folder may be nearly as long as that of a socket can be.
        self.socket = str(directory / "s")
        self._options = [*SMALL_MEMORY_OPTIONS, *options]
        self._tables: list[str] = []
        self._count = 0

    def start(self) -> None:
        log = self.directory / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [
                    "mariadbd",
                    *_common_options(self.directory / "data"),
                    f"--socket={self.socket}",
                    f"--pid-file={self.directory / 'pid'}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    "--skip-name-resolve",
                    *self._options,
                ],
                stdout=file,
                stderr=file,
                env=_sbin_environment(),
            )
        until = time.monotonic() + self.TIMEOUT_SECONDS
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as attempt:
                    attempt.connect(self.socket)
                self.connect().close()
            except (OSError, pymysql.err.OperationalError):
                if self._process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(log.read_text()) from None
                time.sleep(0.02)
            else:
                return

    # --- databases and connections ---

    def url(self, name: str) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/{name}"

    @contextlib.contextmanager
    def database(self, *, migrated: bool = False) -> Iterator[str]:
        """Create a database, yield its name, and drop it at the end.

        :arg migrated: create the tables of tornado_chat in it.
        """
        if migrated and not self._tables:
            self._tables = list(self._schema_statements())
        self._count += 1
        name = f"test_{self._count}"
        self.run(
            f"CREATE DATABASE {name} CHARACTER SET latin1",  # the schema must not depend on the default
            f"USE {name}",
            "SET foreign_key_checks = 0",
            *(self._tables if migrated else ()),
        )
        yield name
        self.run(f"DROP DATABASE {name}")

    def _schema_statements(self) -> Iterator[str]:
        """Return the statements that create the migrated tables, for they take a tenth of the time."""
        with self.database() as name:
            database = open_database(config.Storage(url=self.url(name)))
            schema.upgrade(database)
            for table in database.get_tables():
                yield fetch_rows(database, f"SHOW CREATE TABLE {table}")[0][1]
            for done, _ in schema.migration_status(database):
                yield f"INSERT INTO {schema.HISTORY_TABLE} (name, applied) VALUES ('{done}', NOW())"
            database.close()

    def connect(self, **options: Any) -> "pymysql.connections.Connection[Any]":
        """Connect as the server's root user."""
        return pymysql.connect(
            **{
                "unix_socket": self.socket,
                "user": "root",
                "autocommit": True,
                "connect_timeout": 5,
                **options,
            }
        )

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Execute the statements and return the rows of the last one."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    @contextlib.contextmanager
    def session(self, database: str) -> Iterator["pymysql.cursors.Cursor"]:
        """Yield a cursor of a second connection in a transaction, which is rolled back at the end."""
        with contextlib.closing(self.connect(database=database)) as connection:
            connection.begin()
            with connection.cursor() as cursor:
                yield cursor


def make_data(directory: Path) -> Path:
    """Create the data directory of an empty server, for ``MariaDB`` to copy."""
    data = directory / "data"
    done = subprocess.run(
        [
            "mariadb-install-db",
            *_common_options(data),
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--force",
            "--innodb-log-file-size=16M",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=_sbin_environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return data


def _sbin_environment() -> dict[str, str]:
    """Return the environment with ``/usr/sbin`` on the PATH: Debian keeps servers there."""
    return {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}


def _common_options(data: Path) -> list[str]:
    # A server that starts removes the temporary tables in its tmpdir, also those of another server in /tmp.
    temporary = data.with_name("tmp")
    temporary.mkdir(exist_ok=True)
    user = ["--user=root"] if os.getuid() == 0 else []
    return ["--no-defaults", f"--datadir={data}", f"--tmpdir={temporary}", *user]
