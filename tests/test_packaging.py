"""What the wheel contains, and what an import loads."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import tornado_chat
from tornado_chat import plugin_api

ROOT = Path(__file__).parents[1]

OTHER_NAMES = {"tornado_chat_plugins": "plugins", "tornado_chat_samples": "etc"}
"""Packages whose import name is not the name of their folder: ``find:`` in setup.cfg cannot find them."""


def packages_of(name: str, folder: Path) -> set[str]:
    """The names of all packages in ``folder``, which is imported as ``name``."""
    return {
        ".".join((name, *file.parent.relative_to(folder).parts)) for file in folder.rglob("__init__.py")
    } or {name}


def modules_after(code: str) -> set[str]:
    """The names of the modules that a fresh interpreter has loaded after ``code``."""
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_the_wheel_has_every_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    present = packages_of("tornado_chat", ROOT / "tornado_chat")
    for name, folder in OTHER_NAMES.items():
        present |= packages_of(name, ROOT / folder)
    assert sorted(listed) == sorted(present)


@pytest.mark.parametrize(
    "module", ["core.types", "core.errors", "domain.queue", "wire.websocket", "aio.clock"]
)
def test_a_module_of_a_low_layer_loads_no_storage_and_no_http(module: str) -> None:
    loaded = modules_after(f"import tornado_chat.{module}")
    assert not {"peewee", "tornado.web", "tornado.httpserver", "click", "redis", "jwt"} & loaded
    high = ("storage", "plugins", "services", "web", "server", "cli", "config", "plugin_api")
    assert not {name for name in loaded if name.startswith(tuple(f"tornado_chat.{each}" for each in high))}


def test_the_package_re_exports_the_plugin_api() -> None:
    for name in plugin_api.__all__:
        assert getattr(tornado_chat, name) is getattr(plugin_api, name)
    assert set(tornado_chat.__all__) == set(plugin_api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'hookimp'"):
        tornado_chat.hookimp  # noqa: B018


def test_the_re_export_is_loaded_only_when_it_is_used() -> None:
    assert "tornado_chat.plugin_api" not in modules_after("from tornado_chat import core")
    assert "tornado_chat.plugin_api" in modules_after("from tornado_chat import hookimpl")
