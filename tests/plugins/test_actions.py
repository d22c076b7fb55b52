"""What plugins do in conversations: speaking as a bot, ending and opening."""

from collections.abc import Callable
from typing import Any

import pytest

from tornado_chat.plugin_api import (
    Conflict,
    Context,
    Draft,
    EndReason,
    Forbidden,
    Kind,
    Malformed,
    Message,
    NotFound,
    Part,
    Person,
    Plugin,
    Refused,
    Role,
    SessionState,
    Thread,
    TooBig,
    TooFast,
    hookimpl,
)
from tornado_chat.services.plugin_host import actions
from tornado_chat.testing import ChatServer, StartChatServer

LIN, CHEN = Person(Role.USER, "1"), Person(Role.CONSULTANT, "2")
BOT = Person(Role.BOT, "小助手")


class Actor(Plugin):
    """Does what the test tells it."""

    context: Context

    @hookimpl
    async def startup(self, context: Context) -> None:
        self.context = context

    @hookimpl
    def filter_message(self, draft: Draft) -> None:
        if "password" in draft.text:
            raise Refused(en="no passwords", zh_CN="不行")

    @hookimpl
    def authorize(self, identity: Any, action: Any, thread: Any) -> bool | None:
        return False if identity.person.id == "banned" else None


@pytest.fixture
def server(chat_server: StartChatServer) -> ChatServer:
    return chat_server(plugins=[Actor])


def act(server: ChatServer, call: Callable[[Context], Any]) -> Any:
    async def run() -> Any:
        return await call(server.plugin("actor").context)

    return server.run(run())


def actions_of(server: ChatServer) -> list[tuple[str, str, str | None]]:
    server.settle()
    found = [each.values["activity"] for each in server.events if each.hook == "action_taken"]
    return [(each.actor, each.action, each.detail) for each in found if each.actor.startswith("plugin")]


def test_a_bot_in_a_session(server: ChatServer) -> None:
    session = server.session()
    thread = Thread(Kind.SESSION, session)
    plain, counsellor = server.visitor(session, features=()), server.counsellor(session, features=("sender",))
    observer = server.api("admin", 9)
    assert act(server, lambda context: context.say(thread, "你好", "小助手")) == 1
    assert act(server, lambda context: context.say(thread, "再见", "小助手")) == 2
    assert [plain.receive().msg for _ in range(2)] == ["小助手: 你好", "小助手: 再见"]
    frame = counsellor.receive()
    assert (frame.msg, frame.raw["sender"]) == ("你好", {"role": "bot", "id": "小助手", "name": "小助手"})
    bots = [
        each
        for each in act(server, lambda context: context.participants(thread))
        if each.part is Part.BOT and each.person == BOT and each.name == "小助手"
    ]
    assert len(bots) == 1
    lines = observer.get(f"/api/v1/sessions/{session}/messages").json["items"]
    assert [(line["msg"], line["senderType"], line["sender"]["role"]) for line in lines] == [
        ("你好", True, "bot"),
        ("再见", True, "bot"),
    ]
    posted: Message = server.event("message_posted")["message"]
    assert (posted.sender, posted.text) == (BOT, "你好")
    assert actions_of(server) == [("plugin actor", "joined", "as bot:小助手")]


def test_a_system_line_is_shown_and_not_stored(server: ChatServer) -> None:
    session = server.session()
    thread = Thread(Kind.SESSION, session)
    visitor = server.visitor(session, features=())
    visitor.receive_system()
    assert act(server, lambda context: context.say(thread, "We open at {9}.")) is None
    assert visitor.receive_system().msg == "We open at {9}."
    assert act(server, lambda context: context.messages(thread)).items == []
    with pytest.raises(ValueError, match="system lines"):
        act(server, lambda context: context.say(Thread(Kind.SUPPORT, 1), "hello"))


def test_a_bot_beside_an_agent_of_support(server: ChatServer) -> None:
    user = server.user(1)
    user.receive("connect_queue")
    thread = act(server, lambda context: context.open_conversation(LIN)).thread
    with pytest.raises(Conflict):  # the user waits
        act(server, lambda context: context.say(thread, "hello", "小助手"))
    plain = server.waiter(7, features=())
    uuid = plain.receive("new_connection").payload["uuid"]
    own = server.waiter(7, features=["seq", "echo", "sender"])
    own.receive("new_connection")
    act(server, lambda context: context.say(thread, "hello", "小助手"))
    shown = plain.receive("message_text")
    assert (shown.payload, shown.sender) == ({"message": "小助手: hello"}, uuid)
    colleague = own.receive("message_text")
    assert (colleague.payload, colleague.raw["sender"]["role"]) == ({"message": "hello"}, "bot")
    assert colleague.sender not in (uuid, None)
    act(server, lambda context: context.end(thread, "enough"))
    act(server, lambda context: context.end(thread, "again"))
    user.receive("disconnected")
    plain.receive("disconnected")
    assert server.event("conversation_ended")["gone"] == Person(Role.BOT, "actor")
    with pytest.raises(Conflict):
        act(server, lambda context: context.say(thread, "hello", "小助手"))
    assert actions_of(server) == [
        ("plugin actor", "joined", "as bot:小助手"),
        ("plugin actor", "ended", "enough"),
    ]


def test_a_session_is_opened_and_ended(server: ChatServer) -> None:
    consultant = server.notify("consultant", 2)
    room = act(server, lambda context: context.open_session(LIN, CHEN, user_name="小林"))
    assert consultant.receive().data["sessionId"] in (room.thread.id, str(room.thread.id))
    visitor = server.visitor(room.thread.id)
    act(server, lambda context: context.end(room.thread, "closed"))
    assert visitor.wait_closed().code == 1000
    ended = server.event("session_ended")["room"]
    assert (ended.state, ended.end_reason) == (SessionState.COMPLETED, EndReason.ENDED)
    assert actions_of(server) == [
        ("plugin actor", "opened session", "user:1 with consultant:2"),
        ("plugin actor", "ended", "closed"),
    ]


def test_a_place_in_the_line_is_kept_for_its_user(
    server: ChatServer,
) -> None:
    row = act(server, lambda context: context.open_conversation(LIN, name="Lin"))
    other = act(server, lambda context: context.open_conversation(Person(Role.USER, "8")))
    server.user(1).receive("connect_queue")
    waiter = server.waiter(7)
    assert waiter.receive("new_connection").payload["uuid"] == row.user_uuid
    server.clock.advance(3600)
    ended = server.event("conversation_ended")["conversation"]
    assert ended.id == other.id
    with pytest.raises(NotFound):
        act(server, lambda context: context.open_conversation(LIN, "nowhere"))
    with pytest.raises(Forbidden):
        act(server, lambda context: context.open_conversation(Person(Role.USER, "banned")))


def test_what_a_person_could_not_say_is_refused(server: ChatServer) -> None:
    session = server.session()
    thread = Thread(Kind.SESSION, session)
    for error, where, text, name in [
        (Refused, thread, "my password", "小助手"),
        (Malformed, thread, " ", "小助手"),
        (TooBig, thread, "x" * (server.config.limits.frame_bytes + 1), "小助手"),
        (ValueError, thread, "hello", "x" * 33),
        (ValueError, thread, "hello\ud800", "小助手"),
        (ValueError, thread, "hello", "two\nlines"),
        (ValueError, Thread(Kind.INBOX, 1), "hello", "小助手"),
        (NotFound, Thread(Kind.SESSION, 99), "hello", "小助手"),
        (NotFound, Thread(Kind.SUPPORT, 99), "hello", "小助手"),
    ]:
        with pytest.raises(error):
            act(server, lambda context, w=where, t=text, n=name: context.say(w, t, n))
    assert act(server, lambda context: context.messages(thread)).items == []
    assert server.api("bot", "小助手").get("/api/v1/notifications").status == 401  # no token has this role


def test_a_plugin_that_answers_itself_stops(server: ChatServer) -> None:
    thread = Thread(Kind.SESSION, server.session())

    async def flood(context: Context) -> int:
        for number in range(1000):
            try:
                await context.say(thread, f"{number}", "小助手")
            except TooFast:
                return number
        return 1000

    said = act(server, flood)
    assert actions.LINES_OF_CONVERSATION.burst <= said <= actions.LINES_OF_CONVERSATION.burst + 5
    server.clock.advance(2)
    act(server, lambda context: context.say(thread, "again", "小助手"))
