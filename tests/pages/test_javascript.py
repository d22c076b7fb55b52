"""The pages' JavaScript without a browser: type check, lint, format and unit tests."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JS = ROOT / "tests" / "js"
BIN = "tests/js/node_modules/.bin"
STATIC = "tornado_chat/web/static"


@pytest.mark.parametrize(
    "command",
    [
        [f"{BIN}/tsc", "-p", "tests/js"],
        [f"{BIN}/eslint", "-c", "tests/js/eslint.config.js", "--max-warnings", "0", STATIC],
        [f"{BIN}/prettier", "--print-width", "110", "--check", f"{STATIC}/**/*.js", "tests/js/*.js"],
        # The files are ES modules, but no package.json declares this.
        ["node", "--experimental-default-type=module", "--no-warnings", "--test", "tests/js/"],
    ],
    ids=["types", "lint", "format", "units"],
)
def test_javascript(command: list[str]) -> None:
    assert (JS / "node_modules").is_dir(), "node_modules is missing: run scripts/test, or npm ci in tests/js"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
