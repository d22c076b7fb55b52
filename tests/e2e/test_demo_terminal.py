"""The demo ends when the terminal in which it runs is closed."""

import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS


def start_demo(
    directory: Path, *, controlling: bool, ignoring: bool = False
) -> tuple["subprocess.Popen[bytes]", int]:
    """Start a demo in a new terminal, and wait for its guide.

    Returns the process, and the descriptor of the terminal's other side.

    :arg controlling: whether the terminal is the controlling terminal of the process.
    :arg ignoring: whether the process ignores SIGHUP, as under nohup(1).
    """

    def prepare() -> None:
        if controlling:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if ignoring:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    outer, inner = os.openpty()
    options = ["--set", "server.port=0", "--set", f"server.state_dir={directory / 'configured'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tornado_chat", "demo", "--state-dir", str(directory / "demo"), *options],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        preexec_fn=prepare,
    )
    os.close(inner)
    text = b""
    while b"demo.json" not in text:
        assert select.select([outer], [], [], WAIT_TIMEOUT_SECONDS)[0], text
        text += os.read(outer, 65536)
    return process, outer


@pytest.mark.parametrize("controlling", [True, False], ids=["with SIGHUP", "without SIGHUP"])
def test_the_demo_ends_with_its_terminal(tmp_path: Path, controlling: bool) -> None:
    process, outer = start_demo(tmp_path, controlling=controlling)
    os.close(outer)
    assert process.wait(WAIT_TIMEOUT_SECONDS) == 0
    assert not list((tmp_path / "configured").glob("demo-current.json"))


def test_sighup_ends_the_demo(tmp_path: Path) -> None:
    process, outer = start_demo(tmp_path, controlling=False)
    process.send_signal(signal.SIGHUP)
    assert process.wait(WAIT_TIMEOUT_SECONDS) == 0
    os.close(outer)


def test_a_demo_that_ignores_sighup_goes_on(tmp_path: Path) -> None:
    process, outer = start_demo(tmp_path, controlling=True, ignoring=True)
    process.send_signal(signal.SIGHUP)
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn"))
    assert ignored >> (signal.SIGHUP - 1) & 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_TIMEOUT_SECONDS) == 0
    os.close(outer)
