"""The faults of plugins: ``check-config``, ``serve`` and ``plugins`` print the same sentences."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_other_user import WITHOUT_RIGHTS

HEAD = """
import click, peewee, tornado.web
from tornado_chat.plugin_api import Plugin, hookimpl

class Page(tornado.web.RequestHandler):
    pass

class Note(peewee.Model):
    class Meta:
        table_name = "notes"

class Policy:
    def rank(self, ticket):
        return (ticket.number,)
    def choose(self, ticket, pool):
        return None

class Own(Plugin):
"""

BODIES = {
    "a_unmarked": """
    def filter_message(self, draft):
        return None
""",
    "b_async": """
    @hookimpl
    async def register_models(self):
        return [Note]
""",
    "c_routes": """
    @hookimpl
    def register_handlers(self, context):
        return [("/room", Page), ("/(.*)", Page), ("/c", Note)]
    @hookimpl
    def register_models(self):
        return [Note]
""",
    "d_names": """
    @hookimpl
    def register_models(self):
        return [Note]
    @hookimpl
    def register_commands(self):
        return [click.Command("serve", callback=print)]
    @hookimpl
    def register_queue_policy(self):
        return Policy()
""",
    "e_policy": """
    @hookimpl
    def register_queue_policy(self):
        return Policy
""",
    "f_raises": """
    @hookimpl
    def register_handlers(self, context):
        return [("/f", {}["page"])]
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()
    return folder


def run(tmp_path: Path, command: str, *options: str, without_rights: bool = False) -> tuple[int, list[str]]:
    """Run a command in a separate process. Returns the exit code and the lines on standard error.

    :arg without_rights: as a user who has no more rights than the owner of the files.
    """
    if without_rights and os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    prefix = WITHOUT_RIGHTS if without_rights and os.geteuid() == 0 else []
    arguments = [word for option in ("server.port=0", *options) for word in ("--set", option)]
    result = subprocess.run(
        [*prefix, sys.executable, "-m", "tornado_chat", command, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")},
    )
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "state").exists(), "no files are created"
    return result.returncode, result.stderr.removeprefix("tornado-chat: ").splitlines()


@pytest.mark.parametrize("command", ["check-config", "serve", "plugins"])
def test_all_faults_of_all_plugins_are_printed_together(tmp_path: Path, folder: Path, command: str) -> None:
    for name, body in BODIES.items():
        (folder / f"{name}.py").write_text(HEAD + body)
    code, printed = run(tmp_path, command, f"plugins.paths={folder}")
    line = (HEAD + BODIES["f_raises"]).splitlines().index('        return [("/f", {}["page"])]') + 1
    assert (code, printed) == (
        2,
        [
            f"{folder}/a_unmarked.py: filter_message: this method has the name of a hook, but is not marked, "
            "so it is never called; write @hookimpl above it, or give it another name",
            f"{folder}/b_async.py: register_models: this hook is called without await; write `def` instead "
            "of `async def`",
            f'{folder}/c_routes.py: register_handlers: the server has the route "/room" itself, and answers '
            "first; begin it with the name of the plugin, such as /c_routes",
            f'{folder}/c_routes.py: register_handlers: the route "/(.*)" matches /chat too, which the server '
            "answers first; begin it with the name of the plugin, such as /c_routes",
            f'{folder}/c_routes.py: register_handlers: the handler of the route "/c", Note, is no class that '
            "extends tornado.web.RequestHandler; extend it",
            f'{folder}/d_names.py: register_models: the plugin c_routes has a table "notes" already; write '
            'table_name = "d_names_…" in the Meta of Note',
            f'{folder}/d_names.py: register_commands: the server has a command "serve" already; give it '
            'another name, such as "d_names"',
            f"{folder}/e_policy.py: register_queue_policy: it returned the class Policy; return an object of "
            "it: Policy()",
            f"{folder}/f_raises.py: register_handlers failed: KeyError: 'page' ({folder}/f_raises.py, "
            f"line {line}); correct it, or disable the plugin",
        ],
    )


@pytest.mark.parametrize("command", ["check-config", "serve", "plugins"])
def test_faults_of_registrations_alone_stop_the_start(tmp_path: Path, folder: Path, command: str) -> None:
    for name in ("d_names", "e_policy"):
        (folder / f"{name}.py").write_text(HEAD + BODIES[name])
    code, printed = run(tmp_path, command, f"plugins.paths={folder}")
    assert (code, [line.partition(": ")[0] for line in printed]) == (
        2,
        [f"{folder}/d_names.py", f"{folder}/e_policy.py"],
    )


def test_the_command_of_a_plugin_with_faults(tmp_path: Path, folder: Path) -> None:
    (folder / "d_names.py").write_text(HEAD + BODIES["d_names"].replace("click.Command", "str.format"))
    code, printed = run(tmp_path, "shop", f"plugins.paths={folder}")
    assert (code, printed[-1]) == (
        2,
        f"{folder}/d_names.py: register_commands: an object of the type str is no command; write "
        "@click.command() above the function",
    )


@pytest.mark.parametrize(
    ("check", "returned"),
    [("find_problems", "the key is lost; restore it"), ("find_problems", None), ("find_warnings", None)],
)
def test_a_check_of_a_plugin_that_fails(
    tmp_path: Path, folder: Path, check: str, returned: str | None
) -> None:
    body = f"        return {returned!r}" if returned else "        return self.key"
    (folder / "own.py").write_text(f"{HEAD}    def {check}(self, context):\n{body}\n")
    options = (f"plugins.paths={folder}", f"storage.url=sqlite:///{tmp_path}/chat.sqlite3")
    without_database, _ = run(tmp_path, "check-config", *options)
    assert without_database == (2 if check == "find_warnings" else 0)
    upgrade = [sys.executable, "-m", "tornado_chat", "db", "upgrade", "--set", options[1]]
    subprocess.run(upgrade, check=True)
    line = len(HEAD.splitlines()) + 2
    told = returned or (
        f"{check} failed: AttributeError: 'Own' object has no attribute 'key' ({folder}/own.py, line {line})"
    )
    assert run(tmp_path, "check-config", *options) == (2, [f"[plugin:own] {told}"])


def test_a_method_and_a_folder_that_look_like_more_are_warned_of(tmp_path: Path, folder: Path) -> None:
    (folder / "own.py").write_text(f"{HEAD}    def filter_mesage(self, draft):\n        pass\n")
    for name, file in (("shop", "shop.py"), ("texts", "readme.txt"), ("_later", "shop.py")):
        (folder / name).mkdir()
        (folder / name / file).write_text("")
    result = subprocess.run(
        [sys.executable, "-m", "tornado_chat", "check-config", "--set", f"plugins.paths={folder}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")},
    )
    assert [line for line in result.stdout.splitlines() if line.startswith("warning: ")] == [
        f"warning: {folder}/shop is no plugin, as it has no __init__.py; rename the file with the class to "
        "__init__.py",
        f"warning: {folder}/own.py: filter_mesage: this method is never called as a hook; if you mean the "
        'hook "filter_message", give it that name and write @hookimpl above it',
    ]


# [plugins] paths


@pytest.mark.parametrize("command", ["check-config", "serve", "plugins"])
def test_a_folder_of_plugins_that_cannot_be_read(tmp_path: Path, folder: Path, command: str) -> None:
    file = folder / "own.py"
    file.write_text(HEAD + "    pass\n")
    code, printed = run(tmp_path, command, f"plugins.paths={tmp_path}/none, {file}, {folder}, missing, ~/m")
    assert (code, printed) == (
        2,
        [
            f"--set: in [plugins] paths: the folder {tmp_path}/none does not exist; correct the path, or "
            f"create it: install -d -m 755 {tmp_path}/none",
            f"--set: in [plugins] paths: {file} is not a folder; name the folder that it is in, {folder}",
            f"--set: in [plugins] paths: the folder {tmp_path}/missing does not exist; correct the path, or "
            f"create it: install -d -m 755 {tmp_path}/missing",
            f"--set: in [plugins] paths: the folder {tmp_path}/m does not exist; correct the path, or "
            f"create it: install -d -m 755 {tmp_path}/m",
        ],
    )


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_a_folder_of_plugins_of_another_user(tmp_path: Path, folder: Path, mode: int) -> None:
    (folder / "own.py").write_text(HEAD + "    pass\n")
    folder.chmod(mode)
    try:
        code, printed = run(tmp_path, "check-config", f"plugins.paths={folder}", without_rights=True)
    finally:
        folder.chmod(0o700)
    assert (code, printed) == (
        2,
        [
            f"--set: in [plugins] paths: the folder {folder} cannot be read: Permission denied; give the "
            "user of the server the right to read it, and to enter it"
        ],
    )


def test_a_plugin_of_another_user(tmp_path: Path, folder: Path) -> None:
    file = folder / "own.py"
    file.write_text(HEAD + "    pass\n")
    file.chmod(0)
    assert run(tmp_path, "check-config", f"plugins.paths={folder}", without_rights=True) == (
        2,
        [
            f"{file}: {file} cannot be read: Permission denied; give the user of the server the right to "
            "read it"
        ],
    )


def test_a_folder_that_is_a_plugin_itself(tmp_path: Path, folder: Path) -> None:
    own = folder / "own"
    own.mkdir()
    (own / "__init__.py").write_text(HEAD + "    pass\n")
    assert run(tmp_path, "check-config", f"plugins.paths={own}") == (
        2,
        [f"--set: in [plugins] paths: {own} is a plugin itself; name the folder that it is in, {folder}"],
    )
    (own / "other.py").write_text(HEAD + "    pass\n")
    assert run(tmp_path, "check-config", f"plugins.paths={own}") == (0, [])


@pytest.mark.parametrize("path", ["plugins", "./plugins", "~/plugins"])
def test_a_relative_folder_of_plugins(tmp_path: Path, folder: Path, path: str) -> None:
    (folder / "own.py").write_text(HEAD + "    pass\n")
    result = subprocess.run(
        [sys.executable, "-m", "tornado_chat", "plugins", "--set", f"plugins.paths={path}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert f"from      {folder}/own.py" in result.stdout


# Files that cannot be imported


@pytest.mark.parametrize("command", ["check-config", "serve", "plugins"])
def test_files_that_cannot_be_imported(tmp_path: Path, folder: Path, command: str) -> None:
    package = folder / "package"
    package.mkdir()
    (package / "__init__.py").write_text("from .parts import Own\n")
    (package / "parts.py").write_text("import os\nclass Own(:\n")
    (folder / "torn.py").write_text("\n\nimport os,\n")
    (folder / "needy.py").write_text("import os\nimport no_such_library.part\n")
    (folder / "names.py").write_text("import os\n\nfrom tornado_chat import Plugins\n")
    (folder / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    (folder / "latin.py").write_bytes("\nname = 'café'\n".encode("latin-1"))
    code, printed = run(tmp_path, command, f"plugins.paths={folder}")
    assert code == 2
    assert [line.partition(": ")[0] for line in printed] == [
        str(folder / name) for name in ("latin.py", "leaves.py", "names.py", "needy.py", "package", "torn.py")
    ]
    assert f"({folder}/latin.py, line " in printed[0]
    assert printed[1].endswith(
        f"remove the exit: SystemExit: 3 ({folder}/leaves.py, line 2)",
    )
    assert "ImportError: cannot import name 'Plugins' from 'tornado_chat'" in printed[2]
    assert printed[2].endswith(f"({folder}/names.py, line 3)")
    assert printed[3] == (
        f'{folder}/needy.py: this plugin needs the module "no_such_library" ({folder}/needy.py, line 2); '
        f"install it beside the server: {sys.executable} -m pip install no_such_library"
    )
    assert printed[4] == (
        f"{package}: this plugin cannot be imported: SyntaxError: invalid syntax ({package}/parts.py, line 2)"
    )
    assert printed[5].startswith(f"{folder}/torn.py: this plugin cannot be imported: SyntaxError: ")
    assert printed[5].endswith(f"({folder}/torn.py, line 3)")


def test_a_missing_module_of_the_plugin_itself_is_not_to_be_installed(tmp_path: Path, folder: Path) -> None:
    (folder / "words.py").write_text("")
    (folder / "relative.py").write_text("from .words import load\n")
    (folder / "neighbour.py").write_text("import words\n")
    package = folder / "package"
    package.mkdir()
    (package / "__init__.py").write_text("from .missing import Own\n")
    inner = folder / "inner"
    inner.mkdir()
    (inner / "parts.py").write_text("")
    (inner / "__init__.py").write_text("\nimport parts\n")
    code, printed = run(tmp_path, "check-config", f"plugins.paths={folder}", "plugins.disabled=words")
    one_file = (
        "this plugin is one file, and cannot import another file of its folder ({file}, line 1); put both "
        "into a folder {bare}, this one as __init__.py, and import the other one relatively"
    )
    assert (code, printed) == (
        2,
        [
            f"{inner}: the module parts is a part of this plugin ({inner}/__init__.py, line 2); write "
            "`from . import parts`",
            f"{folder}/neighbour.py: "
            + one_file.format(file=folder / "neighbour.py", bare=folder / "neighbour"),
            f"{package}: {package}/missing.py is imported and does not exist ({package}/__init__.py, line "
            "1); add it",
            f"{folder}/relative.py: "
            + one_file.format(file=folder / "relative.py", bare=folder / "relative"),
        ],
    )
