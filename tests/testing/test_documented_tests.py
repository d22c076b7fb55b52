"""The tests in ``docs/plugins.md`` pass, and each example of a plugin there has one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.testing import ChatServer

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
FILE = re.compile(r"# (conftest|test_\w+)\.py\n")
IMPORT = re.compile(r"^from (\w+) import (\w+)", re.MULTILINE)
PLUGIN = re.compile(r"^class (\w+)\(Plugin\):", re.MULTILINE)


def python_blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```\n", PAGE, re.MULTILINE | re.DOTALL)


def write_files(folder: Path) -> set[str]:
    """Write the tests of the page, and the plugins that they import. Returns the classes of these."""
    plugins = {
        name: block
        for block in python_blocks()
        for name in re.findall(r"^class (\w+)\(", block, re.MULTILINE)
    }
    imported = set()
    for block in python_blocks():
        file = FILE.match(block)
        if file is None:
            continue
        (folder / f"{file[1]}.py").write_text(block)
        for module, name in IMPORT.findall(block):
            (folder / f"{module}.py").write_text(plugins[name])
            imported |= set(PLUGIN.findall(plugins[name]))
    return imported


@pytest.mark.slow
def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    tested = write_files(tmp_path)
    examples = {name for block in python_blocks() for name in PLUGIN.findall(block)}
    assert tested == examples, "each example of a plugin in docs/plugins.md has a test there"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # pytest alone
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), done.stdout


def test_the_page_names_every_method() -> None:
    table = PAGE.partition("<!-- test kit -->")[2].partition("<!-- end of test kit -->")[0]
    named = set(re.findall(r"`server\.(\w+)", table))
    public = {name for name in vars(ChatServer) if not name.startswith("_")}
    assert named == public | {"clock"}
