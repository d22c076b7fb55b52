"""Discovery of plugins: enabled plugins, their order and settings, and reports of mistakes."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tornado_chat import config
from tornado_chat.config.ini import ConfigError
from tornado_chat.config.loader import load
from tornado_chat.plugins import discovery

Load = Callable[..., config.Config]

PLUGIN = """
from dataclasses import dataclass
from tornado_chat import Plugin, PluginSettings, hookimpl, option

@dataclass(frozen=True)
class Settings(PluginSettings):
    words: tuple[str, ...] = option(("a",), "Some words.")
    most: int = option(3, "How many.")

class Own(Plugin):
    version = "2.1"
    Settings = Settings

    @classmethod
    def check(cls, settings):
        if settings.most > 9:
            raise ValueError("most: 9 is the most")

    @hookimpl
    def shutdown(self):
        pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    return folder


@pytest.fixture
def configured(folder: Path) -> Load:
    def configured(*options: str) -> config.Config:
        return load(None, [f"plugins.paths={folder}", *options], {"HOME": "/"})

    return configured


def names(loaded: list[discovery.LoadedPlugin]) -> list[str]:
    return [each.name for each in loaded]


def problems(of: config.Config) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        discovery.load_plugins(of)
    return [str(problem) for problem in caught.value.problems]


def test_plugins_in_a_folder_are_loaded_by_name(folder: Path, configured: Load) -> None:
    for name in ("zebra", "ant"):
        (folder / f"{name}.py").write_text(PLUGIN)
    (folder / "bee").mkdir()
    (folder / "bee" / "__init__.py").write_text("from .own import Own\n")
    (folder / "bee" / "own.py").write_text(PLUGIN)
    for other in ("_helper.py", ".hidden.py", "notes.txt"):
        (folder / other).write_text("raise RuntimeError")
    loaded = discovery.load_plugins(configured())
    assert names(loaded) == ["ant", "bee", "zebra"]
    assert (loaded[0].version, loaded[0].hooks) == ("2.1", ["shutdown"])
    assert loaded[1].found.source == str(folder / "bee")


@pytest.mark.parametrize(
    ("enabled", "disabled", "expected"),
    [
        ("zebra, *", "", ["zebra", "ant", "bee"]),
        ("*, queue_policy, ant", "", ["bee", "zebra", "queue_policy", "ant"]),
        ("audit", "", ["audit"]),
        ("", "", []),
        ("*", "bee", ["ant", "zebra"]),
        ("ant, ant", "", ["ant"]),
    ],
)
def test_the_order_is_the_order_of_the_configuration(
    folder: Path, configured: Load, enabled: str, disabled: str, expected: list[str]
) -> None:
    for name in ("zebra", "ant", "bee"):
        (folder / f"{name}.py").write_text(PLUGIN)
    of = configured(f"plugins.enabled={enabled}", f"plugins.disabled={disabled}")
    assert names(discovery.load_plugins(of)) == expected


def test_a_plugin_in_a_folder_replaces_a_bundled_one_of_the_same_name(folder: Path, configured: Load) -> None:
    (folder / "audit.py").write_text(PLUGIN)
    (loaded,) = discovery.load_plugins(configured("plugins.enabled=audit"))
    assert loaded.found.source == str(folder / "audit.py")


def test_an_installed_distribution_has_plugins_by_entry_point(
    tmp_path: Path, configured: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "their_chat-3.4.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-chat\nVersion: 3.4\n")
    (info / "entry_points.txt").write_text("[tornado_chat]\ntheirs = their_chat_module\n")
    (site / "their_chat_module.py").write_text(PLUGIN.replace('version = "2.1"', ""))
    monkeypatch.syspath_prepend(str(site))
    assert names(discovery.load_plugins(configured())) == []
    (loaded,) = discovery.load_plugins(configured("plugins.enabled=theirs"))
    assert (loaded.found.source, loaded.version) == ("their-chat 3.4", "3.4")
    del sys.modules["their_chat_module"]


def test_settings_come_from_the_section_as_typed_values(folder: Path, configured: Load) -> None:
    (folder / "own.py").write_text(PLUGIN)
    (loaded,) = discovery.load_plugins(configured("plugin:own.words=x, y", "plugin:own.timeout=0.5"))
    settings: Any = loaded.plugin.settings
    assert (settings.words, settings.most, settings.timeout) == (("x", "y"), 3, 0.5)


def test_all_mistakes_are_reported_together_with_their_sources(folder: Path, configured: Load) -> None:
    (folder / "own.py").write_text(PLUGIN)
    (folder / "late.py").write_text(PLUGIN)
    (folder / "torn.py").write_text("def (:\n")
    (folder / "empty.py").write_text("")
    (folder / "needy.py").write_text("import no_such_module\n")
    (folder / "spelt.py").write_text(PLUGIN.replace("def shutdown", "def shutdwon"))
    (folder / "greedy.py").write_text(PLUGIN.replace("def shutdown(self)", "def shutdown(self, context)"))
    (folder / "fails.py").write_text("x = 1\nx.nothing\n")
    told = problems(
        configured(
            "plugins.enabled=*, audti",
            "plugin:own.most=many",
            "plugin:own.word=x",
            "plugin:late.most=10",
            "plugin:nowhere.x=1",
        )
    )
    expected = [
        'in [plugins] enabled: there is no plugin "audti"; did you mean "audit"?',
        'in [plugin:own] most: "many" is not a whole number',
        'in [plugin:own] word: this option is unknown; did you mean "words"?',
        "in [plugin:late] most: 9 is the most",
        f"torn.py: this plugin cannot be imported: SyntaxError: invalid syntax ({folder}/torn.py, line 1)",
        "empty.py: a plugin has one class that extends tornado_chat.Plugin; this one has none",
        (
            f'needy.py: this plugin needs the module "no_such_module" ({folder}/needy.py, line 1); install '
            "it beside the server: "
            f"{sys.executable} -m pip install no_such_module"
        ),
        'spelt.py: there is no hook "shutdwon"; did you mean "shutdown"?',
        "fails.py, line 2)",
        "in [plugin:nowhere]: there is no such plugin",
    ]
    for sentence in expected:
        assert any(sentence in text for text in told), (sentence, told)
    assert any("greedy.py" in text and "context" in text for text in told)
    assert len(told) == len(expected) + 1


def test_two_plugins_with_one_name_are_a_mistake(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for place in (folder, other):
        (place / "own.py").write_text(PLUGIN)
    of = load(None, [f"plugins.paths={folder}, {other}"], {"HOME": "/"})
    (told,) = problems(of)
    assert 'in [plugins] paths: there are two plugins "own"' in told


def test_only_the_default_folder_need_not_exist(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    settings = load(None, [], {"HOME": "/"})
    settings = replace(settings, plugins=replace(settings.plugins, paths=(str(missing),)))
    assert discovery.load_plugins(settings) == []
    assert problems(load(None, [f"plugins.paths={missing}"], {"HOME": "/"})) == [
        f"--set: in [plugins] paths: the folder {missing} does not exist; correct the path, or create it: "
        f"install -d -m 755 {missing}"
    ]


def test_a_constructor_that_fails(folder: Path, configured: Load) -> None:
    init = "    def __init__(self, settings):\n        "
    (folder / "forgets.py").write_text(PLUGIN + init + "pass\n")
    (folder / "leaves.py").write_text(PLUGIN + init + "raise SystemExit(3)\n")
    lines = len(PLUGIN.splitlines())
    assert problems(configured()) == [
        f"{folder}/forgets.py: the __init__ of this plugin does not call super().__init__(settings); add the "
        "call",
        f"{folder}/leaves.py: this plugin cannot be created: SystemExit: 3 ({folder}/leaves.py, line "
        f"{lines + 2})",
    ]


@pytest.mark.parametrize("package", ["tornado_chat", "tornado_chat.plugin_api"])
def test_an_import_of_the_servers_tables_names_the_replacement(
    folder: Path, configured: Load, package: str
) -> None:
    (folder / "old.py").write_text(
        f"from tornado_chat.plugin_api import Plugin\nfrom {package} import models\n"
    )
    [problem] = problems(configured())
    assert "the server's tables are no longer part of the plugin API" in problem
    assert "ServerData(database)" in problem
    assert f"({folder / 'old.py'}, line 2)" in problem
