"""The commands of ``tornado-chat``: their output and exit codes."""

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner, Result
from tornado.ioloop import IOLoop

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config, terminal
from tornado_chat.aio import descriptors
from tornado_chat.cli import main
from tornado_chat.demo import server as demo
from tornado_chat.demo.people import PEOPLE
from tornado_chat.observability import logs
from tornado_chat.server import main as process
from tornado_chat.storage import schema

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home directory, on a machine without a configuration."""
    monkeypatch.setattr(config, "ETC_DIR", tmp_path / "etc")
    for name in ("TORNADO_CHAT_CONFIG", "TORNADO_CHAT_TOKEN", "STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def state(home: Path) -> Path:
    """Return the state directory of that home, which does not exist yet."""
    return home / ".local" / "state" / "tornado-chat"


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command in this process, without changing pytest's logging."""
    monkeypatch.setattr(logs, "configure", lambda *given, **more: None)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(main, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def test_every_command_takes_config_and_set(run: Run, home: Path) -> None:
    (home / "x.ini").write_text("[server]\nport = x\n")
    for command in (
        "serve",
        "demo",
        "talk visitor",
        "token --id 1 --role user",
        "check-config",
        "db status",
        "db upgrade",
        "db prune",
        "db compact",
        "db operations",
        f"backup {home}/b",
        f"restore {home}/x.ini",
        f"export --user 1 --output {home}/e",
        "erase --user 1",
    ):
        result = run(*command.split(), "--config", str(home / "x.ini"), "--set", "web.y=1", "--set", "z")
        assert result.exit_code == 2, command
        assert result.stderr.splitlines() == [
            "--set: in [web] y: this option is unknown; "
            "there are origins, pages, base_path, public_url, organisation, ops_networks",
            '--set: "z" is not SECTION.OPTION=VALUE, as in server.port=9000',
            f'{home}/x.ini: in [server] port: "x" is not a whole number from 0 to 65535',
        ]


# check-config


def test_check_config(run: Run, home: Path, state: Path) -> None:
    result = run("check-config")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("configuration OK\nno file was read")

    (home / "x.ini").write_text("[server]\nport = 9000\n")
    result = run("check-config", "--config", str(home / "x.ini"))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"configuration OK\nread {home}/x.ini\nfile descriptors: up to ")
    assert not state.exists(), "a check creates no files"

    (home / "x.ini").write_text("[web]\ncompression = on\n")
    result = run("check-config", "--config", str(home / "x.ini"))
    warning = f"{home}/x.ini: [web] compression has no effect since 0.2.0: remove the line"
    assert (result.exit_code, result.stdout.splitlines()[:2]) == (
        0,
        ["configuration OK", f"warning: {warning}"],
    )


@pytest.mark.parametrize("command", ["check-config", "serve", "db upgrade", "db status"])
def test_a_folder_that_is_not_mounted_stops_every_command(home: Path, state: Path, command: str) -> None:
    disk = home / "disk"
    # In a separate process: `serve` changes the umask, the signal handlers and the loop.
    arguments = [sys.executable, "-m", "tornado_chat", *command.split()]
    url = f"storage.url=sqlite:///{disk}/chat.db"
    result = subprocess.run([*arguments, "--set", url], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.removeprefix("tornado-chat: ") == (
        f"--set: in [storage] url: the folder {disk} does not exist; mount its disk, or create it: "
        f"install -d -m 700 {disk}\n"
    )
    assert not disk.exists()
    assert not state.exists()


def test_check_config_prints_the_warnings_of_plugins(run: Run, home: Path) -> None:
    words = home / "words.txt"
    words.write_text("suicide, kill myself\n")
    (home / "x.ini").write_text(
        f"[plugins]\nenabled = keyword_filter\n[plugin:keyword_filter]\nalert = {words}\n"
    )
    arguments = ("--config", str(home / "x.ini"))

    def warnings() -> list[str]:
        result = run("check-config", *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        return [line for line in result.stdout.splitlines() if line.startswith("warning: [plugin:")]

    list_warning = f"warning: [plugin:keyword_filter] line 1 of {words}: a line with commas"
    [found] = warnings()  # there is no database, and none is created
    assert found.startswith(list_warning)
    assert run("db", "upgrade", *arguments).exit_code == 0
    assert [line.split("; ")[0] for line in warnings()][1:] == [
        "warning: [plugin:keyword_filter] no alert reaches a person: there is no supervisor or administrator "
        "with an account or a former /notify connection"
    ]
    add = ("staff", "add", *arguments, "--password-stdin")
    for name, role, more in (("ann", "supervisor", 1), ("bob", "admin", 0)):
        result = CliRunner().invoke(main, [*add, name, "--role", role], input="a long enough password\n")
        assert result.exit_code == 0, result.output
        assert len(warnings()) == 1 + more
    assert run("staff", "disable", "bob", *arguments).exit_code == 0
    assert "there is no administrator" in warnings()[1]


def test_check_config_says_how_many_connections_there_may_be(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors, "highest_limit", lambda: 256)
    result = run("check-config")
    assert "warning: few file descriptors: above 184 connections, new ones wait" in result.stdout
    assert "file descriptors: up to 256, room for about 184 connections" in result.stdout
    monkeypatch.setattr(descriptors, "highest_limit", lambda: 65536)
    assert "warning" not in run("check-config").stdout


def test_check_config_checks_the_keys(run: Run, home: Path) -> None:
    (home / "short").write_text("short")
    result = run("check-config", "--set", f"auth.secret_file={home}/short")
    assert result.exit_code == 2
    assert "has 5 bytes and can be guessed: make one with" in result.stderr


PLUGIN = """
from dataclasses import dataclass
from tornado_chat import Plugin, PluginSettings, option
@dataclass(frozen=True)
class Settings(PluginSettings):
    word: str = option("", "A word.")
class Own(Plugin):
    Settings = Settings
"""


@pytest.mark.parametrize("command", ["check-config", "serve"])
@pytest.mark.parametrize("port", ["x", "0"])
def test_mistakes_in_options_plugins_and_keys_are_printed_together(
    home: Path, state: Path, command: str, port: str
) -> None:
    (home / "plugins").mkdir()
    (home / "plugins" / "own.py").write_text(PLUGIN)
    (home / "short").write_text("short")
    (home / "x.ini").write_text(
        f"[server]\nport = {port}\n[auth]\nsecret_file = {home}/short\n"
        f"[plugins]\npaths = {home}/plugins\n[plugin:own]\nwrod = x\n"
    )
    # In a separate process: `serve` changes the umask, the signal handlers and the loop.
    arguments = [sys.executable, "-m", "tornado_chat", command, "--config", str(home / "x.ini")]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    printed = [line.removeprefix("tornado-chat: ") for line in result.stderr.splitlines()]
    assert result.returncode == 2
    assert printed[-2:] == [
        f'{home}/x.ini: in [plugin:own] wrod: this option is unknown; did you mean "word"?',
        f"[auth]: the secret file {home}/short has 5 bytes and can be guessed: make one with "
        "`openssl rand -base64 48`",
    ]
    assert len(printed) == (3 if port == "x" else 2)
    assert not state.exists(), "no files are created with a wrong configuration"


def test_the_placeholder_of_a_wrong_value_causes_no_further_errors(run: Run, home: Path) -> None:
    result = run(
        "check-config", "--set", "auth.algorithms=X", "--set", "plugins.enabled=none", "--set", "plugins.x=1"
    )
    assert [line.split(":")[1] for line in result.stderr.splitlines()] == [
        " in [plugins] x",
        " in [auth] algorithms",
    ]


# samples


def test_samples(run: Run) -> None:
    paths = run("samples").stdout.splitlines()
    assert all(Path(path).is_file() for path in paths)
    names = {Path(path).name for path in paths}
    assert {"tornado-chat.ini", "tornado-chat.conf", "tornado-chat.service", "tornado-chat.socket"} <= names


# token


def claims(run: Run, state: Path, *arguments: str) -> dict[str, Any]:
    result = run("token", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    secret = (state / "secret").read_bytes().strip()
    read: dict[str, Any] = jwt.decode(
        result.stdout.strip(), secret, ["HS256"], options={"verify_aud": False, "verify_sub": False}
    )
    return read


def test_token(run: Run, state: Path) -> None:
    read = claims(run, state, "--id", "7", "--role", "user", "--name", "小林")
    assert time.time() - 5 < read["iat"] <= time.time()
    assert read == {
        "id": 7,
        "type": "user",
        "name": "小林",
        "iat": read["iat"],
        "exp": read["iat"] + 12 * 3600,
    }
    assert stat.S_IMODE((state / "secret").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("id", "expected"),
    [
        ("0", 0),
        ("007", "007"),
        ("ada", "ada"),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), str(2**63)),
        ("9" * 30, "9" * 30),
    ],
)
def test_ids(run: Run, state: Path, id: str, expected: int | str) -> None:
    assert claims(run, state, "--id", id, "--role", "waiter")["id"] == expected


def test_configured_claims(run: Run, state: Path) -> None:
    options = ["auth.id_claim=sub", "auth.role_claim=role", "auth.issuer=https://a.org", "auth.audience=chat"]
    read = claims(
        run, state, "--id", "7", "--role", "admin", *(word for o in options for word in ("--set", o))
    )
    expected = {"sub": "7", "role": "admin", "iss": "https://a.org", "aud": "chat"}
    assert {key: read[key] for key in expected} == expected


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800)])
def test_lifetimes(run: Run, state: Path, text: str, seconds: int) -> None:
    read = claims(run, state, "--id", "1", "--role", "user", "--expires", text)
    assert read["exp"] - read["iat"] == seconds


@pytest.mark.parametrize(
    "wrong",
    ["--expires=0s", "--expires=12", "--expires=-1h", "--expires=1w", "--expires=h", "--role=boss", "--id"],
)
def test_wrong_usage_of_token(run: Run, wrong: str) -> None:
    assert run("token", "--id", "1", "--role", "user", wrong).exit_code == 2


def test_only_the_issuer_makes_tokens(run: Run, state: Path) -> None:
    options = ("--set", "auth.algorithms=RS256", "--set", "auth.jwks_url=https://a.org/jwks")
    result = run("token", "--id", "1", "--role", "user", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "this server cannot make tokens: [auth] algorithms accepts only RS256" in result.stderr
    assert not state.exists()


def test_a_world_readable_secret_is_refused(run: Run, state: Path) -> None:
    run("token", "--id", "1", "--role", "user")
    (state / "secret").chmod(0o644)
    result = run("token", "--id", "1", "--role", "user")
    assert result.exit_code == 1
    assert "chmod 600" in result.stderr


# db


def test_db(run: Run, state: Path) -> None:
    url = f"sqlite:///{state}/tornado-chat.sqlite3"
    result = run("db", "status")
    assert (result.exit_code, result.stdout) == (
        0,
        f"{url} does not exist yet: the server creates it when it starts\n",
    )
    assert not state.exists()

    names = sorted(path.stem for path in schema.MIGRATIONS.glob("0*.py"))
    applied = "".join(f"{name}  applied\n" for name in names)
    assert run("db", "upgrade").stdout == f"{applied}{url} is up to date\n"
    assert run("db", "upgrade").stdout == f"{url} is up to date\n"
    printed = run("db", "status").stdout
    assert printed.startswith(applied)
    assert printed.endswith(f"{url} is up to date\n")


def test_db_with_a_file_that_is_not_a_database(run: Run, home: Path) -> None:
    (home / "x").write_text("no database")
    for command in ("status", "upgrade"):
        result = run("db", command, "--set", f"storage.url=sqlite:///{home}/x")
        assert result.exit_code == 1
        assert (
            result.stderr
            == f"Error: the database sqlite:///{home}/x cannot be used: file is not a database\n"
        )


# serve


def test_serve_returns_the_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[config.Config] = []

    def serve(configured: config.Config, read_config: Callable[[], config.Config]) -> int:
        seen.append(configured)
        return 1

    monkeypatch.setattr(process, "run", serve)
    assert run("serve", "--set", "server.port=0").exit_code == 1
    assert seen[0].server.port == 0


# demo and talk


def test_a_demo_does_not_use_the_configured_data(home: Path) -> None:
    auth = config.Auth(algorithms=("RS256",), jwks_url="https://a.org", id_claim="sub")
    configured = config.Config(
        server=config.Server(unix_socket="/run/x"),
        auth=auth,
        storage=config.Storage(url="sqlite:////var/lib/x"),
    )
    own = demo.demo_config(configured, home / "demo", any_port=False)
    assert own.state_dir == home / "demo"
    assert own.storage.url == f"sqlite:///{home}/demo/tornado-chat.sqlite3"
    assert own.server == config.Server(state_dir=str(home / "demo"))
    assert own.auth == replace(config.Auth(), id_claim="sub", guests=True)
    assert stat.S_IMODE((home / "demo").stat().st_mode) == 0o700


def test_a_demo_takes_no_directory_of_a_server(home: Path) -> None:
    configured = config.Config(server=config.Server(state_dir=str(home / "server")))
    for name in ("server", "other", "link"):
        (home / "other").mkdir(exist_ok=True)
        (home / "other" / "tornado-chat.sqlite3").write_text("of another server")
        if not (home / "link").exists():
            (home / "server").mkdir()
            (home / "link").symlink_to(home / "server")
        with pytest.raises(ValueError, match="use an"):
            demo.demo_config(configured, home / name, any_port=False)
    assert sorted(path.name for path in home.glob("*/*")) == ["tornado-chat.sqlite3"]
    (home / "empty").mkdir()
    for _ in range(2):  # the second time it is that of an earlier demo
        demo.demo_config(configured, home / "empty", any_port=False)
    with pytest.raises(demo.DemoNotRunning):
        demo.find_demo(home / "empty")


def test_talk_without_a_demo(run: Run, state: Path) -> None:
    result = run("talk", "visitor")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: no demo is running: start one with `tornado-chat demo`\n",
    )

    state.mkdir(parents=True)
    (state / demo.POINTER_FILE).write_text(json.dumps({"state_dir": str(state)}))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (state / demo.STATE_FILE).write_text(
        json.dumps({"url": "http://x", "pid": gone.pid, "session_id": 1, "record_id": 1, "people": {}})
    )
    assert run("talk", "visitor").exit_code == 1
    assert run("talk", "visitor", "--state-dir", str(state)).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "name a person, as in"),
        (["visitor", "--url", "ws://x/chat"], "name a person, as in"),
        (["stranger"], '"stranger" is not one of visitor, consultant,'),
        (["--url", "http://x/chat"], "must begin with ws:// or wss://"),
        (
            ["--url", "ws://x/what"],
            "must have one of the paths /chat, /observe, /notify, /v1/ws/user/connect",
        ),
        (["--url", "ws://x/chat?token=x"], "remove the token from --url"),
        (["--url", "ws://x/chat?sessionId=1"], "put the token in $TORNADO_CHAT_TOKEN"),
    ],
)
def test_wrong_usage_of_talk(run: Run, arguments: list[str], printed: str) -> None:
    result = run("talk", *arguments)
    assert result.exit_code == 2
    assert printed in result.stderr


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("ws://x/chat?sessionId=1&type=0", "counselling"),
        ("wss://x/proxied/observe?sessionId=1", "observe"),
        ("ws://x/notify", "notify"),
        ("ws://x/v1/ws/user/connect", "support-user"),
        ("ws://x/v1/ws/waiter/connect", "support-waiter"),
    ],
)
def test_talk_to_any_server(run: Run, monkeypatch: pytest.MonkeyPatch, url: str, dialect: str) -> None:
    talks: list[tuple[str, ...]] = []

    def talk(*arguments: str) -> int:
        talks.append(arguments)
        return 1

    monkeypatch.setattr(terminal, "run_terminal", talk)
    monkeypatch.setenv("TORNADO_CHAT_TOKEN", "hush")
    assert run("talk", "--url", url).exit_code == 1
    assert talks == [(url, "hush", dialect, "you")]


def test_a_demo_without_people_ends(
    home: Path, io_loop: IOLoop, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    expected_logs.append("the demo cannot be set up")
    own = demo.demo_config(config.Config(), home, any_port=True)
    host = demo.DemoHost(own, home, "tornado-chat", pytest.fail)

    async def fail() -> None:
        ended = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(os, "kill", lambda *arguments: ended.set_result(arguments))
        host.on_listening("http://127.0.0.1:1")  # no server listens there
        assert await ended == (os.getpid(), signal.SIGTERM)

    io_loop.run_sync(fail, timeout=WAIT_TIMEOUT_SECONDS)
    assert host.failed


def test_a_demo_from_beginning_to_end(home: Path, state: Path) -> None:
    """Run the demo twice in one directory: the second run continues the session of the first."""
    command = [sys.executable, "-m", "tornado_chat"]
    environ = {**os.environ, "TORNADO_CHAT_CONFIG": os.devnull, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    directory = home / "kept"
    sessions = []
    for _ in range(2):
        arguments = ["demo", "--state-dir", str(directory), "--set", "server.port=0"]
        server = subprocess.Popen(
            [*command, *arguments], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        try:
            printed = ""
            while "demo.json" not in printed:
                line = server.stdout.readline()
                assert line, server.communicate()
                printed += line
            notes = json.loads((directory / demo.STATE_FILE).read_text())
            assert stat.S_IMODE((directory / demo.STATE_FILE).stat().st_mode) == 0o600
            sessions.append((notes["session_id"], notes["record_id"]))
            assert set(notes["people"]) == set(PEOPLE)
            for word, place in notes["people"].items():
                assert f"    {word} " in printed
                assert place["url"] == notes["url"].replace("http", "ws", 1) + place["endpoint"]
            assert " -m tornado_chat talk PERSON\n" in printed
            assert "eyJ" not in printed
            password = re.search(r"password (\S+)", printed)
            assert password
            home = urllib.request.urlopen(f"{notes['url']}/").read().decode()
            for page in ("room#token=eyJ", "supervise#", "console#", "admin#", 'demo"', 'docs"'):
                assert f'href="{notes["url"]}/{page}' in home
            signed_in = urllib.request.urlopen(
                urllib.request.Request(
                    f"{notes['url']}/api/v1/staff/session",
                    json.dumps({"name": "grace", "password": password[1]}).encode(),
                    {"Content-Type": "application/json"},
                )
            )
            assert "Set-Cookie" in signed_in.headers
            talk = subprocess.run(
                [*command, "talk", "visitor"],
                env=environ,
                input="你好\n",
                capture_output=True,
                text=True,
                timeout=WAIT_TIMEOUT_SECONDS,
            )
            assert talk.returncode == 0, talk.stderr
            assert "你好" in talk.stdout
        finally:
            server.send_signal(signal.SIGTERM)
            _, errors = server.communicate(timeout=WAIT_TIMEOUT_SECONDS)
        assert server.returncode == 0, errors
        assert "eyJ" not in errors
        assert not (state / demo.POINTER_FILE).exists()
    assert sessions[0] == sessions[1]


@pytest.mark.parametrize("group", ["deliveries", "staff", "db"])
def test_common_options_before_the_command_of_a_group(run: Run, group: str) -> None:
    result = run(group, "--set", "server.port=1", "list")
    assert result.exit_code == 2
    assert f" {group} COMMAND --set …" in result.output
