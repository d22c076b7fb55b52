"""The sample people of the demo, their endpoints, and the guide that the demo prints.

The guide begins with the pages, since two browser windows are the quickest way to a conversation.
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
"""The dialect of each endpoint."""


class DemoPerson(NamedTuple):
    """A person of the demo at one endpoint.

    :ivar endpoint: path and query, with placeholders for the ids.
    :ivar description: a noun phrase for the guide.
    """

    role: Role
    id: int
    name: str
    endpoint: str
    description: str


PEOPLE: Mapping[str, DemoPerson] = {
    "visitor": DemoPerson(
        Role.USER, 1, "小林", "/chat?sessionId={session_id}&type=0", "the visitor of a counselling session"
    ),
    "consultant": DemoPerson(
        Role.CONSULTANT,
        2,
        "陈老师",
        "/chat?sessionId={session_id}&type=0",
        "the consultant of that session",
    ),
    "observer": DemoPerson(
        Role.SUPERVISOR,
        3,
        "王督导",
        "/observe?sessionId={session_id}",
        "the supervisor, who observes the session",
    ),
    "supervisor": DemoPerson(
        Role.SUPERVISOR,
        3,
        "王督导",
        "/chat?sessionId={record_id}&type=1",
        "the supervisor, in conversation with the consultant",
    ),
    "supervision": DemoPerson(
        Role.CONSULTANT,
        2,
        "陈老师",
        "/chat?sessionId={record_id}&type=1",
        "the consultant, in conversation with the supervisor",
    ),
    "notifications": DemoPerson(Role.CONSULTANT, 2, "陈老师", "/notify", "the consultant's notifications"),
    "customer": DemoPerson(Role.USER, 4, "Ada", "/v1/ws/user/connect", "a customer who needs support"),
    "waiter": DemoPerson(Role.WAITER, 5, "Bob", "/v1/ws/waiter/connect", "the waiter who answers"),
}
"""The people, by the argument of ``talk``."""

ADMIN = DemoPerson(Role.ADMIN, 6, "Grace", "", "the administrator")  # with pages, and without an endpoint
ACCOUNT_NAME = "grace"
"""The account of the administrator for ``/signin``."""


class DemoEndpoint(msgspec.Struct, frozen=True):
    """The connection of one person. ``url`` is the server's address with ``endpoint``, without the token."""

    url: str
    token: str
    dialect: Dialect
    endpoint: str
    name: str


class DemoState(msgspec.Struct, frozen=True):
    """The file ``demo.json``: the running demo, and the sessions that the next demo may reuse."""

    url: str
    pid: int
    session_id: int
    record_id: int
    people: dict[str, DemoEndpoint]


class GuideData(NamedTuple):
    """The data of the guide.

    :arg admin_token: the administrator's token.
    :arg password: the password of the administrator's account.
    :arg command: the command line of ``tornado-chat`` in a terminal.
    :arg state_dir: the ``--state-dir`` that ``talk`` requires; None if it finds the demo by itself.
    """

    state: DemoState
    admin_token: str
    password: str
    command: str
    state_dir: str | None


def guide(data: GuideData) -> str:
    """Return the text that explains how to take part in the demo."""
    state = data.state
    lines = ["", f"The demo is ready at {state.url} and ends with Ctrl-C.", ""]
    lines += _pages(data)
    option = f" --state-dir {shlex.quote(data.state_dir)}" if data.state_dir else ""
    lines += ["Or chat in terminals, one for each person:", ""]
    commands = {argument: f"{data.command} talk {argument}{option}" for argument in state.people}
    width = max(map(len, commands.values()))
    lines += [
        f"  {commands[argument]:{width}}  {PEOPLE[argument].name}, {PEOPLE[argument].description}"
        for argument in state.people
    ]
    lines += ["", "Or connect any WebSocket client, with these tokens, which are valid for a week:", ""]
    for argument, endpoint in state.people.items():
        if endpoint.dialect.startswith("support"):
            auth = {"id": "1", "type": "auth", "payload": {"token": endpoint.token}}
            join = {"id": "2", "type": "connect" if endpoint.dialect == "support-user" else "ready"}
            lines += [
                f"  {argument}: {endpoint.url} and send",
                f"    {_encode(auth)}",
                f"    {_encode(join)}",
            ]
        else:
            separator = "&" if "?" in endpoint.url else "?"
            lines += [f"  {argument}:", f"    {endpoint.url}{separator}token={endpoint.token}"]
    lines += ["", "A session that has ended stays closed; the next demo opens a new one.", ""]
    return "\n".join(lines)


def _pages(data: GuideData) -> list[str]:
    state = data.state
    people = state.people
    # The browser does not send the part after the #, so tokens in it are not logged.
    supervisor_id = str(PEOPLE["supervisor"].id)
    lines = ["Counselling. Open the first two links in two browser windows, and chat between them:", ""]
    lines += _link("visitor", _room_url(state, people["visitor"]))
    lines += _link("consultant", _room_url(state, people["consultant"], supervisor=supervisor_id))
    lines += _link("observer", f"{state.url}/supervise#token={people['observer'].token}")
    lines += _link("supervision", _room_url(state, people["supervision"]))
    lines += ["", "Support. Ask a question in the chat of the shop, and answer it as the waiter:", ""]
    lines += ["  A shop page with the chat widget:", f"    {state.url}/demo"]
    lines += _link("waiter", f"{state.url}/console#token={people['waiter'].token}")
    lines += ["", "The server:", ""]
    lines += [
        f"  {ADMIN.name}, {ADMIN.description}, monitors the server:",
        f"    {state.url}/admin#token={data.admin_token}",
        f"  and can sign in with the name {ACCOUNT_NAME} and the password {data.password}:",
        f"    {state.url}/signin",
        "  The documentation of the HTTP API and of the WebSocket frames:",
        f"    {state.url}/docs",
        "",
    ]
    return lines


def _link(argument: str, address: str) -> list[str]:
    return [f"  {PEOPLE[argument].name}, {PEOPLE[argument].description}:", f"    {address}"]


def _room_url(state: DemoState, endpoint: DemoEndpoint, **more: str) -> str:
    query = dict(parse_qsl(endpoint.endpoint.partition("?")[2]))
    parameters = {"token": endpoint.token, "session": query["sessionId"], "type": query["type"], **more}
    return f"{state.url}/room#{urlencode(parameters)}"


def _encode(frame: Mapping[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()
