"""Tests of the parser of MySQL URLs: parsed values and error texts."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.config.mysql_url import MysqlUrl, is_mysql, parse


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://chat@localhost/talks", MysqlUrl("talks", "chat", "localhost")),
        ("mariadb://chat@127.0.0.1:3307/talks", MysqlUrl("talks", "chat", "127.0.0.1", 3307)),
        ("mysql://chat@[::1]/talks", MysqlUrl("talks", "chat", "::1")),
        ("mysql://chat@/talks", MysqlUrl("talks", "chat", socket="/run/mysqld/mysqld.sock")),
        ("mysql+unix://chat@/talks", MysqlUrl("talks", "chat", socket="/run/mysqld/mysqld.sock")),
        ("mysql://chat@/talks?socket=/tmp/my%20sock", MysqlUrl("talks", "chat", socket="/tmp/my sock")),
        ("mysql://a%40b%3Ac@localhost/%E4%BC%9A%E8%AF%9D", MysqlUrl("会话", "a@b:c", "localhost")),
        ("mysql://chat@db.example/talks?ssl-mode=disabled", MysqlUrl("talks", "chat", "db.example")),
        (
            "mysql://chat@db.example/talks?ssl_mode=VERIFY_CA",
            MysqlUrl("talks", "chat", "db.example", tls="verify-ca"),
        ),
    ],
)
def test_valid_urls(url: str, expected: MysqlUrl) -> None:
    assert is_mysql(url)
    assert parse(url) == expected


def test_valid_urls_with_files(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    found = parse(f"mysql://chat@db.example/talks?ssl-ca={ca}")
    assert (found.tls, found.ca) == ("verify-identity", str(ca))
    # The option file may contain both the user and the host.
    found = parse(f"mysql:///talks?option-file={ca}")
    assert (found.user, found.host, found.socket, found.option_file) == ("", "", "", str(ca))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql:chat@localhost/talks", "it has to begin with mysql://"),
        ("mysql://localhost/talks", "it has no user"),
        ("mysql://chat@localhost", "it has to end with the name of a database"),
        ("mysql://chat@localhost/", "it has to end with the name of a database"),
        ("mysql://chat@localhost/a/b", "it has to end with the name of a database"),
        ("mysql://chat@localhost/a%60b", '"a`b" cannot be the name of a database'),
        ("mysql://chat@localhost/" + "x" * 65, "cannot be the name of a database"),
        ("mysql://chat@localhost:port/talks", "its host or port cannot be read"),
        ("mysql://chat@localhost:99999/talks", "its host or port cannot be read"),
        ("mysql://chat@[::1/talks", "its host or port cannot be read"),
        ("mysql://chat@localhost/talks#x", "the part after its # is ignored"),
        ("mysql://chat@localhost/talks?ssl-mod=required", 'did you mean "ssl-mode"?'),
        (
            "mysql://chat@localhost/talks?timeout=3",
            '"timeout" is no known key after the question mark; there are socket',
        ),
        ("mysql://chat@/talks?socket=", '"socket" has no value'),
        ("mysql://chat@/talks?socket=/a&socket=/b", '"socket" is in it twice'),
        ("mysql://chat@/talks?socket=run", "socket has to be a path from /"),
        ("mysql://chat@localhost/talks?socket=/a", "it has a host and a unix socket"),
        ("mysql+unix://chat@localhost/talks", "it has a host and a unix socket"),
        ("mysql://chat@/talks?ssl-mode=required", "TLS needs a host"),
        (
            "mysql://chat@localhost/talks?ssl-mode=on",
            "ssl-mode has to be one of disabled, required, verify-ca",
        ),
        ("mysql://chat@10.0.0.7/talks", "10.0.0.7 is another machine"),
        ("mysql://chat@localhost/talks?ssl-ca=/nowhere", 'ssl-ca: "/nowhere" cannot be read: No such file'),
        (
            "mysql://chat@localhost/talks?ssl-mode=disabled&ssl-ca=/etc/passwd",
            "so ssl-ca would be ignored",
        ),
        ("mysql://chat@localhost/talks?ssl-cert=/etc/passwd", "ssl-cert and ssl-key belong together"),
        ("mysql:///talks?option-file=/nowhere", 'option-file: "/nowhere" cannot be read'),
    ],
)
def test_invalid_urls(url: str, expected: str) -> None:
    with pytest.raises(ValueError) as error:
        parse(url)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://chat:hunter2@localhost/talks",
        "mysql://chat:@localhost/talks",
        "mysql://chat:hunter2/x@localhost/talks",
        "mysql://chat:12?hunter2@localhost/talks",
        "mysql://chat:12#hunter2@localhost/talks",
        "mysql://chat@localhost/talks?password=hunter2",
    ],
)
def test_a_password_is_refused_and_not_in_the_error_text(url: str) -> None:
    with pytest.raises(ValueError) as error:
        parse(url)
    assert "hunter2" not in str(error.value)


@given(st.text())
def test_any_text_is_parsed_or_raises_a_value_error(text: str) -> None:
    for url in (f"mysql://{text}", f"mysql://chat@localhost/talks?{text}", f"mysql://chat@localhost/{text}"):
        with suppress(ValueError):
            parse(url)
