"""Broken plugins that are refused before the start: each has one fault, which is found and named."""

import ast
import shutil
from pathlib import Path

import pytest

from tornado_chat.config.ini import ConfigError
from tornado_chat.config.loader import load
from tornado_chat.server.preflight import load_checked_plugins

FILES = sorted((Path(__file__).parent / "hostile").glob("check_*.py"))


def expected_text(file: Path) -> str:
    """Return the constant ``CHECK`` of a plugin, without importing it."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHECK":
            return str(ast.literal_eval(node.value))
    raise AssertionError(f"{file} has no CHECK")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_fault_is_found_and_the_plugin_named(file: Path, tmp_path: Path) -> None:
    copy = shutil.copy(file, tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_checked_plugins(load(None, [f"plugins.paths={tmp_path}"], {"HOME": "/"}))
    [problem] = caught.value.problems
    assert str(problem).startswith(f"{copy}: ")
    assert expected_text(file) in str(problem)
