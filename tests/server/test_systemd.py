"""The service manager: reading it from the environment, and sending notifications to it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tornado_chat.server.systemd import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The notification socket of a service manager, with a path or an abstract address."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(tmp_path / "notify") if request.param == "path" else f"\0{tmp_path.name}")
    receiver.settimeout(5)
    yield receiver
    receiver.close()


def test_notifications_are_assignments_one_per_line(receiver: socket.socket) -> None:
    name = receiver.getsockname()
    environ = {"NOTIFY_SOCKET": name if isinstance(name, str) else f"@{name[1:].decode()}", "HOME": "/"}
    manager = ServiceManager.from_environ(environ)
    assert environ == {"HOME": "/"}
    assert manager.is_connected
    manager.notify(READY=1, STATUS="配置有误\nREADY=0")
    assert receiver.recv(1000).decode() == "READY=1\nSTATUS=配置有误 READY=0"
    manager.notify_reloading()
    assert receiver.recv(1000).decode().startswith("RELOADING=1\nMONOTONIC_USEC=")
    manager.close()


def test_without_a_service_manager_nothing_is_sent() -> None:
    manager = ServiceManager.from_environ({})
    assert not manager.is_connected
    assert (manager.watchdog_seconds, list(manager.sockets)) == (0.0, [])
    manager.notify(READY=1)
    manager.close()


@pytest.mark.parametrize(("process", "lines"), [(0, 1), (2, 0)])
def test_only_a_lost_service_manager_is_logged_here(
    receiver: socket.socket, process: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of a worker's parent is logged by ``main``, whichever of the two is noticed first."""
    name = receiver.getsockname()
    manager = ServiceManager(name if isinstance(name, str) else f"@{name[1:].decode()}", process=process)
    receiver.close()
    for _ in range(2):
        manager.notify(STATUS="sockets: 0")
    assert caplog.text.count("the status cannot be sent to the service manager") == lines
    caplog.clear()
    manager.close()


def test_variables_that_are_meant_for_another_process_are_ignored() -> None:
    other = str(os.getppid())
    environ = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": other, "LISTEN_FDS": "1", "LISTEN_PID": other}
    manager = ServiceManager.from_environ(environ)
    assert environ == {}
    assert (manager.watchdog_seconds, list(manager.sockets)) == (0.0, [])


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_the_watchdog_interval_is_read_from_the_environment(environ: dict[str, str], seconds: float) -> None:
    assert ServiceManager.from_environ(environ).watchdog_seconds == seconds
