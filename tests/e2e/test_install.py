"""The wheel, and the installation by ``scripts/install --root``."""

import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SECRET
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.testing.test_documented_tests import write_files

ROOT = Path(__file__).parents[2]
PREFIX = "opt/tornado-chat"


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which new virtual environments use the tests' packages, but neither this clone
    nor a package index."""
    libraries = tmp_path_factory.mktemp("libraries")
    for path in Path(sys.executable).parents[1].glob("lib/python3*/site-packages/*"):
        if not path.name.lower().startswith(("tornado_chat", "__", "pip", "setuptools")):
            (libraries / path.name).symlink_to(path)
    own = ("TORNADO_CHAT_CONFIG", "PYTHONPATH")
    return {
        **{name: value for name, value in os.environ.items() if name not in own},
        "PYTHON": sys.executable,
        "PYTHONPATH": str(libraries),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, since the build leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "tornado_chat", "plugins", "etc"):
        subprocess.run(["cp", "-R", ROOT / name, source], check=True)
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source]
    subprocess.run([sys.executable, "-m", "pip", *map(str, build)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(environ: dict[str, str], *arguments: str | Path) -> str:
    """Run ``scripts/install``, and return its output."""
    done = subprocess.run(
        [str(ROOT / "scripts" / "install"), *map(str, arguments)],
        env=environ,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.fixture(scope="module")
def machine(environ: dict[str, str], wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the wheel is installed like on a machine."""
    root = tmp_path_factory.mktemp("machine")
    output = install(environ, "--root", root, wheel)
    assert f"Made a secret for tokens: {root}/etc/tornado-chat/credentials/jwt_secret" in output
    return root


def call(environ: dict[str, str], machine: Path, *arguments: str) -> str:
    """Run the installed program, and return its output."""
    command = [str(machine / PREFIX / "bin" / "tornado-chat"), *arguments]
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.read_bytes()) for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.slow
def test_the_wheel_is_complete(environ: dict[str, str], machine: Path) -> None:
    assert "plugins that are not enabled" in (plugins := call(environ, machine, "plugins"))
    assert all(name in plugins for name in ("audit", "keyword_filter", "notify", "queue_policy"))
    samples = [Path(line) for line in call(environ, machine, "samples").splitlines()]
    ours = {path.relative_to(ROOT / "etc") for path in (ROOT / "etc").rglob("*") if path.is_file()}
    assert all(path.is_relative_to(machine) for path in samples)
    assert {path.relative_to(samples[0].parents[1]) for path in samples} == ours
    assert "0001_first  applied" in call(
        environ, machine, "db", "upgrade", "--set", f"server.state_dir={machine}/state"
    )


@pytest.mark.slow
def test_the_installed_test_kit_tests_a_plugin(
    environ: dict[str, str], machine: Path, tmp_path: Path
) -> None:
    write_files(tmp_path)  # the tests of docs/plugins.md
    python = machine / PREFIX / "bin" / "python"
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "test_greeter.py"]
    alone = {**environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, env=alone, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.fixture
def served(environ: dict[str, str], machine: Path, tmp_path: Path) -> Iterator[str]:
    """Run the installed server, and yield its URL."""
    (tmp_path / "secret").write_bytes(SECRET)
    options = {
        "server.port": "0",
        "server.state_dir": str(tmp_path),
        "auth.secret_file": str(tmp_path / "secret"),
    }
    sets = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    command = [str(machine / PREFIX / "bin" / "tornado-chat"), "serve", *sets]
    with subprocess.Popen(command, env=environ, cwd="/", stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = next(line.split("url=")[1].split()[0] for line in process.stderr if " ready " in line)
        yield url
        process.terminate()
        process.communicate(timeout=WAIT_TIMEOUT_SECONDS)
    assert process.returncode == 0


@pytest.mark.slow
def test_the_installed_server_serves_its_pages(served: str) -> None:
    for path in ("/room", "/readyz"):
        with urllib.request.urlopen(served + path) as answer:
            assert answer.status == 200


@pytest.mark.slow
def test_installed_paths_and_modes(environ: dict[str, str], machine: Path) -> None:
    etc = machine / "etc" / "tornado-chat"
    assert (etc / "credentials" / "jwt_secret").stat().st_mode & 0o777 == 0o600
    assert (etc / "credentials").stat().st_mode & 0o777 == 0o700
    assert len((etc / "credentials" / "jwt_secret").read_text().strip()) == 64
    for path in (etc, etc / "conf.d", etc / "plugins.d"):
        assert path.stat().st_mode & 0o777 == 0o750
    ini = (etc / "tornado-chat.ini").read_text()
    assert "\nstate_dir = /var/lib/tornado-chat\n" in ini
    assert "\nsecret_file = /etc/tornado-chat/credentials/jwt_secret\n" in ini
    own = ["--set", f"auth.secret_file={etc}/credentials/jwt_secret"]
    checked = call(environ, machine, "check-config", "--config", str(etc / "tornado-chat.ini"), *own)
    assert checked.startswith("configuration OK\n")
    units = machine / "etc" / "systemd" / "system"
    for name in ("tornado-chat.service", "tornado-chat.socket"):
        assert (units / name).read_text() == (ROOT / "etc" / "systemd" / name).read_text()
    command = machine / "usr" / "local" / "bin" / "tornado-chat"
    assert command.readlink() == Path("/opt/tornado-chat/bin/tornado-chat")
    assert not (machine / "var").exists()  # systemd creates it


@pytest.mark.slow
def test_reinstalling_keeps_edited_files(environ: dict[str, str], wheel: Path, machine: Path) -> None:
    etc, originals = machine / "etc", machine / PREFIX / "originals"
    before = snapshot(etc)
    output = install(environ, "--root", machine, wheel)
    assert "secret" not in output
    assert snapshot(etc) == before

    ini, unit = etc / "tornado-chat" / "tornado-chat.ini", etc / "systemd" / "system" / "tornado-chat.service"
    ini.write_text("[server]\nport = 9000\n")
    assert ".new" not in install(environ, "--root", machine, wheel)  # no new version
    for path in (ini, unit):  # as if the new version had other samples
        (originals / path.name).write_text("what the version before brought\n")
    unit.write_text("what the version before brought\n")
    output = install(environ, "--root", machine, wheel)
    assert f"You have edited {ini}: the new version is {ini}.new; compare them." in output
    assert ini.read_text() == "[server]\nport = 9000\n"
    assert (ini.with_name("tornado-chat.ini.new")).read_bytes() == before[str(ini)][1]
    assert unit.read_bytes() == before[str(unit)][1]  # not edited, so replaced
    assert not unit.with_name("tornado-chat.service.new").exists()
    assert ".new" not in install(environ, "--root", machine, wheel)


@pytest.mark.slow
def test_another_prefix_and_uninstalling(
    environ: dict[str, str], wheel: Path, machine: Path, tmp_path: Path
) -> None:
    here = tmp_path / "machine"
    (here / "srv").mkdir(parents=True)
    shutil.copytree(
        machine / PREFIX, here / "srv" / "chat", symlinks=True
    )  # copied, since a new installation takes long
    where = ["--root", here, "--prefix", "/srv/chat"]
    install(environ, *where, wheel)
    unit = here / "etc" / "systemd" / "system" / "tornado-chat.service"
    assert "\nExecStart=/srv/chat/bin/tornado-chat serve\n" in unit.read_text()
    state = here / "var" / "lib" / "tornado-chat" / "tornado-chat.sqlite3"
    state.parent.mkdir(parents=True)
    state.write_text("what was output")
    output = install(environ, "--uninstall", *where)
    assert f"{here}/var/lib/tornado-chat" in output
    left = {path.relative_to(here) for path in here.rglob("*") if path.is_file()}
    assert {str(path) for path in left} == {
        "etc/tornado-chat/conf.d/README",
        "etc/tornado-chat/credentials/jwt_secret",
        "etc/tornado-chat/tornado-chat.ini",
        "var/lib/tornado-chat/tornado-chat.sqlite3",
    }


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["--what"], "there is no option --what"),
        (["--root"], "--root needs a value"),
        (["--prefix", "opt"], "--prefix needs a path from /"),
        (["--root", "/tmp/nothing-here", "--uninstall"], "is not installed in /tmp/nothing-here/opt"),
    ],
)
def test_wrong_usage(environ: dict[str, str], arguments: list[str], output: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "install", *arguments], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert output in done.stderr


def test_a_missing_ensurepip_is_reported_with_its_package(
    environ: dict[str, str], wheel: Path, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ncase $* in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n', "ascii"
    )
    no_apt = tmp_path / "apt-get"  # like for a user without privileges, or without a network
    no_apt.write_text("#!/bin/sh\nexit 1\n", "ascii")
    for program in (python, no_apt):
        program.chmod(0o755)
    done = subprocess.run(
        [str(ROOT / "scripts" / "install"), "--root", str(tmp_path / "root"), str(wheel)],
        env={**environ, "PYTHON": str(python), "PATH": f"{tmp_path}:{environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "install Debian's package python3-venv (apt-get install python3-venv)" in done.stderr
