"""The beginning of the process: a signal that comes too early, and a start that fails."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Process
from tests.e2e.service_manager import listening_socket
from tests.e2e.test_plugins import write_plugin
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS


@pytest.mark.gen_test
async def test_sighup_during_the_start_reloads_once_when_the_server_is_ready(
    process: Process, tmp_path: Path
) -> None:
    ini, next_ini = tmp_path / "own.ini", tmp_path / "next.ini"
    os.mkfifo(ini)  # the process reads its configuration until the other end is closed
    next_ini.write_text("[limits]\nburst = 7\n")
    process.files = [ini]
    starting = asyncio.create_task(process.start())
    descriptor = await asyncio.to_thread(os.open, ini, os.O_WRONLY)
    for _ in range(3):
        os.kill(process.pid, signal.SIGHUP)
    os.replace(next_ini, ini)
    os.close(descriptor)
    await starting
    await process.wait_for_log(" reloaded .*options=limits.burst")
    assert (await process.harness.api("GET", "/healthz")).code == 200
    assert await process.stop() == 0
    assert len([line for line in process.log if " reloaded " in line]) == 1


BEFORE_THE_COMMAND = """
import signal, sys, types
sys.argv = ["tornado-chat", *sys.argv[1:]]
held = lambda: print(signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
sys.modules["tornado_chat.cli"] = types.SimpleNamespace(main=held)
from tornado_chat.__main__ import main
main()
"""


@pytest.mark.parametrize(("command", "held"), [("serve", "True"), ("demo", "False")])
def test_sighup_is_held_before_the_command_is_loaded(command: str, held: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_THE_COMMAND, command], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == held


THREAD = """
@hookimpl
def startup(self, context):
    import threading
    self.ended = threading.Event()
    threading.Thread(target=self.ended.wait).start()
    note("startup")
@hookimpl
def shutdown(self):
    note("shutdown")
    self.ended.set()
"""
"""A plugin with a thread for which the interpreter waits at its end."""


@pytest.mark.gen_test
async def test_a_port_in_use_shuts_the_plugins_down(process: Process, tmp_path: Path) -> None:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    write_plugin(folder, "threaded", THREAD)
    with listening_socket(("127.0.0.1", 0)) as taken, pytest.raises(AssertionError, match="Is it in use"):
        await process.start(f"server.port={taken.getsockname()[1]}", f"plugins.paths={folder}")
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        assert await process.stop() == 1
    assert (folder / "notes").read_text().splitlines() == ["startup", "shutdown"]
    assert not any("Traceback" in line for line in process.log)


@pytest.mark.gen_test
async def test_a_plugin_that_cannot_start_shuts_the_earlier_ones_down(
    process: Process, tmp_path: Path
) -> None:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    write_plugin(folder, "a_first", THREAD)
    write_plugin(
        folder,
        "b_failing",
        "@hookimpl\ndef startup(self, context):\n    raise OSError('no')\n"
        "@hookimpl\ndef shutdown(self):\n    note('never')",
    )
    write_plugin(folder, "c_last", "@hookimpl\ndef startup(self, context):\n    note('never')")
    with pytest.raises(AssertionError, match=r"plugin b_failing .* failed in startup"):
        await process.start(f"plugins.paths={folder}")
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        assert await process.stop() == 1
    assert (folder / "notes").read_text().splitlines() == ["startup", "shutdown"]
    process.expected.append("plugin b_failing failed in startup")
