"""The demo server with its sample people, and how ``talk`` finds it.

Strategy: the demo is an ordinary server and an ordinary host system in one process. As soon as the server
listens, the host opens a session over the HTTP API and publishes each person's address and token: on the
start page, and for ``talk`` in ``demo.json`` in the state directory. A second file in the configured state
directory, which ``talk`` knows, points to that directory.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.netutil import bind_sockets

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.config.sections import Config
from tornado_chat.core.types import Person, Role, SessionState, StaffAccount
from tornado_chat.demo.home import DemoHome, Section
from tornado_chat.demo.people import (
    ACCOUNT_NAME,
    ADMIN,
    ENDPOINTS,
    PEOPLE,
    STATE_FILE,
    DemoEndpoint,
    DemoState,
    GuideData,
    counselling_pages,
    guide,
    server_pages,
    shorten_path,
    support_pages,
)
from tornado_chat.demo.terminal_watch import watch_terminal
from tornado_chat.services.auth.passwords import Passwords, generate
from tornado_chat.services.auth.secret import load_secret
from tornado_chat.services.auth.tokens import mint_token
from tornado_chat.storage import staff
from tornado_chat.storage.database import open_database
from tornado_chat.storage.exclusive_lock import write_transaction

log = logging.getLogger(__name__)

TOKEN_LIFETIME_SECONDS = 7 * 86400.0
REQUEST_TOKEN_LIFETIME_SECONDS = 60.0
POINTER_FILE = "demo-current.json"
OPEN_STATES = (SessionState.READY, SessionState.ACTIVE)


class DemoPointer(msgspec.Struct, frozen=True):
    """The file ``demo-current.json``: the state directory of the running demo."""

    state_dir: str


class DemoNotRunning(LookupError):
    """No demo is running. The text says how to start one."""


def demo_config(config: Config, directory: Path, any_port: bool) -> Config:
    """Return ``config`` for a demo, with its own data and keys in ``directory``.

    :arg any_port: if the configured port is in use, use a free one.
    :raises OSError: the directory cannot be created.
    :raises ValueError: the directory has files of another server, or of other programs.
    """
    _require_own_directory(directory, config.state_dir)
    port = 0 if any_port and _in_use(config.server.host, config.server.port) else config.server.port
    demo = replace(
        config,
        server=replace(config.server, port=port, unix_socket="", processes=1),
        auth=replace(
            config.auth,
            algorithms=("HS256",),
            secret_file="",
            public_key_file="",
            jwks_url="",
            guests=True,
        ),
        storage=replace(config.storage, url=""),
        cluster=replace(config.cluster, url=""),
    ).with_state_dir(directory)
    demo.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (directory / STATE_FILE).exists():
        _write_private(directory / STATE_FILE, b"{}\n")  # the next demo knows the directory by it
    return demo


def _require_own_directory(directory: Path, server_directory: Path) -> None:
    """Check that the directory is a new one, an empty one, or that of an earlier demo.

    The demo makes an administrator and guests in the database of its directory.
    """
    if directory.resolve() == server_directory.resolve():
        raise ValueError(f"{directory} is the state directory of the server; use another directory")
    if not directory.is_dir() or (directory / STATE_FILE).exists():
        return
    if any(directory.iterdir()):
        raise ValueError(
            f"{directory} has files that no demo has made; use an empty directory, or that of an earlier demo"
        )


def _in_use(host: str, port: int) -> bool:
    try:
        sockets = bind_sockets(port, host or None)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    for each in sockets:
        each.close()
    return False


def find_demo(state_dir: Path) -> DemoState:
    """Return the demo that runs with this state directory.

    :raises DemoNotRunning: no demo runs with it.
    """
    with contextlib.suppress(OSError, msgspec.DecodeError):
        state = msgspec.json.decode((state_dir / STATE_FILE).read_bytes(), type=DemoState)
        if _is_process_alive(state.pid):
            return state
    raise DemoNotRunning("no demo is running: start one with `tornado-chat demo`")


def find_current_demo(pointer_dir: Path) -> DemoState:
    """Return the demo that was started last.

    :arg pointer_dir: the configured state directory, which has the pointer file.
    :raises DemoNotRunning: no demo is running.
    """
    return find_demo(current_demo_dir(pointer_dir))


def current_demo_dir(pointer_dir: Path) -> Path:
    """Return the state directory of the demo that was started last, which may have ended.

    :arg pointer_dir: as ``find_current_demo``.
    """
    try:
        pointer = msgspec.json.decode((pointer_dir / POINTER_FILE).read_bytes(), type=DemoPointer)
    except (OSError, msgspec.DecodeError):
        return pointer_dir
    return Path(pointer.state_dir)


def _is_process_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # the process exists, and belongs to another user
    return True


class DemoHost:
    """The host system of the demo: opens the sessions, and prints the guide.

    :arg config: the configuration of the server, from ``demo_config``.
    :arg pointer_dir: the directory for the pointer file, which ``find_current_demo`` reads.
    :arg command: the command line of ``tornado-chat`` in a terminal.
    :arg print_text: prints a text.
    :ivar home: the start page.
    :raises ValueError: the secret cannot be created or read, with the reason.
    """

    def __init__(
        self, config: Config, pointer_dir: Path, command: str, print_text: Callable[[str], object]
    ) -> None:
        self._config = config
        self._secret = load_secret(config.auth, config.state_dir)
        self._pointer = pointer_dir / POINTER_FILE
        self._command = command
        self._print_text = print_text
        self.home = DemoHome(config.web.ops_networks)
        self._task: asyncio.Task[None] | None = None
        self.failed = False

    def on_listening(self, url: str) -> None:
        """Start the set-up. The server calls this on its event loop when it listens."""
        watch_terminal(_stop)
        self._task = asyncio.get_running_loop().create_task(self._set_up(url))

    def remove_pointer(self) -> None:
        """Remove the pointer file, so that ``talk`` does not find this demo."""
        with contextlib.suppress(OSError):
            if self._pointer.read_bytes() == self._pointer_text():  # else it belongs to a later demo
                self._pointer.unlink()

    async def _set_up(self, url: str) -> None:
        try:
            state = await self._open_sessions(url)
            password = await asyncio.to_thread(self._set_up_account)
            _write_private(self._config.state_dir / STATE_FILE, _json(state))
            has_pointer = self._write_pointer()
        except Exception:
            # The demo ends at any error, because it is useless without its people.
            log.exception("the demo cannot be set up")
            self.failed = True
            _stop()
            return
        admin_token = self._make_token(ADMIN.role, ADMIN.id, ADMIN.name, TOKEN_LIFETIME_SECONDS)
        self.home.sections = [
            Section("Counselling", "心理咨询", counselling_pages(state)),
            Section("Support", "客服", support_pages(state)),
            Section("The server", "服务器", server_pages(state, admin_token)),
        ]
        directory = shorten_path(self._config.state_dir)
        self._print_text(guide(GuideData(state, password, self._command, directory, has_pointer)))

    async def _open_sessions(self, url: str) -> DemoState:
        """Return the session and the record of the last demo if they are open, else open new ones."""
        session_id, record_id = await self._find_last_sessions(url)
        if session_id is None:
            visitor, consultant = PEOPLE["visitor"], PEOPLE["consultant"]
            body = {
                "user_id": visitor.id,
                "user_name": visitor.name,
                "consultant_id": consultant.id,
                "consultant_name": consultant.name,
            }
            session_id = int((await self._request(url, "/sessions", body))["session_id"])
        if record_id is None:
            record_id = (await self._supervise(url, session_id, {}))[0]
        return self._make_state(url, session_id, record_id)

    async def _find_last_sessions(self, url: str) -> tuple[int | None, int | None]:
        """Return the session and the record of the last demo; None for one that has ended."""
        try:
            last = msgspec.json.decode((self._config.state_dir / STATE_FILE).read_bytes(), type=DemoState)
            session = await self._request(url, f"/sessions/{last.session_id}")
        except (OSError, msgspec.DecodeError):
            return None, None
        except HTTPClientError as error:
            if error.code == 404:  # the database was removed
                return None, None
            raise
        if session["state"] not in OPEN_STATES:
            return None, None
        record_id, state = await self._supervise(url, last.session_id, {"record_id": last.record_id})
        return last.session_id, record_id if state in OPEN_STATES else None

    async def _supervise(self, url: str, session_id: int, more: Mapping[str, int]) -> tuple[int, str]:
        """Return the supervision record ``record_id`` of ``more``, or a new one, and its state."""
        supervisor = PEOPLE["supervisor"]
        body = {"supervisor_id": supervisor.id, "supervisor_name": supervisor.name, **more}
        record = await self._request(url, f"/sessions/{session_id}/supervision", body)
        return int(record["record_id"]), record.get("state", SessionState.READY)

    async def _request(self, url: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        bearer = self._make_token(Role.SERVICE, "demo", None, REQUEST_TOKEN_LIFETIME_SECONDS)
        response = await AsyncHTTPClient().fetch(
            f"{url}/api/v1{path}",
            method="GET" if body is None else "POST",
            headers={"Authorization": f"Bearer {bearer}"},
            body=None if body is None else msgspec.json.encode(body),
        )
        return msgspec.json.decode(response.body, type=dict[str, Any])

    def _make_token(self, role: Role, id: int | str, name: str | None, lifetime: float) -> str:
        now = time.time()
        return mint_token(
            self._config.auth, self._secret, id=id, role=role, name=name, lifetime=lifetime, now=now
        )

    def _set_up_account(self) -> str:
        """Create the administrator's account, or change its password. Returns the new random password."""
        password = generate()
        hash = Passwords().hash_blocking(password)
        database = open_database(self._config.storage, without_timeout=True)
        try:
            with write_transaction(database):
                if not staff.set_password(database, ACCOUNT_NAME, hash):
                    person = Person(ADMIN.role, str(ADMIN.id))
                    account = StaffAccount(ACCOUNT_NAME, ADMIN.name, person, now_microseconds())
                    staff.add(database, account, hash)
        finally:
            database.close()
        return password

    def _make_state(self, url: str, session_id: int, record_id: int) -> DemoState:
        people = {}
        for argument, person in PEOPLE.items():
            endpoint = person.endpoint.format(session_id=session_id, record_id=record_id)
            people[argument] = DemoEndpoint(
                url="ws" + url.removeprefix("http") + endpoint,
                token=self._make_token(person.role, person.id, person.name, TOKEN_LIFETIME_SECONDS),
                dialect=ENDPOINTS[endpoint.partition("?")[0]],
                endpoint=endpoint,
                name=person.name,
            )
        return DemoState(url, os.getpid(), session_id, record_id, people)

    def _write_pointer(self) -> bool:
        """Write the pointer for ``find_current_demo``. Returns False on failure: the demo can run without."""
        try:
            self._pointer.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_private(self._pointer, self._pointer_text())
        except OSError as error:
            log.debug("the pointer to the demo cannot be written: %s", error)
            return False
        return True

    def _pointer_text(self) -> bytes:
        return _json(DemoPointer(str(self._config.state_dir)))


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _json(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _write_private(path: Path, content: bytes) -> None:
    """Write a file atomically, so that no reader sees an incomplete file; only its owner may read it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    with open(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)
