"""A MariaDB server of the tests' own: its folder, its port, its socket; ended by its own pid."""

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

from tests.own_server import OwnServer, free_port
from tornado_chat import config
from tornado_chat.storage import schema
from tornado_chat.storage.database import open_database

SMALL = [
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
    "--innodb-log-buffer-size=2M",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
    "--table-open-cache=400",
    "--innodb-stats-persistent=OFF",
]


class MariaDB(OwnServer):
    """One server at a time, started again as often as a test likes on the same data.

    :arg directory: an empty one.
    :arg data: as ``make_data`` has made it.
    :arg options: more of mariadbd's own, as ``--max-connections=20``.
    """

    PATIENCE = 90.0

    def __init__(self, directory: Path, data: Path, *options: str) -> None:
        self.directory = directory
        shutil.copytree(data, directory / "data")
        self.port = free_port()
        # A folder of a test may have a longer path than a socket can.
        self.socket = str(directory / "s")
        self._options = [*SMALL, *options]
        self._tables: list[str] = []
        self._count = 0

    def start(self) -> None:
        """Returns when it takes connections."""
        log = self.directory / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [
                    "mariadbd",
                    *_common(self.directory / "data"),
                    f"--socket={self.socket}",
                    f"--pid-file={self.directory / 'pid'}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    "--skip-name-resolve",
                    *self._options,
                ],
                stdout=file,
                stderr=file,
                env=_with_sbin(),
            )
        until = time.monotonic() + self.PATIENCE
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

    # --- inside it ---

    def url(self, name: str) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/{name}"

    @contextlib.contextmanager
    def database(self, *, migrated: bool = False) -> Iterator[str]:
        """The name of an empty one, or of one with our tables, which goes away in the end."""
        if migrated and not self._tables:
            self._tables = list(self._tables_of_ours())
        self._count += 1
        name = f"test_{self._count}"
        self.run(
            f"CREATE DATABASE {name} CHARACTER SET latin1",  # ours must not depend on it
            f"USE {name}",
            "SET foreign_key_checks = 0",
            *(self._tables if migrated else ()),
        )
        yield name
        self.run(f"DROP DATABASE {name}")

    def _tables_of_ours(self) -> Iterator[str]:
        """The statements that make them at once: migrating takes ten times as long."""
        with self.database() as name:
            database = open_database(config.Storage(url=self.url(name)))
            schema.upgrade(database)
            for table in database.get_tables():
                yield database.execute_sql(f"SHOW CREATE TABLE {table}").fetchone()[1]
            for done, _ in schema.migration_status(database):
                yield f"INSERT INTO {schema.HISTORY_TABLE} (name, applied) VALUES ('{done}', NOW())"
            database.close()

    def connect(self, **options: Any) -> "pymysql.connections.Connection[Any]":
        """As root of the server."""
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
        """Returns the rows of the last one."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    @contextlib.contextmanager
    def session(self, database: str) -> Iterator["pymysql.cursors.Cursor"]:
        """Somebody else's, with a transaction begun; it is undone in the end."""
        with contextlib.closing(self.connect(database=database)) as connection:
            connection.begin()
            with connection.cursor() as cursor:
                yield cursor


def make_data(directory: Path) -> Path:
    """The data of a server that has nothing in it yet, to be copied."""
    data = directory / "data"
    done = subprocess.run(
        [
            "mariadb-install-db",
            *_common(data),
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--force",
            "--innodb-log-file-size=16M",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=_with_sbin(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return data


def _with_sbin() -> dict[str, str]:
    """Debian keeps servers where only root looks."""
    return {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}


def _common(data: Path) -> list[str]:
    whose = ["--user=root"] if os.getuid() == 0 else []
    return ["--no-defaults", f"--datadir={data}", *whose]
