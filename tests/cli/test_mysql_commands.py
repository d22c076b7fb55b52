"""The output of the commands for a MySQL server that is not completely set up."""

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

from tests.helpers.mariadb import MariaDB
from tornado_chat import config
from tornado_chat.cli import main
from tornado_chat.storage import mysql_checks, schema

NAMES = sorted(path.stem for path in schema.MIGRATIONS.glob("0*.py"))
ALL_PRIVILEGES = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, REFERENCES"

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
    """Yield the name of an empty database."""
    with mariadb.database() as name:
        yield name


@pytest.fixture
def user(mariadb: MariaDB, name: str) -> Iterator[str]:
    """Yield the database URL of a user with a password and without privileges."""
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
    mariadb.run(f"GRANT {ALL_PRIVILEGES} ON `{name}`.* TO 'chat'@'127.0.0.1'")
    checked = run("check-config", user, password, "durability=normal")
    assert (checked.exit_code, checked.stdout.splitlines()[0]) == (0, "configuration OK"), checked.output
    missing = "".join(f"{each}  missing\n" for each in NAMES)
    lacks = f"{user} lacks {len(NAMES)} migrations: make a backup, then run `tornado-chat db upgrade`\n"
    text = run("db status", user, password).stdout
    assert text.startswith(missing)
    assert text.endswith(lacks)
    applied = "".join(f"{each}  applied\n" for each in NAMES)
    assert run("db upgrade", user, password).stdout == f"{applied}{user} is up to date\n"
    text = run("db status", user, password).stdout
    assert text.startswith(applied)
    assert text.endswith(f"{user} is up to date\n")


@pytest.mark.parametrize("command", ["check-config", "db status", "db upgrade"])
def test_errors_name_the_remedy(
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

    grant = f"GRANT {ALL_PRIVILEGES} ON `{name}`.* TO 'chat'@'127.0.0.1';"
    assert grant in error(user, password)
    absent = f"mysql://root@{server}/absent"
    text = error(absent)
    assert f"there is no database absent on {server}" in text
    assert "CREATE DATABASE `absent` CHARACTER SET utf8mb4; GRANT" in text

    unreachable = error("mysql://root@127.0.0.1:1/x")
    assert "127.0.0.1:1 does not answer" in unreachable
    assert "Check that the server is running" in unreachable


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_missing_unix_socket(run: Run) -> None:
    text = run("db status", "mysql://root@/x?socket=/nowhere").stderr
    assert "/nowhere does not answer" in text
    gc.collect()  # the driver does not close the socket that it could not connect


def test_missing_privileges_are_named(
    run: Run, mariadb: MariaDB, name: str, user: str, password: str
) -> None:
    mariadb.run(f"GRANT SELECT, INSERT, CREATE ON `{name}`.* TO 'chat'@'127.0.0.1'")
    for command in ("check-config", "db upgrade"):
        text = run(command, user, password).stderr
        assert "lacks UPDATE, DELETE, ALTER, INDEX, DROP, REFERENCES" in text
        assert "GRANT" in text


def test_unsuitable_server_settings_are_refused(
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
    text = run("check-config", url).stderr
    assert re.search(r"is MariaDB 10\.\d+\.\d+; MariaDB 99\.1 or later is needed", text), text


def test_a_server_with_weaker_durability_is_warned_about(run: Run, mariadb: MariaDB, name: str) -> None:
    checked = run("check-config", mariadb.url(name), "durability=full")
    assert checked.exit_code == 0
    assert "warning: innodb_flush_log_at_trx_commit is 0 on the database server" in checked.stdout
    assert "warning" not in run("check-config", mariadb.url(name), "durability=normal").stdout


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
def tls_server(tmp_path: Path, mariadb_data: Path) -> Iterator[tuple[MariaDB, Path]]:
    """Yield a server with TLS, and its certificate, which is for ``localhost``."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    certificate: Any = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + datetime.timedelta(days=1))
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


def test_over_tls(run: Run, tls_server: tuple[MariaDB, Path], tmp_path: Path, mariadb: MariaDB) -> None:
    server, ca = tls_server
    with server.database() as name:
        server.run("CREATE USER chat@localhost REQUIRE SSL", f"GRANT ALL ON {name}.* TO chat@localhost")
        server.run(
            "CREATE USER chat@'127.0.0.1' REQUIRE SSL",
            f"GRANT ALL ON {name}.* TO chat@'127.0.0.1'",
        )
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
    # With ssl-mode=required a server without TLS is refused: an attacker could have removed its offer.
    text = run("db status", f"mysql://root@127.0.0.1:{mariadb.port}/x?ssl-mode=required").stderr
    assert "no safe connection" in text
