"""The pages' JavaScript by itself: types, rules, form, and the shared modules without a browser."""

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
        # The pages are modules without a package.json that would say so.
        ["node", "--experimental-default-type=module", "--no-warnings", "--test", "tests/js/"],
    ],
    ids=["types", "rules", "form", "units"],
)
def test_javascript(command: list[str]) -> None:
    assert (JS / "node_modules").is_dir(), "scripts/test installs what this needs, or: npm ci in tests/js"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
