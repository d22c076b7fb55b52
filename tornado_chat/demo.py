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
import shlex
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.netutil import bind_sockets

from tornado_chat.config import Config
from tornado_chat.services.identity import mint
from tornado_chat.services.secret import load_secret
from tornado_chat.terminal import Dialect
from tornado_chat.types import Role, SessionState

log = logging.getLogger(__name__)

TOKEN_LIFETIME = 7 * 86400.0
REQUEST_LIFETIME = 60.0
NOTES = "demo.json"
POINTER = "demo-current.json"
OPEN = (SessionState.READY, SessionState.ACTIVE)

ENDPOINTS: Mapping[str, Dialect] = {
    "/chat": "counselling",
    "/observe": "observe",
    "/notify": "notify",
    "/v1/ws/user/connect": "support-user",
    "/v1/ws/waiter/connect": "support-waiter",
}
"""What is spoken where."""


class Person(NamedTuple):
    """Somebody at one of the places where people can be. ``endpoint`` has placeholders."""

    role: Role
    id: int
    name: str
    endpoint: str
    does: str


PEOPLE: Mapping[str, Person] = {
    "visitor": Person(
        Role.USER, 1, "小林", "/chat?sessionId={session_id}&type=0", "the visitor of a counselling session"
    ),
    "consultant": Person(
        Role.CONSULTANT, 2, "陈老师", "/chat?sessionId={session_id}&type=0", "the consultant in it"
    ),
    "observer": Person(
        Role.SUPERVISOR, 3, "王督导", "/observe?sessionId={session_id}", "the supervisor, who listens in"
    ),
    "supervisor": Person(
        Role.SUPERVISOR, 3, "王督导", "/chat?sessionId={record_id}&type=1", "and talks with the consultant"
    ),
    "supervision": Person(
        Role.CONSULTANT, 2, "陈老师", "/chat?sessionId={record_id}&type=1", "the consultant's side of that"
    ),
    "notifications": Person(Role.CONSULTANT, 2, "陈老师", "/notify", "what pops up for the consultant"),
    "customer": Person(Role.USER, 4, "Ada", "/v1/ws/user/connect", "a customer who wants support"),
    "waiter": Person(Role.WAITER, 5, "Bob", "/v1/ws/waiter/connect", "the waiter who gives it"),
}
"""Everybody, by the word for ``talk``."""

ADMIN_ID, ADMIN_NAME = 6, "Grace"  # who has a page, and nowhere to talk


class Place(msgspec.Struct, frozen=True):
    """How one of them connects. ``url`` is ``endpoint`` with the server before it, without the token."""

    url: str
    token: str
    dialect: Dialect
    endpoint: str
    name: str


class Notes(msgspec.Struct, frozen=True):
    """``demo.json``: the running demo, and what the next one in this directory goes on with."""

    url: str
    pid: int
    session_id: int
    record_id: int
    people: dict[str, Place]


class Pointer(msgspec.Struct, frozen=True):
    """``demo-current.json``: where the notes of the running demo are."""

    state_dir: str


class NoDemo(LookupError):
    """There is no demo to talk to; the text says what to do."""


def prepare(config: Config, directory: Path, any_port: bool) -> Config:
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
    ).kept_in(directory)
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


def find(state_dir: Path) -> Notes:
    """The demo that runs with this state directory.

    :raises NoDemo: none does.
    """
    with contextlib.suppress(OSError, msgspec.DecodeError):
        notes = msgspec.json.decode((state_dir / NOTES).read_bytes(), type=Notes)
        if _alive(notes.pid):
            return notes
    raise NoDemo("no demo is running: start one with `tornado-chat demo`")


def find_current(home: Path) -> Notes:
    """The demo that was started last; ``home`` is the state directory of the configuration.

    :raises NoDemo: none runs.
    """
    directory = home
    with contextlib.suppress(OSError, msgspec.DecodeError):
        directory = Path(msgspec.json.decode((home / POINTER).read_bytes(), type=Pointer).state_dir)
    return find(directory)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, so it is there
    return True


class Host:
    """The host system of the demo: opens the sessions, and tells everybody where to go.

    :arg config: of the server, see ``prepare``.
    :arg home: where ``find_current`` looks.
    :arg command: how the reader calls our command line.
    :arg say: prints.
    :raises ValueError: the secret cannot be made or read; the sentence says why.
    """

    def __init__(self, config: Config, home: Path, command: str, say: Callable[[str], object]) -> None:
        self._config = config
        self._secret = load_secret(config.auth, config.state_dir)
        self._pointer = home / POINTER
        self._command = command
        self._say = say
        self._task: asyncio.Task[None] | None = None
        self.failed = False

    def welcome(self, url: str) -> None:
        """The server listens; we are on its loop."""
        self._task = asyncio.get_running_loop().create_task(self._set_up(url))

    def leave(self) -> None:
        """Nobody shall look for the server any more."""
        with contextlib.suppress(OSError):
            if self._pointer.read_bytes() == self._pointer_text():  # a later demo may have made it its own
                self._pointer.unlink()

    async def _set_up(self, url: str) -> None:
        try:
            notes = await self._open_sessions(url)
            _write_private(self._config.state_dir / NOTES, _json(notes))
            found = self._point()
        except Exception:
            # Whatever it was: without its people the demo is nothing to look at.
            log.exception("the demo cannot be set up")
            self.failed = True
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self._say(
            _guide(notes, self._dashboard(url), self._command, None if found else self._config.state_dir)
        )

    async def _open_sessions(self, url: str) -> Notes:
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
            last = msgspec.json.decode((self._config.state_dir / NOTES).read_bytes(), type=Notes)
            session = await self._request(url, f"/sessions/{last.session_id}")
        except (OSError, msgspec.DecodeError):
            return None, None
        except HTTPClientError as error:
            if error.code == 404:  # somebody has removed the database
                return None, None
            raise
        if session["state"] not in OPEN:
            return None, None
        record_id, state = await self._supervise(url, last.session_id, {"record_id": last.record_id})
        return last.session_id, record_id if state in OPEN else None

    async def _supervise(self, url: str, session_id: int, more: Mapping[str, int]) -> tuple[int, str]:
        """The record with this id, or a new one, and its state."""
        supervisor = {"supervisor_id": PEOPLE["supervisor"].id, **more}
        record = await self._request(url, f"/sessions/{session_id}/supervision", supervisor)
        return int(record["record_id"]), record.get("state", SessionState.READY)

    async def _request(self, url: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        response = await AsyncHTTPClient().fetch(
            f"{url}/api/v1{path}",
            method="GET" if body is None else "POST",
            headers={"Authorization": f"Bearer {self._token(Role.SERVICE, 'demo', None, REQUEST_LIFETIME)}"},
            body=None if body is None else msgspec.json.encode(body),
        )
        return msgspec.json.decode(response.body, type=dict[str, Any])

    def _token(self, role: Role, id: int | str, name: str | None, lifetime: float) -> str:
        now = time.time()
        return mint(self._config.auth, self._secret, id=id, role=role, name=name, lifetime=lifetime, now=now)

    def _dashboard(self, url: str) -> str:
        return f"{url}/admin#token={self._token(Role.ADMIN, ADMIN_ID, ADMIN_NAME, TOKEN_LIFETIME)}"

    def _notes(self, url: str, session_id: int, record_id: int) -> Notes:
        people = {}
        for word, person in PEOPLE.items():
            endpoint = person.endpoint.format(session_id=session_id, record_id=record_id)
            people[word] = Place(
                url="ws" + url.removeprefix("http") + endpoint,
                token=self._token(person.role, person.id, person.name, TOKEN_LIFETIME),
                dialect=ENDPOINTS[endpoint.partition("?")[0]],
                endpoint=endpoint,
                name=person.name,
            )
        return Notes(url, os.getpid(), session_id, record_id, people)

    def _point(self) -> bool:
        """Leave word for ``find_current``. It is not worth failing for."""
        try:
            self._pointer.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_private(self._pointer, self._pointer_text())
        except OSError as error:
            log.debug("no pointer to the demo: %s", error)
            return False
        return True

    def _pointer_text(self) -> bytes:
        return _json(Pointer(str(self._config.state_dir)))


def _json(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, at once: nobody reads half of it."""
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    with open(descriptor, "wb") as file:
        file.write(content)
    os.replace(aside, path)


def _guide(notes: Notes, dashboard: str, command: str, state_dir: Path | None) -> str:
    """What to do now. ``state_dir`` is what ``talk`` has to be told, if anything."""
    where = f" --state-dir {shlex.quote(str(state_dir))}" if state_dir else ""
    lines = ["", f"The demo is ready at {notes.url} and ends with Ctrl-C.", ""]
    rooms = {
        word: _room(notes, place) for word, place in notes.people.items() if place.dialect == "counselling"
    }
    lines += ["Open two or three of these in browser windows of their own, and let them talk:", ""]
    lines += [f"  {PEOPLE[word].name}, {PEOPLE[word].does}:\n    {link}" for word, link in rooms.items()]
    watcher = notes.people["observer"]
    lines += [f"  {watcher.name}, both at once:\n    {notes.url}/supervise#token={watcher.token}"]
    waiters = [word for word, place in notes.people.items() if place.dialect == "support-waiter"]
    lines += [f"  {PEOPLE[word].name}, {PEOPLE[word].does}:\n    {_console(notes, word)}" for word in waiters]
    lines += [f"  {ADMIN_NAME}, the administrator, who watches the server:\n    {dashboard}"]
    lines += [
        "",
        f"Or a web site with a chat in its corner, where anybody reaches the waiter:\n    {notes.url}/demo",
    ]
    lines += ["", "Or open a terminal for each of two or three of these people:", ""]
    talks = {word: f"{command} talk {word}{where}" for word in notes.people}
    width = max(map(len, talks.values()))
    lines += [f"  {talks[word]:{width}}  {PEOPLE[word].name}, {PEOPLE[word].does}" for word in notes.people]
    lines += ["", "Or connect any WebSocket client, with these tokens, which are valid for a week:", ""]
    for word, place in notes.people.items():
        if place.dialect.startswith("support"):
            begin = {"id": "1", "type": "auth", "payload": {"token": place.token}}
            then = {"id": "2", "type": "connect" if place.dialect == "support-user" else "ready"}
            lines += [f"  {word}: {place.url} and send", f"    {_line(begin)}", f"    {_line(then)}"]
        else:
            query = "&" if "?" in place.url else "?"
            lines += [f"  {word}:", f"    {place.url}{query}token={place.token}"]
    lines += ["", "A session that has ended stays so; the next demo opens a new one.", ""]
    return "\n".join(lines)


def _room(notes: Notes, place: Place) -> str:
    """The address of a person's page. What follows the # stays in the browser, and is in no log."""
    asked = dict(parse_qsl(place.endpoint.partition("?")[2]))
    return f"{notes.url}/room#token={place.token}&session={asked['sessionId']}&type={asked['type']}"


def _console(notes: Notes, word: str) -> str:
    return f"{notes.url}/console#token={notes.people[word].token}"


def _line(frame: Mapping[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()
