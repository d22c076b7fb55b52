"""Checks of a MySQL or MariaDB server; each fault or warning is a sentence that says what to do."""

import re
from collections.abc import Iterator

import peewee as pw

from tornado_chat.config.mysql_url import MysqlUrl
from tornado_chat.storage.mysql import MysqlDatabase, error_code

MIN_MARIADB_VERSION, MIN_MYSQL_VERSION = (10, 6), (8, 0, 17)
REQUIRED_PRIVILEGES = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "ALTER",
    "INDEX",
    "DROP",
    "REFERENCES",
)
STATEMENT_OVERHEAD_BYTES = 1024 * 1024
"""Largest size of a statement without the message in it."""


def explain(database: MysqlDatabase, error: Exception) -> str:
    """Return a sentence that tells the operator what ``error`` means and what to do."""
    url, code = database.url, error_code(error)
    if code == 1049:
        return f"there is no database {url.name} on {url.server}. {_create_advice(url)}"
    if code in (1044, 1142, 1143, 1227, 1370):
        return (
            f'the user "{url.user}" lacks privileges on the database {url.name}: {_driver_message(error)}. '
            f"{_grant_advice(url, _account_host(error, url))}"
        )
    if code in (1045, 1698):
        return (
            f'{url.server} rejects the user "{url.user}": {_driver_message(error)}. '
            "Look at [storage] password_file, and at the host from which the server sees the connection; "
            "the table mysql.user lists the accounts"
        )
    if code == 2026 or (code in (2002, 2003) and "ssl" in _driver_message(error).lower()):
        return (
            f"no safe connection to {url.server}: {_driver_message(error)}. "
            "Look at ssl-mode and ssl-ca in the url"
        )
    if code in (2002, 2003, 2005):
        return (
            f"{url.server} does not answer: {_driver_message(error)}. "
            "Check that the server is running and that this is its address"
        )
    if code == 1040:
        return (
            f"{url.server} accepts no more connections: {_driver_message(error)}. Raise max_connections there"
        )
    return _driver_message(error)


def find_faults(database: MysqlDatabase, frame_bytes: int) -> list[str]:
    """Return the reasons why this server cannot be used; empty if it can. Connects, and changes nothing.

    :arg frame_bytes: size of the largest message.
    """
    return list(_faults(database, frame_bytes))


def _faults(database: MysqlDatabase, frame_bytes: int) -> Iterator[str]:
    database.connect(reuse_if_open=True)
    version, oldest = (
        tuple(database.server_version),
        MIN_MARIADB_VERSION if database.mariadb else MIN_MYSQL_VERSION,
    )
    if version < oldest:
        name = "MariaDB" if database.mariadb else "MySQL"
        yield (
            f"{database.url.server} is {name} {_format_version(version)}; "
            f"{name} {_format_version(oldest)} or later is needed"
        )
        return
    missing = _missing_privileges(database)
    if missing:
        (account,) = database.execute_sql("SELECT CURRENT_USER()").fetchone()
        host = str(account).rpartition("@")[2]
        advice = _grant_advice(database.url, host)
        yield f'the user "{database.url.user}" lacks {", ".join(missing)}. {advice}'
    packet, log_bin, log_format = _global_variables(
        database, "max_allowed_packet", "log_bin", "binlog_format"
    )
    needed = (
        2 * frame_bytes + STATEMENT_OVERHEAD_BYTES
    )  # escaping doubles a message of quotes and backslashes
    if int(packet) < needed:
        yield (
            f"{database.url.server} accepts statements of {packet} bytes, and [limits] frame_bytes can need "
            f"{needed}: set max_allowed_packet = {needed} there, or choose a smaller frame_bytes"
        )
    if log_bin and log_format == "STATEMENT":
        yield (
            "binlog_format is STATEMENT, which does not support READ COMMITTED: "
            "set binlog_format = ROW on the server"
        )


def find_warnings(database: MysqlDatabase, durability: str) -> list[str]:
    """Return a warning for each server setting that guarantees less than ``[storage] durability``."""
    flush, log_bin, sync = _global_variables(
        database, "innodb_flush_log_at_trx_commit", "log_bin", "sync_binlog"
    )
    found = []
    if durability == "full" and int(flush) != 1:
        found.append(
            f"innodb_flush_log_at_trx_commit is {flush} on the database server, so a power cut may lose "
            "acknowledged messages: set it to 1 there, or durability = normal here"
        )
    # This concerns replicas only: MariaDB and MySQL bring their own tables in line with the binary log at
    # start.
    if durability == "full" and log_bin and int(sync) != 1:
        found.append(
            f"sync_binlog is {sync} on the database server, so replicas may lack messages that were "
            "acknowledged before a power cut: set it to 1 there, or durability = normal here"
        )
    return found


def _global_variables(database: MysqlDatabase, *variables: str) -> tuple[str, ...]:
    query = "SELECT " + ", ".join(f"@@GLOBAL.{name}" for name in variables)
    return tuple(database.execute_sql(query).fetchone())


def _missing_privileges(database: MysqlDatabase) -> list[str]:
    """Return the privileges that the user lacks.

    The list is empty if the user has a role: users cannot read the privileges that a role grants.
    """
    rows = database.execute_sql(
        "SELECT privilege_type FROM information_schema.user_privileges "
        "UNION SELECT privilege_type FROM information_schema.schema_privileges "
        "WHERE DATABASE() LIKE table_schema"
    )
    granted = {privilege for (privilege,) in rows.fetchall()}
    role = database.execute_sql("SELECT CURRENT_ROLE()").fetchone()[0]
    if role not in (None, "NONE"):
        return []
    return [privilege for privilege in REQUIRED_PRIVILEGES if privilege not in granted]


def _create_advice(url: MysqlUrl) -> str:
    create = f"CREATE DATABASE `{url.name}` CHARACTER SET utf8mb4; "
    return f"Run as root of that server: {create}{_grant_statement(url, _default_account_host(url))}"


def _grant_advice(url: MysqlUrl, host: str) -> str:
    return f"Run as root of that server: {_grant_statement(url, host)}"


def _grant_statement(url: MysqlUrl, host: str) -> str:
    return f"GRANT {', '.join(REQUIRED_PRIVILEGES)} ON `{url.name}`.* TO '{url.user}'@'{host}';"


def _default_account_host(url: MysqlUrl) -> str:
    return "localhost" if not url.host or url.host in ("localhost", "127.0.0.1", "::1") else "%"


def _account_host(error: Exception, url: MysqlUrl) -> str:
    """Return the host of the account that the server refused: its message names 'user'@'host'."""
    found = re.search(r"'@'([^']+)'", _driver_message(error))
    return found[1] if found else _default_account_host(url)


def _driver_message(error: Exception) -> str:
    """Return the driver's message without the error number."""
    original: object = error
    while (
        isinstance(original, pw.PeeweeException) and original.args and isinstance(original.args[0], Exception)
    ):
        original = original.args[0]
    args: tuple[object, ...] = getattr(original, "args", ())
    text = str(args[1]) if len(args) > 1 else str(original)
    return re.sub(r"\s+", " ", text).strip().rstrip(".")


def _format_version(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
