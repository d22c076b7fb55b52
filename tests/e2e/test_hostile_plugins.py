"""Broken plugins in the real process, one kind of fault each: people who talk meanwhile notice nothing.

Each file of ``tests/plugins/hostile`` is a plugin, and names by constants what is expected; all are optional:

- ``HOOK`` and ``KIND``: the labels of the failure in the log, in the status and in the metrics; KIND is
  ``error``, ``timeout`` or ``slow``.
- ``OPTIONS``: options of the plugin, as ``name=value``.
- ``IS_BOOM_REFUSED``: the message "boom" is refused. Otherwise every message passes.
- ``TOKEN_CLOSE``, ``OBSERVER_CLOSE``, ``SESSION_CLOSE``: the close codes of a client with the token "magic",
  of an observer, and of a client that enters a session that does not exist; ``TRANSCRIPT_STATUS`` and
  ``PAGE_STATUS``: the HTTP status of a transcript and of the page ``/hostile``.
- ``LOG``: patterns of other lines in the log.
- ``START``: a part of the sentence with which the server does not start.
- ``CHECK``: the same of ``check-config``; the server does not start either.

The files ``check_*.py`` are for ``tests/plugins/test_hostile_checks.py``.
"""

import ast
import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Harness, token
from tests.e2e.conftest import Process
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS

FOLDER = Path(__file__).parents[1] / "plugins" / "hostile"
FILES = sorted(file for file in FOLDER.glob("*.py") if not file.stem.startswith("check_"))

VERBS = {"error": "failed", "timeout": "did not answer in time", "slow": "blocked the server"}
VISITOR, COUNSELLOR = token("user", 1, "Lin"), token("consultant", 2, "Chen")
ADMIN, HOST = token("admin", "root"), token("service", "host")


def expectations(file: Path) -> dict[str, Any]:
    """Return the constants of a plugin, without importing it."""
    found: dict[str, Any] = {}
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:  # no constant
                continue
    return found


EXPECTED = {file.stem: expectations(file) for file in FILES}
REFUSED_AT_START = [name for name, expected in EXPECTED.items() if {"START", "CHECK"} & expected.keys()]
CHECKED = [name for name, expected in EXPECTED.items() if "CHECK" in expected]
RUNNING = [name for name in EXPECTED if name not in REFUSED_AT_START]

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    return folder


def install(name: str, folder: Path, process: Process) -> dict[str, Any]:
    """Let the process load the plugin, and return what is expected of it."""
    (folder / f"{name}.py").symlink_to(FOLDER / f"{name}.py")
    expected = EXPECTED[name]
    process.options += [
        f"plugins.paths={folder}",
        *(f"plugin:{name}.{option}" for option in expected.get("OPTIONS", ())),
    ]
    process.expected += [rf"plugin {name}\b", "is slowed down", *expected.get("LOG", ())]
    return expected


def test_there_are_many_kinds_of_faults() -> None:
    assert len(FILES) >= 40


@pytest.mark.parametrize("name", CHECKED)
def test_check_config_names_the_fault(name: str, folder: Path, process: Process) -> None:
    expected = install(name, folder, process)
    options = [word for option in process.options for word in ("--set", option)]
    checked = subprocess.run(
        [sys.executable, "-m", "tornado_chat", "check-config", *options],
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_SECONDS,
    )
    said = checked.stdout + checked.stderr
    assert checked.returncode == 2, said
    assert f"{name}.py" in said
    assert expected["CHECK"] in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", REFUSED_AT_START)
@pytest.mark.gen_test
async def test_the_server_does_not_start_and_says_why(name: str, folder: Path, process: Process) -> None:
    expected = install(name, folder, process)
    with pytest.raises(AssertionError, match="the server did not start") as refused:
        await process.start()
    said = str(refused.value)
    assert f"{name}.py" in said
    assert expected.get("START", expected.get("CHECK")) in said
    assert await process.stop() in (1, 2)
    process.expected += ["Traceback"] if "trace=" in said else []


@pytest.mark.parametrize("name", RUNNING)
@pytest.mark.gen_test
async def test_a_conversation_is_not_disturbed_and_the_plugin_is_named(
    name: str, folder: Path, process: Process
) -> None:
    expected = install(name, folder, process)
    harness = (await process.start()).harness
    talk = _Talk(harness, expected)
    await talk.counsel()
    await talk.support()
    await talk.others()
    if "HOOK" in expected:
        hook, kind = expected["HOOK"], expected["KIND"]
        await process.wait_for_log(rf"plugin {name} {VERBS[kind]}.* in {hook}")
        metrics = await wait_for_metrics(harness, f'hook="{hook}",kind="{kind}",plugin="{name}"')
        assert f'tornado_chat_plugin_problem{{plugin="{name}"}} 1.0' in metrics
        status = json.loads((await harness.api("GET", "/api/v1/status", ADMIN)).body)
        problem = status["problems"][f"plugin {name}"]
        assert re.search(rf"{hook} (failed|blocked the server) (once|\d+ times) \(last: .*\): ", problem)
        assert "restart" in problem
        assert f"plugin {name}" in status["degraded"]
    await talk.counsel()  # it goes on
    assert await process.stop() == 0
    for pattern in expected.get("LOG", ()):
        if "HOOK" not in expected:
            await process.wait_for_log(pattern)


async def wait_for_metrics(harness: Harness, labels: str) -> str:
    """Wait until a failure with these labels is counted, and return all metrics."""
    counted = re.compile(rf"tornado_chat_plugin_failures_total{{{re.escape(labels)}}} [1-9]")
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while True:
            metrics = (await harness.api("GET", "/metrics")).body.decode()
            if counted.search(metrics):
                return metrics
            await asyncio.sleep(0.02)  # another process counts


class _Talk:
    """People who use all parts of the server."""

    def __init__(self, harness: Harness, expected: dict[str, Any]) -> None:
        self._harness = harness
        self._expected = expected
        self._session = 0

    async def counsel(self) -> None:
        """Hold a counselling session with an observer, in both directions."""
        harness = self._harness
        self._session = await harness.session()
        visitor = await harness.chat(VISITOR, self._session, features="ack")
        counsellor = await harness.chat(COUNSELLOR, self._session)
        for who in (visitor, counsellor):
            while (await who.recv_json())["msg"] != "会话已开始":
                pass
        await self._observe()
        texts = ["hello", "boom", "bye"]
        for text in texts:
            await visitor.send_json({"msg": text, "id": text})
            answer = await visitor.recv_json()
            if text == "boom" and self._expected.get("IS_BOOM_REFUSED"):
                assert answer["msg"].startswith("错误: 未发送"), answer
                assert not re.search("重新发送|再试|稍后", answer["msg"]), "the same text would fail again"
                continue
            assert answer.get("ack") == text, answer
            assert (await counsellor.recv_json())["msg"] == text
            await counsellor.send_json({"msg": f"heard {text}"})
            assert (await visitor.recv_json())["msg"] == f"heard {text}"
        await visitor.close(4000)
        assert (await counsellor.recv_json())["msg"] == "会话已结束"

    async def _observe(self) -> None:
        observer = await self._harness.connect(f"/observe?token={ADMIN}&sessionId={self._session}")
        code = self._expected.get("OBSERVER_CLOSE")
        if code is not None:
            assert (await observer.wait_closed()).code == code
        else:
            await observer.close()

    async def support(self) -> None:
        """Let a user find a waiter, and speak with the waiter."""
        user, waiter = await self._harness.user(5), await self._harness.waiter(7)
        await user.until("connect_success")
        await waiter.until("new_connection")
        await user.send_frame("message_text", {"message": "hello"})
        assert (await waiter.until("message_text"))["payload"]["message"] == "hello"
        await waiter.send_frame("disconnect", to=user.uuid)
        await user.until("disconnected")
        await waiter.close()

    async def others(self) -> None:
        """Make the requests that a plugin decides."""
        harness, expected = self._harness, self._expected
        stranger = await harness.connect("/notify?token=magic")
        assert (await stranger.wait_closed()).code == expected.get("TOKEN_CLOSE", 4401)
        lost = await harness.chat(VISITOR, 4711)
        assert (await lost.wait_closed()).code == expected.get("SESSION_CLOSE", 4404)
        transcript = await harness.api("GET", f"/api/v1/sessions/{self._session}/messages", COUNSELLOR)
        assert transcript.code == expected.get("TRANSCRIPT_STATUS", 200)
        page = await harness.api("GET", "/hostile")
        assert page.code == expected.get("PAGE_STATUS", 404)
