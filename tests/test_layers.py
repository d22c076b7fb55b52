"""Tests of the direction of imports, by the import-linter contracts in ``setup.cfg``."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import peewee

from tornado_chat import plugin_api

ROOT = Path(__file__).parents[1]


def test_imports_point_downwards() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--config", ROOT / "setup.cfg", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_bundled_plugins_import_the_plugin_api_only() -> None:
    """The contract of ``setup.cfg`` names forbidden packages: a new package is not among them."""
    for file in (ROOT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            of_server = {module for module in modules if module.partition(".")[0] == "tornado_chat"}
            assert of_server <= {"tornado_chat.plugin_api"}, file


def test_the_plugin_api_has_no_tables_of_the_server() -> None:
    values = [getattr(plugin_api, name) for name in plugin_api.__all__]
    assert not [each for each in values if inspect.ismodule(each)]
    assert not [each for each in values if isinstance(each, type) and issubclass(each, peewee.Model)]


def test_domain_and_wire_do_no_io_and_read_no_clock() -> None:
    impure = {"tornado", "asyncio", "peewee", "playhouse", "socket", "threading", "time", "random"}
    for folder in ("domain", "wire"):
        for file in (ROOT / "tornado_chat" / folder).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    modules = [node.module or ""]
                assert not {module.partition(".")[0] for module in modules} & impure, file
