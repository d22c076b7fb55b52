"""The sample people of the demo, their endpoints and pages, and the guide that the demo prints.

The guide fits on a screen: it begins with the start page, which links to the page of each person, since two
browser windows are the quickest way to a conversation.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
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
STATE_FILE = "demo.json"
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


class DemoPage(NamedTuple):
    """A page that one person of the demo uses, or the shop with the widget.

    :ivar address: with the person's token after the ``#``, which no request contains.
    :ivar try_en: what to try there, as ``try_zh``.
    """

    name: str
    address: str
    part_en: str
    part_zh: str
    try_en: str
    try_zh: str


def counselling_pages(state: DemoState) -> Sequence[DemoPage]:
    """Return the pages of the people of the counselling session."""
    people = state.people
    supervisor_id = str(PEOPLE["supervisor"].id)
    return [
        DemoPage(
            PEOPLE["visitor"].name,
            _room_url(state, people["visitor"]),
            "Visitor",
            "来访者",
            "Write something to the counsellor.",
            "给咨询师写点什么。",
        ),
        DemoPage(
            PEOPLE["consultant"].name,
            _room_url(state, people["consultant"], supervisor=supervisor_id),
            "Counsellor of the session",
            "咨询师",
            "Answer the visitor, and call the supervisor on duty.",
            "回复来访者，再呼叫值班督导。",
        ),
        DemoPage(
            PEOPLE["consultant"].name,
            f"{state.url}/desk#token={people['consultant'].token}",
            "The counsellor's desk",
            "咨询师的工作台",
            "See who waits, enter a session, and find earlier ones.",
            "查看谁在等待，进入会话，查找以前的会话。",
        ),
        DemoPage(
            PEOPLE["observer"].name,
            f"{state.url}/supervise#token={people['observer'].token}",
            "Supervisor",
            "督导",
            "See the call, follow the session live, and advise the counsellor.",
            "查看呼叫，实时旁听会话，给咨询师建议。",
        ),
        DemoPage(
            PEOPLE["supervision"].name,
            _room_url(state, people["supervision"]),
            "Counsellor, with the supervisor",
            "咨询师与督导",
            "Talk with the supervisor. The visitor sees none of it.",
            "与督导交流，来访者看不到这里的内容。",
        ),
    ]


def support_pages(state: DemoState) -> Sequence[DemoPage]:
    """Return the shop with the widget, and the page of the agent."""
    return [
        DemoPage(
            "Heron & Reed",
            f"{state.url}/demo",
            "A shop with a chat in its corner",
            "带聊天窗口的商店",
            "Open the chat, and ask something.",
            "打开聊天窗口，提一个问题。",
        ),
        DemoPage(
            PEOPLE["waiter"].name,
            f"{state.url}/console#token={state.people['waiter'].token}",
            "Support agent",
            "客服",
            "Switch on “Take new visitors”, and answer the customer of the shop.",
            "打开“开始接待”，回复商店的顾客。",
        ),
    ]


def server_pages(state: DemoState, admin_token: str) -> Sequence[DemoPage]:
    """Return the administrator's page, and the documentation."""
    return [
        DemoPage(
            ADMIN.name,
            f"{state.url}/admin#token={admin_token}",
            "Administrator",
            "管理员",
            "See who waits, how many talk, and what needs attention.",
            "查看谁在等待、有多少会话、哪里需要处理。",
        ),
        DemoPage(
            "/docs",
            f"{state.url}/docs",
            "Documentation",
            "接口文档",
            "Read every call of the HTTP API and every frame of the sockets.",
            "查看 HTTP 接口和 WebSocket 的每一种帧。",
        ),
    ]


class GuideData(NamedTuple):
    """The data of the guide.

    :arg password: the password of the administrator's account.
    :arg command: the command line of ``tornado-chat`` in a terminal.
    :arg directory: the demo's state directory.
    :arg is_found: whether commands find the demo by themselves, without ``--state-dir``.
    """

    state: DemoState
    password: str
    command: str
    directory: str
    is_found: bool


def guide(data: GuideData) -> str:
    """Return the text that explains how to take part in the demo."""
    option = "" if data.is_found else f" --state-dir {shlex.quote(data.directory)}"
    width = max(map(len, PEOPLE))
    talk = [
        f"    {argument:{width}}  {person.name}, {person.description}" for argument, person in PEOPLE.items()
    ]
    return "\n".join(
        [
            "",
            f"The demo is ready: {data.state.url}/",
            "",
            "There is a link to the page of each made-up person. Ctrl-C ends the demo.",
            "",
            "Or talk in terminals, one for each person:",
            "",
            f"  {data.command} talk PERSON{option}",
            "",
            *talk,
            "",
            f"Or sign in at {data.state.url}/signin",
            f"  as {ACCOUNT_NAME} ({ADMIN.description}) with the password {data.password}",
            "",
            "Addresses and tokens for other WebSocket clients:",
            f"  {data.directory}/{STATE_FILE}",
            "",
        ]
    )


def shorten_path(path: Path) -> str:
    """Return a path as a person types it in the current folder."""
    absolute, folder = path.absolute(), Path.cwd()
    return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)


def _room_url(state: DemoState, endpoint: DemoEndpoint, **more: str) -> str:
    query = dict(parse_qsl(endpoint.endpoint.partition("?")[2]))
    parameters = {"token": endpoint.token, "session": query["sessionId"], "type": query["type"], **more}
    return f"{state.url}/room#{urlencode(parameters)}"
