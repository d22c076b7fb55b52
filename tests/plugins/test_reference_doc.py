"""``docs/plugins.md`` is up to date with the code, and its examples work."""

import re
from pathlib import Path

from tornado_chat.config.loader import load
from tornado_chat.plugins import discovery
from tornado_chat.plugins.hookspecs import HOOK_KINDS, Hooks
from tornado_chat.plugins.reference_doc import fill

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
EXAMPLES = [
    code for code in re.findall(r"```python\n(.+?)```", PAGE.read_text(), re.DOTALL) if "(Plugin):" in code
]


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert page == fill(page), "run: python -m tornado_chat.plugins.reference_doc docs/plugins.md"


def test_every_hook_has_a_kind_and_a_manual() -> None:
    hooks = {name: function for name, function in vars(Hooks).items() if not name.startswith("_")}
    assert set(hooks) == set(HOOK_KINDS)
    assert all(function.__doc__ for function in hooks.values())


def test_every_example_loads(tmp_path: Path) -> None:
    assert len(EXAMPLES) == 14
    for number, code in enumerate(EXAMPLES):
        (tmp_path / f"example{number:02}.py").write_text(code)
    loaded = discovery.load_plugins(load(None, [f"plugins.paths={tmp_path}"], {"HOME": "/"}))
    assert [each.hooks for each in loaded] == [
        ["startup", "session_started"],
        ["deliver_notification"],
        ["startup", "register_commands", "conversation_ended"],
        ["startup"],
        ["startup", "message_posted"],
        ["startup", "conversation_rated", "agent_changed", "token_refused"],
        ["startup", "session_started"],
        ["startup", "message_posted"],
        ["startup"],
        ["register_models", "register_keeper"],
        ["register_handlers"],
        ["register_models", "register_handlers", "register_commands"],
        ["authenticate"],
        ["register_queue_policy"],
    ]
