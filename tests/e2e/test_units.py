"""The systemd units, checked by ``systemd-analyze``."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "etc" / "systemd"
WORST = 1.5
"""The exposure by ``systemd-analyze security``, from 0 (safe) to 10 (unsafe)."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Return the units with the path of the program in this environment."""
    for unit in UNITS.glob("tornado-chat.*"):
        text = unit.read_text().replace("/opt/tornado-chat/bin", str(Path(sys.executable).parent))
        (tmp_path / unit.name).write_text(text)
    shutil.copy(UNITS / "sysusers.conf", tmp_path)
    return tmp_path


def analyze(*arguments: str | Path) -> str:
    """Run ``systemd-analyze``, which must succeed, and return its output."""
    done = subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_units_have_no_mistakes(units: Path) -> None:
    said = analyze(
        "verify", "--recursive-errors=no", units / "tornado-chat.service", units / "tornado-chat.socket"
    )
    assert "tornado-chat" not in said


def test_the_service_is_sandboxed(units: Path) -> None:
    said = analyze(
        "security", "--offline=true", f"--threshold={WORST * 10:.0f}", units / "tornado-chat.service"
    )
    overall = re.search(r"Overall exposure level for tornado-chat.service: ([\d.]+)", said)
    assert overall is not None
    assert float(overall[1]) <= WORST


def test_the_user_can_be_created(units: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    subprocess.run(["systemd-sysusers", f"--root={root}", units / "sysusers.conf"], check=True)
    assert "tornado-chat:" in (root / "etc" / "group").read_text()
