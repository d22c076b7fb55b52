"""The manual names files, folders and functions that are there, and links lead somewhere."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
ARCHITECTURE = ROOT / "docs" / "architecture.md"

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
REPOSITORY_PATH = re.compile(r"(?<![\w./-])(?:tornado_chat|docs|etc|tests|scripts|plugins)/[\w./-]*[\w/]")
FUNCTIONS = re.compile(r"`(tornado_chat/[\w/]+\.py)`\s+\(((?:`[\w.]+`[^`()]*)+)\)")

DELIMITERS = re.compile(r"\|(?: *:?-+:? *\|)+")
CELL_BORDER = re.compile(r"(?<!\\)\|")
"""A border between two cells. Only a backslash prevents it, also inside a code span (GFM, tables)."""

MODULE = re.compile(r"[\w/]+\.py")
PLACEHOLDER = re.compile(r"/[A-Z]+(/|$)")

NOT_IN_THE_REPOSITORY = {"etc/tornado-chat", "tests/js/node_modules"}
"""Paths that are made by a command, or begin at the root of an installed system."""

REMOVED = re.compile(r"\b(removed?|renamed|moved|was)\b", re.IGNORECASE)
"""A line of CHANGELOG.md or docs/decisions.md about a removed file has one of these words."""


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    text = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = FENCED.sub("", page.read_text())
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(target)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    wrong = []
    for line in FENCED.sub("", page.read_text()).splitlines():
        if page.name in ("CHANGELOG.md", "decisions.md") and REMOVED.search(line):
            continue
        for span in SPAN.findall(line):
            wrong += [
                path
                for path in REPOSITORY_PATH.findall(span)
                if path.rstrip("/") not in NOT_IN_THE_REPOSITORY
                and not PLACEHOLDER.search(path)
                and not (ROOT / path).exists()
            ]
            is_module = MODULE.fullmatch(span) and not PLACEHOLDER.search(span)
            if is_module and not any(name.endswith(f"/{span}") for name in modules()):
                wrong.append(span)
    assert wrong == []


@cache
def modules() -> frozenset[str]:
    """The paths of all Python files of the repository, each with a slash in front."""
    folders = ("tornado_chat", "plugins", "scripts", "tests")
    files = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return frozenset(f"/{path.relative_to(ROOT)}" for path in files if "node_modules" not in path.parts)


@cache
def names_in(path: Path) -> frozenset[str]:
    """Functions, classes and constants of a module; what a class has, also as ``Class.name``."""
    found: set[str] = set()

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            names: list[str] = []
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            elif isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            found.update(prefix + name for name in names)
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")

    visit(ast.parse(path.read_text()).body, "")
    return frozenset(found)


def test_every_function_that_the_architecture_names_is_in_its_file() -> None:
    found = FUNCTIONS.findall(ARCHITECTURE.read_text())
    assert len(found) > 50
    wrong = [
        f"{path}: {name}"
        for path, names in found
        for name in SPAN.findall(names)
        if name not in names_in(ROOT / path)
    ]
    assert wrong == []


def test_every_class_that_the_architecture_names_alone_is_somewhere() -> None:
    """``Class.method`` without a file, further down in a paragraph."""
    defined = frozenset().union(*(names_in(path) for path in (ROOT / "tornado_chat").rglob("*.py")))
    spans = SPAN.findall(ARCHITECTURE.read_text())
    named = {span for span in spans if re.fullmatch(r"[A-Z]\w+\.\w+", span)}
    assert named - defined == set()


def broken_tables(text: str) -> list[str]:
    """Return the lines of Markdown tables that a reader would not see as a row of a whole table.

    A table is a header, a line of delimiters and rows, with one number of cells, between empty lines.
    """
    lines = [""]
    is_fenced = False
    for line in text.splitlines():
        is_fence = line.lstrip().startswith("```")
        is_fenced = is_fenced != is_fence
        lines.append("" if is_fenced or is_fence else line)
    wrong = []
    columns = 0  # of the table; 0: outside a table
    for number, line in enumerate(lines):
        is_header = number + 1 < len(lines) and DELIMITERS.fullmatch(lines[number + 1].rstrip()) is not None
        if is_header and not columns:
            columns = cells(line)
            is_right = line.startswith("|") and not lines[number - 1].strip()
        elif line.startswith("|"):
            is_right = cells(line) == columns and line.rstrip().endswith("|")
        else:
            is_right = not (columns and line.strip())  # a paragraph right below becomes a row
            columns = 0
        if not is_right:
            wrong.append(f"line {number}: {line}")
    return wrong


def cells(line: str) -> int:
    return len(CELL_BORDER.split(line.strip().strip("|")))


ALL_MARKDOWN = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {"node_modules", ".venv", ".pytest_cache"} & set(path.relative_to(ROOT).parts)
)


@pytest.mark.parametrize("page", ALL_MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_whole(page: Path) -> None:
    assert broken_tables(page.read_text()) == []


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ("| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n", 0),
        ("| a | b |\n| --- | --- |\n| `x \\| y` | 2 |\n", 0),
        ("```\n| a |\n```\n", 0),
        ("| a | |\n| --- | --- |\n| 1 | 2 |\n\nText\n", 0),
        ("| a | b |\n| --- | --- |\n| `x | y` | 2 |\n", 1),
        ("| a | b |\n| --- | --- |\n| 1 |\n", 1),
        ("| a | b |\n| --- | --- | --- |\n| 1 | 2 |\n", 1),
        ("| a | b |\n| --- | --- |\n| 1 | 2 |\n\n| 3 | 4 |\n", 1),  # an empty line ends the table
        ("| a | b |\n| --- | --- |\n| 1 | a long cell\nthat goes on |\n", 2),
        ("| a | b |\n| --- | --- |\n| 1 | 2 |\nText\n", 1),
        ("Text\n| a | b |\n| --- | --- |\n| 1 | 2 |\n", 1),
    ],
)
def test_broken_tables_are_found(table: str, wrong: int) -> None:
    assert len(broken_tables(table)) == wrong
