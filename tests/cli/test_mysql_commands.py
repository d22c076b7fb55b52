"""What an operator sees who sets a MySQL server up and has not got everything right yet."""

import datetime
import gc
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.mariadb import MariaDB
from tornado_chat import config
from tornado_chat.cli import main
from tornado_chat.storage import mysql_checks, schema

NAMES = sorted(path.stem for path in schema.MIGRATIONS.glob("0*.py"))
ALL = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, REFERENCES"

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(config, "ETC_DIR", tmp_path / "etc")
    for name in ("TORNADO_CHAT_CONFIG", "STATE_DIRECTORY", "XDG_STATE_HOME", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(command: str, url: str, *options: str) -> Result:
        arguments = [word for option in (f"url={url}", *options) for word in ("--set", f"storage.{option}")]
        result = CliRunner().invoke(main, [*command.split(), *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def name(mariadb: MariaDB) -> Iterator[str]:
    """Of an empty database."""
    with mariadb.database() as name:
        yield name


@pytest.fixture
def user(mariadb: MariaDB, name: str) -> Iterator[str]:
    """Somebody with a password who may do nothing yet."""
    mariadb.run("CREATE USER 'chat'@'127.0.0.1' IDENTIFIED BY 'it''s größer'")
    yield f"mysql://chat@127.0.0.1:{mariadb.port}/{name}"
    mariadb.run("DROP USER 'chat'@'127.0.0.1'")


@pytest.fixture
def password(tmp_path: Path) -> str:
    (tmp_path / "password").write_text("it's größer\n")
    return f"password_file={tmp_path / 'password'}"


def test_from_an_empty_database_to_an_up_to_date_one(
    run: Run, mariadb: MariaDB, name: str, user: str, password: str
) -> None:
    mariadb.run(f"GRANT {ALL} ON `{name}`.* TO 'chat'@'127.0.0.1'")
    checked = run("check-config", user, password, "durability=normal")
    assert (checked.exit_code, checked.stdout.splitlines()[0]) == (0, "configuration OK"), checked.output
    missing = "".join(f"{each}  missing\n" for each in NAMES)
    lacks = f"{user} lacks {len(NAMES)}: make a backup, then run `tornado-chat db upgrade`\n"
    said = run("db status", user, password).stdout
    assert said.startswith(missing)
    assert said.endswith(lacks)
    applied = "".join(f"{each}  applied\n" for each in NAMES)
    assert run("db upgrade", user, password).stdout == f"{applied}{user} is up to date\n"
    said = run("db status", user, password).stdout
    assert said.startswith(applied)
    assert said.endswith(f"{user} is up to date\n")


@pytest.mark.parametrize("command", ["check-config", "db status", "db upgrade"])
def test_what_is_wrong_is_said_with_what_to_do(
    run: Run, mariadb: MariaDB, name: str, user: str, password: str, command: str, tmp_path: Path
) -> None:
    def error(url: str, *options: str) -> str:
        result = run(command, url, *options)
        assert result.exit_code == 1
        return re.sub(r"\s+", " ", result.stderr)

    server = f"127.0.0.1:{mariadb.port}"
    assert "Look at [storage] password_file" in error(user)
    (tmp_path / "wrong").write_text("wrong")
    assert "Look at [storage] password_file" in error(user, f"password_file={tmp_path / 'wrong'}")

    grant = f"GRANT {ALL} ON `{name}`.* TO 'chat'@'127.0.0.1';"
    assert grant in error(user, password)
    absent = f"mysql://root@{server}/absent"
    said = error(absent)
    assert f"there is no database absent on {server}" in said
    assert "CREATE DATABASE `absent` CHARACTER SET utf8mb4; GRANT" in said

    nobody = error("mysql://root@127.0.0.1:1/x")
    assert "127.0.0.1:1 does not answer" in nobody
    assert "Check that the server is running" in nobody


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_unix_socket_that_is_not_there(run: Run) -> None:
    said = run("db status", "mysql://root@/x?socket=/nowhere").stderr
    assert "/nowhere does not answer" in said
    gc.collect()  # the driver leaves the socket that it could not connect


def test_a_right_that_is_missing_is_named(
    run: Run, mariadb: MariaDB, name: str, user: str, password: str
) -> None:
    mariadb.run(f"GRANT SELECT, INSERT, CREATE ON `{name}`.* TO 'chat'@'127.0.0.1'")
    for command in ("check-config", "db upgrade"):
        said = run(command, user, password).stderr
        assert "lacks UPDATE, DELETE, ALTER, INDEX, DROP, REFERENCES" in said
        assert "GRANT" in said


def test_settings_of_the_server_that_forbid_its_use(
    run: Run, mariadb: MariaDB, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = mariadb.url(name)
    before = mariadb.run("SELECT @@max_allowed_packet")[0][0]
    mariadb.run("SET GLOBAL max_allowed_packet = 1048576")
    try:
        assert "set max_allowed_packet = 1179648 there" in run("check-config", url).stderr
    finally:
        mariadb.run(f"SET GLOBAL max_allowed_packet = {before}")
    monkeypatch.setattr(mysql_checks, "MIN_MARIADB_VERSION", (99, 1))
    said = run("check-config", url).stderr
    assert re.search(r"is MariaDB 10\.\d+\.\d+; MariaDB 99\.1 or later is needed", said), said


def test_a_server_that_syncs_less_than_promised_is_told_of(run: Run, mariadb: MariaDB, name: str) -> None:
    checked = run("check-config", mariadb.url(name), "durability=full")
    assert checked.exit_code == 0
    assert "but innodb_flush_log_at_trx_commit is 0 on the database server" in checked.stdout
    assert "but" not in run("check-config", mariadb.url(name), "durability=normal").stdout


def test_without_a_driver(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    for command in ("check-config", "db status", "db upgrade", "serve"):
        result = run(command, "mysql://chat@localhost/chat")
        assert result.exit_code == 1
        assert "pip install 'tornado_chat[mysql]'" in result.output


def test_over_a_unix_socket_and_with_an_option_file(
    run: Run, mariadb: MariaDB, name: str, tmp_path: Path
) -> None:
    assert run("db status", f"mysql://root@/{name}?socket={mariadb.socket}").exit_code == 0
    options = tmp_path / "my.cnf"
    options.write_text(f"[client]\nuser = root\nsocket = {mariadb.socket}\n")
    assert run("db status", f"mysql:///{name}?option-file={options}").exit_code == 0


@pytest.fixture
def safe(tmp_path: Path, mariadb_data: Path) -> Iterator[tuple[MariaDB, Path]]:
    """A server with TLS, whose certificate says that it is ``localhost``."""
    key = ec.generate_private_key(ec.SECP256R1())
    now, whom = (
        datetime.datetime.now(datetime.UTC),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")]),
    )
    certificate: Any = (
        x509.CertificateBuilder(whom, whom, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca, secret = tmp_path / "ca.pem", tmp_path / "key.pem"
    ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with MariaDB(tmp_path / "safe", mariadb_data, f"--ssl-cert={ca}", f"--ssl-key={secret}") as server:
        yield server, ca


def test_over_tls(run: Run, safe: tuple[MariaDB, Path], tmp_path: Path, mariadb: MariaDB) -> None:
    server, ca = safe
    with server.database() as name:
        server.run("CREATE USER chat@localhost REQUIRE SSL", f"GRANT ALL ON {name}.* TO chat@localhost")
        server.run("CREATE USER chat@'127.0.0.1' REQUIRE SSL", f"GRANT ALL ON {name}.* TO chat@'127.0.0.1'")
        verified, wrong_name = (
            f"mysql://chat@{host}:{server.port}/{name}?ssl-ca={ca}" for host in ("localhost", "127.0.0.1")
        )
        assert run("db status", verified).exit_code == 0
        assert "no safe connection" in run("db status", wrong_name).stderr
        assert run("db status", f"{wrong_name}&ssl-mode=verify-ca").exit_code == 0
        assert (
            run("db status", f"mysql://chat@127.0.0.1:{server.port}/{name}?ssl-mode=required").exit_code == 0
        )
        assert run("db status", f"mysql://chat@127.0.0.1:{server.port}/{name}").exit_code == 1
    # Nobody between us and a server without TLS may talk us out of it.
    said = run("db status", f"mysql://root@127.0.0.1:{mariadb.port}/x?ssl-mode=required").stderr
    assert "no safe connection" in said
