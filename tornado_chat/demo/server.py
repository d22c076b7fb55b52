"""A server for people who want to look, with made-up people in it, and how ``talk`` finds it.

Strategy: the demo is an ordinary server with an ordinary host system beside it, in one process. As
soon as the server listens, the host opens a session over the HTTP API and writes down where each
person connects, and with which token: to the screen, and for ``talk`` to ``demo.json`` in the state
directory. A second little file, at a place that both sides know, says where that is.
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
from tornado_chat.demo.people import (
    ACCOUNT_NAME,
    ADMIN,
    ENDPOINTS,
    PEOPLE,
    DemoEndpoint,
    DemoState,
    GuideData,
    guide,
)
from tornado_chat.services.auth.passwords import Passwords, generate
from tornado_chat.services.auth.secret import load_secret
from tornado_chat.services.auth.tokens import mint_token
from tornado_chat.storage import staff
from tornado_chat.storage.database import open_database

log = logging.getLogger(__name__)

TOKEN_LIFETIME_SECONDS = 7 * 86400.0
REQUEST_TOKEN_LIFETIME_SECONDS = 60.0
STATE_FILE = "demo.json"
POINTER_FILE = "demo-current.json"
OPEN_STATES = (SessionState.READY, SessionState.ACTIVE)


class DemoPointer(msgspec.Struct, frozen=True):
    """``demo-current.json``: where the notes of the running demo are."""

    state_dir: str


class DemoNotRunning(LookupError):
    """There is no demo to talk to; the text says what to do."""


def demo_config(config: Config, directory: Path, any_port: bool) -> Config:
    """``config`` for a demo: with data and keys of its own in ``directory``, whatever is in use elsewhere.

    :arg any_port: if the configured port is in use, take a free one.
    :raises OSError: the directory cannot be made.
    """
    port = 0 if any_port and _in_use(config.server.host, config.server.port) else config.server.port
    own = replace(
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
    own.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return own


def _in_use(host: str, port: int) -> bool:
    try:
        sockets = bind_sockets(port, host or None)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    for each in sockets:
        each.close()
    return False


def find_demo(state_dir: Path) -> DemoState:
    """The demo that runs with this state directory.

    :raises DemoNotRunning: none does.
    """
    with contextlib.suppress(OSError, msgspec.DecodeError):
        notes = msgspec.json.decode((state_dir / STATE_FILE).read_bytes(), type=DemoState)
        if _is_process_alive(notes.pid):
            return notes
    raise DemoNotRunning("no demo is running: start one with `tornado-chat demo`")


def find_current_demo(home: Path) -> DemoState:
    """The demo that was started last; ``home`` is the state directory of the configuration.

    :raises DemoNotRunning: none runs.
    """
    directory = home
    with contextlib.suppress(OSError, msgspec.DecodeError):
        directory = Path(msgspec.json.decode((home / POINTER_FILE).read_bytes(), type=DemoPointer).state_dir)
    return find_demo(directory)


def _is_process_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, so it is there
    return True


class DemoHost:
    """The host system of the demo: opens the sessions, and tells everybody where to go.

    :arg config: of the server, see ``demo_config``.
    :arg home: where ``find_current_demo`` looks.
    :arg command: how the reader calls our command line.
    :arg say: prints.
    :raises ValueError: the secret cannot be made or read; the sentence says why.
    """

    def __init__(self, config: Config, home: Path, command: str, say: Callable[[str], object]) -> None:
        self._config = config
        self._secret = load_secret(config.auth, config.state_dir)
        self._pointer = home / POINTER_FILE
        self._command = command
        self._say = say
        self._task: asyncio.Task[None] | None = None
        self.failed = False

    def on_listening(self, url: str) -> None:
        """The server listens; we are on its loop."""
        self._task = asyncio.get_running_loop().create_task(self._set_up(url))

    def remove_pointer(self) -> None:
        """Nobody shall look for the server any more."""
        with contextlib.suppress(OSError):
            if self._pointer.read_bytes() == self._pointer_text():  # a later demo may have made it its own
                self._pointer.unlink()

    async def _set_up(self, url: str) -> None:
        try:
            notes = await self._open_sessions(url)
            password = await asyncio.to_thread(self._give_account)
            _write_private(self._config.state_dir / STATE_FILE, _json(notes))
            found = self._point()
        except Exception:
            # Whatever it was: without its people the demo is nothing to look at.
            log.exception("the demo cannot be set up")
            self.failed = True
            os.kill(os.getpid(), signal.SIGTERM)
            return
        admin = self._token(ADMIN.role, ADMIN.id, ADMIN.name, TOKEN_LIFETIME_SECONDS)
        where = None if found else str(self._config.state_dir)
        self._say(guide(GuideData(notes, admin, password, self._command, where)))

    async def _open_sessions(self, url: str) -> DemoState:
        """The last demo's session and record where they are open, else new ones."""
        session_id, record_id = await self._last(url)
        if session_id is None:
            visitor, consultant = PEOPLE["visitor"], PEOPLE["consultant"]
            wanted = {
                "user_id": visitor.id,
                "user_name": visitor.name,
                "consultant_id": consultant.id,
                "consultant_name": consultant.name,
            }
            session_id = int((await self._request(url, "/sessions", wanted))["session_id"])
        if record_id is None:
            record_id = (await self._supervise(url, session_id, {}))[0]
        return self._notes(url, session_id, record_id)

    async def _last(self, url: str) -> tuple[int | None, int | None]:
        """The session and the record of the last demo in this directory, each if it is open."""
        try:
            last = msgspec.json.decode((self._config.state_dir / STATE_FILE).read_bytes(), type=DemoState)
            session = await self._request(url, f"/sessions/{last.session_id}")
        except (OSError, msgspec.DecodeError):
            return None, None
        except HTTPClientError as error:
            if error.code == 404:  # somebody has removed the database
                return None, None
            raise
        if session["state"] not in OPEN_STATES:
            return None, None
        record_id, state = await self._supervise(url, last.session_id, {"record_id": last.record_id})
        return last.session_id, record_id if state in OPEN_STATES else None

    async def _supervise(self, url: str, session_id: int, more: Mapping[str, int]) -> tuple[int, str]:
        """The record with this id, or a new one, and its state."""
        who = PEOPLE["supervisor"]
        supervisor = {"supervisor_id": who.id, "supervisor_name": who.name, **more}
        record = await self._request(url, f"/sessions/{session_id}/supervision", supervisor)
        return int(record["record_id"]), record.get("state", SessionState.READY)

    async def _request(self, url: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        response = await AsyncHTTPClient().fetch(
            f"{url}/api/v1{path}",
            method="GET" if body is None else "POST",
            headers={
                "Authorization": f"Bearer {self._token(Role.SERVICE, 'demo', None, REQUEST_TOKEN_LIFETIME_SECONDS)}"
            },
            body=None if body is None else msgspec.json.encode(body),
        )
        return msgspec.json.decode(response.body, type=dict[str, Any])

    def _token(self, role: Role, id: int | str, name: str | None, lifetime: float) -> str:
        now = time.time()
        return mint_token(
            self._config.auth, self._secret, id=id, role=role, name=name, lifetime=lifetime, now=now
        )

    def _give_account(self) -> str:
        """Give the administrator an account. Returns its password, another one every time."""
        password = generate()
        hash = Passwords().hash_blocking(password)
        database = open_database(self._config.storage, without_timeout=True)
        try:
            with database.atomic():
                if not staff.set_password(database, ACCOUNT_NAME, hash):
                    person = Person(ADMIN.role, str(ADMIN.id))
                    account = StaffAccount(ACCOUNT_NAME, ADMIN.name, person, now_microseconds())
                    staff.add(database, account, hash)
        finally:
            database.close()
        return password

    def _notes(self, url: str, session_id: int, record_id: int) -> DemoState:
        people = {}
        for word, person in PEOPLE.items():
            endpoint = person.endpoint.format(session_id=session_id, record_id=record_id)
            people[word] = DemoEndpoint(
                url="ws" + url.removeprefix("http") + endpoint,
                token=self._token(person.role, person.id, person.name, TOKEN_LIFETIME_SECONDS),
                dialect=ENDPOINTS[endpoint.partition("?")[0]],
                endpoint=endpoint,
                name=person.name,
            )
        return DemoState(url, os.getpid(), session_id, record_id, people)

    def _point(self) -> bool:
        """Leave word for ``find_current_demo``. It is not worth failing for."""
        try:
            self._pointer.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_private(self._pointer, self._pointer_text())
        except OSError as error:
            log.debug("no pointer to the demo: %s", error)
            return False
        return True

    def _pointer_text(self) -> bytes:
        return _json(DemoPointer(str(self._config.state_dir)))


def _json(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, at once: nobody reads half of it."""
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    with open(descriptor, "wb") as file:
        file.write(content)
    os.replace(aside, path)
