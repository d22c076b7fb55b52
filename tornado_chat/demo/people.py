"""The made-up people of the demo, where each of them connects, and what the demo tells its user.

The pages come first: the first minute is a conversation between two windows of a browser.
"""

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import msgspec

from tornado_chat.core.types import Role
from tornado_chat.terminal import Dialect

ENDPOINTS: Mapping[str, Dialect] = {
    "/chat": "counselling",
    "/observe": "observe",
    "/notify": "notify",
    "/v1/ws/user/connect": "support-user",
    "/v1/ws/waiter/connect": "support-waiter",
}
"""What is spoken where."""


class DemoPerson(NamedTuple):
    """Somebody at one of the places where people can be. ``endpoint`` has placeholders."""

    role: Role
    id: int
    name: str
    endpoint: str
    does: str


PEOPLE: Mapping[str, DemoPerson] = {
    "visitor": DemoPerson(
        Role.USER, 1, "小林", "/chat?sessionId={session_id}&type=0", "the visitor of a counselling session"
    ),
    "consultant": DemoPerson(
        Role.CONSULTANT,
        2,
        "陈老师",
        "/chat?sessionId={session_id}&type=0",
        "the consultant who listens to the visitor",
    ),
    "observer": DemoPerson(
        Role.SUPERVISOR, 3, "王督导", "/observe?sessionId={session_id}", "the supervisor, who listens in"
    ),
    "supervisor": DemoPerson(
        Role.SUPERVISOR,
        3,
        "王督导",
        "/chat?sessionId={record_id}&type=1",
        "the supervisor, who talks with the consultant",
    ),
    "supervision": DemoPerson(
        Role.CONSULTANT,
        2,
        "陈老师",
        "/chat?sessionId={record_id}&type=1",
        "the consultant's side of the supervision",
    ),
    "notifications": DemoPerson(Role.CONSULTANT, 2, "陈老师", "/notify", "what pops up for the consultant"),
    "customer": DemoPerson(Role.USER, 4, "Ada", "/v1/ws/user/connect", "a customer who wants support"),
    "waiter": DemoPerson(Role.WAITER, 5, "Bob", "/v1/ws/waiter/connect", "the waiter who answers"),
}
"""Everybody, by the word for ``talk``."""

ADMIN = DemoPerson(Role.ADMIN, 6, "Grace", "", "the administrator")  # who has pages, and nowhere to talk
ACCOUNT_NAME = "grace"
"""With which the administrator signs in at ``/signin``, too."""


class DemoEndpoint(msgspec.Struct, frozen=True):
    """How one of them connects. ``url`` is ``endpoint`` with the server before it, without the token."""

    url: str
    token: str
    dialect: Dialect
    endpoint: str
    name: str


class DemoState(msgspec.Struct, frozen=True):
    """``demo.json``: the running demo, and what the next one in this directory goes on with."""

    url: str
    pid: int
    session_id: int
    record_id: int
    people: dict[str, DemoEndpoint]


class GuideData(NamedTuple):
    """What the guide is made of.

    :arg admin: the administrator's token.
    :arg password: of the account.
    :arg command: how the reader calls our command line.
    :arg state_dir: what ``talk`` has to be told, if anything.
    """

    notes: DemoState
    admin: str
    password: str
    command: str
    state_dir: str | None


def guide(welcome: GuideData) -> str:
    """What to do now."""
    notes = welcome.notes
    lines = ["", f"The demo is ready at {notes.url} and ends with Ctrl-C.", ""]
    lines += _pages(welcome)
    where = f" --state-dir {shlex.quote(welcome.state_dir)}" if welcome.state_dir else ""
    lines += ["Or talk in terminals, one for each person:", ""]
    talks = {word: f"{welcome.command} talk {word}{where}" for word in notes.people}
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


def _pages(welcome: GuideData) -> list[str]:
    notes = welcome.notes
    people = notes.people
    # What follows the # stays in the browser, and is in no log.
    on_duty = str(PEOPLE["supervisor"].id)
    lines = ["Counselling. Open the first two in windows beside each other, and let them talk:", ""]
    lines += _link("visitor", _room(notes, people["visitor"]))
    lines += _link("consultant", _room(notes, people["consultant"], supervisor=on_duty))
    lines += _link("observer", f"{notes.url}/supervise#token={people['observer'].token}")
    lines += _link("supervision", _room(notes, people["supervision"]))
    lines += ["", "Support. Ask something in the corner of the shop, and answer as the waiter:", ""]
    lines += ["  A shop with a chat in its corner:", f"    {notes.url}/demo"]
    lines += _link("waiter", f"{notes.url}/console#token={people['waiter'].token}")
    lines += ["", "The server:", ""]
    lines += [f"  {ADMIN.name}, {ADMIN.does}, watches it:", f"    {notes.url}/admin#token={welcome.admin}"]
    lines += [
        f"  and signs in with the name {ACCOUNT_NAME} and the password {welcome.password}:",
        f"    {notes.url}/signin",
        "  Every call and every frame, to be read:",
        f"    {notes.url}/docs",
        "",
    ]
    return lines


def _link(word: str, address: str) -> list[str]:
    return [f"  {PEOPLE[word].name}, {PEOPLE[word].does}:", f"    {address}"]


def _room(notes: DemoState, place: DemoEndpoint, **more: str) -> str:
    asked = dict(parse_qsl(place.endpoint.partition("?")[2]))
    parameters = {"token": place.token, "session": asked["sessionId"], "type": asked["type"], **more}
    return f"{notes.url}/room#{urlencode(parameters)}"


def _line(frame: Mapping[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()
