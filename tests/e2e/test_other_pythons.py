"""The tests without server processes pass on each other supported Python version on this machine."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS

ROOT = Path(__file__).parents[2]
QUICK_FOLDERS = ("core", "aio", "domain", "wire", "config", "delivery", "client")
FOLDERS = (*QUICK_FOLDERS, "storage", "services", "testing")
"""For the newest version; a version between it and this one has little of its own."""
# Large packages of the test extra that these tests do not use.
UNUSED = {
    "mypy",
    "ruff",
    "import-linter",
    "playwright",
    "axe-core-python",
    "promql-parser",
    "openapi-spec-validator",
    "schemathesis",
    "openapi-python-client",
}
RUN_TIMEOUT_SECONDS = 10 * WAIT_TIMEOUT_SECONDS


def setup_lines(section: str, option: str) -> list[str]:
    """Return the lines of a list in ``setup.cfg``."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser[section][option].split("\n")[1:]


def supported_versions() -> list[str]:
    """Return the minor versions that the classifiers name, such as ``3.12``."""
    found = [
        re.fullmatch(r".* :: Python :: (3\.\d+)", line) for line in setup_lines("metadata", "classifiers")
    ]
    return [match.group(1) for match in found if match]


def candidates(version: str) -> Iterator[Path]:
    """Yield the interpreters of a minor version on the PATH and in the folders of pyenv."""
    name = f"python{version}"
    for folder in os.get_exec_path():
        yield Path(folder, name)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"))


def find_interpreter(version: str) -> tuple[Path, str] | None:
    """Return an interpreter that can make a virtual environment, and its full version."""
    program = "import ensurepip, venv, platform; print(platform.python_version())"
    for path in candidates(version):
        if path.is_file():  # a shim of pyenv, which may stand for no interpreter, exits with an error
            done = subprocess.run([path, "-c", program], capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.startswith(version):
                return path, done.stdout.strip()
    return None


def copy_sources(target: Path) -> None:
    """Copy the project: an installation and a test run leave files behind."""
    for name in ("tornado_chat", "plugins", "etc", "docs", "scripts", "tests"):
        ignored = shutil.ignore_patterns("node_modules", "__pycache__")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, target)


def run(command: list[str | Path], folder: Path) -> str:
    """Run a command in a folder, without the settings of this test run, and return its output."""
    own = ("PYTEST_", "PYTHONPATH", "VIRTUAL_ENV", "TORNADO_CHAT_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def run_tests(interpreter: Path, folder: Path, folders: Sequence[str]) -> str:
    """Install the project into a new environment, run its tests, and return pytest's last line."""
    source = folder / "source"
    source.mkdir()
    copy_sources(source)
    run([interpreter, "-m", "venv", folder / "venv"], folder)
    python = folder / "venv" / "bin" / "python"
    needed = [
        line
        for line in setup_lines("options", "install_requires") + setup_lines("options.extras_require", "test")
        if re.split(r"[ \[<>=]", line)[0] not in UNUSED
    ]
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*install, *needed], folder)
    run([*install, "--no-deps", "--no-build-isolation", "-e", source], folder)
    tests = [f"tests/{name}" for name in folders]
    # MariaDB takes most of the time, and its answers do not depend on the Python version.
    options = [
        "-q",
        "-m",
        "not slow",
        "-k",
        "not mariadb",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        f"--basetemp={folder / 't'}",
    ]
    output = run([python, "-m", "pytest", *options, *tests], source)
    return output.rstrip().rsplit("\n", 1)[1]


@pytest.mark.slow
def test_the_tests_pass_on_the_other_python_versions(
    record_property: Callable[[str, object], None],
) -> None:
    versions = supported_versions()
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in versions
    results = []
    for version in versions:
        if version == f"{sys.version_info.major}.{sys.version_info.minor}":
            continue
        found = find_interpreter(version)
        if found is None:
            results.append(f"{version}: not on this machine")
            continue
        interpreter, full = found
        folders = FOLDERS if version == versions[-1] else QUICK_FOLDERS
        with tempfile.TemporaryDirectory(prefix="tornado-chat-") as folder:
            results.append(f"{full}: {run_tests(interpreter, Path(folder), folders)}")
    record_property("other Python versions", "; ".join(results))
