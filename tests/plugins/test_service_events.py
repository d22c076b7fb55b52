"""The events of agents, ratings, read messages and refused tokens, as plugins get them."""

from collections.abc import Callable
from typing import Any

from tornado_chat.plugin_api import AgentState, Kind, Person, Role, Thread
from tornado_chat.services.auth.refused_tokens import MAX_CODES, OTHER_CODE, RefusedTokens
from tornado_chat.testing import ChatServer, StartChatServer

AGENT, LIN = Person(Role.WAITER, "7"), Person(Role.USER, "1")
GONE, READY, PAUSED, AWAY = AgentState.GONE, AgentState.READY, AgentState.PAUSED, AgentState.AWAY


def changes(server: ChatServer, new: int) -> list[tuple[AgentState, AgentState]]:
    """Wait for ``new`` more changes, and return all so far."""
    for _ in range(new):
        server.event("agent_changed")
    server.settle()
    found = [each.values for each in server.events if each.hook == "agent_changed"]
    assert {values["agent"] for values in found} <= {AGENT}
    return [(values["previous"], values["state"]) for values in found]


def test_the_states_of_an_agent(chat_server: StartChatServer) -> None:
    server = chat_server()
    one = server.waiter(7)
    assert changes(server, 1) == [(GONE, READY)]
    two = server.waiter(7)  # a second socket
    one.send_frame("unready")
    one.send_frame("unready")
    assert changes(server, 1) == [(GONE, READY), (READY, PAUSED)]
    one.close(1001)
    assert len(changes(server, 0)) == 2
    two.close(1001)
    assert changes(server, 1)[2:] == [(PAUSED, AWAY)]
    server.waiter(7).close(1001)
    assert changes(server, 2)[3:] == [(AWAY, READY), (READY, AWAY)]
    server.clock.advance(3600)
    assert changes(server, 1)[5:] == [(AWAY, GONE)]


def test_ratings_and_read_messages(chat_server: StartChatServer) -> None:
    server = chat_server()
    waiter, user = server.waiter(7, features=["read", "seq"]), server.user(1, features=["read", "seq", "ack"])
    user.receive("connect_success")
    uuid = waiter.receive("new_connection").payload["uuid"]
    user.send("hello")
    waiter.send_frame("read", {"seq": 1}, to=uuid)
    assert dict(server.event("messages_read")) == {
        "thread": Thread(Kind.SUPPORT, 1),
        "person": AGENT,
        "seq": 1,
    }
    user.request("rate", {"rate": 4, "feedback": "thanks"})
    rated = {"thread": Thread(Kind.SUPPORT, 1), "person": LIN, "stars": 4, "feedback": "thanks"}
    assert dict(server.event("conversation_rated")) == rated
    session = server.session()
    server.api("user", 1).post(f"/api/v1/sessions/{session}/rating", {"rate": 5})
    rated = {"thread": Thread(Kind.SESSION, session), "person": LIN, "stars": 5, "feedback": None}
    assert dict(server.event("conversation_rated")) == rated


def test_refused_tokens_are_all_counted_in_few_events(chat_server: StartChatServer) -> None:
    server = chat_server()
    expired = server.token("user", 1, lifetime=-3600)
    for _ in range(5):
        assert server.api(None).get("/api/v1/notifications", Authorization=f"Bearer {expired}").status == 401
    assert server.api(None).get("/api/v1/notifications").status == 401  # without a token
    server.clock.advance(2)
    server.settle()
    found = [each.values for each in server.events if each.hook == "token_refused"]
    assert {values["code"] for values in found} == {"token_expired"}
    assert sum(values["count"] for values in found) == 5


class Loop:
    """Timers that the test runs."""

    def __init__(self) -> None:
        self.due: list[Callable[[], object]] = []

    def call_later(self, seconds: float, call: Callable[[], object]) -> Any:
        self.due.append(call)
        return object()


def test_a_flood_of_refused_tokens_makes_few_events() -> None:
    loop, reported = Loop(), []
    tokens = RefusedTokens(lambda code, count: reported.append((code, count)), loop)  # type: ignore[arg-type]
    for number in range(10_000):
        tokens.add(f"code {number}")
    assert reported == [("code 0", 1)]
    loop.due.pop()()
    assert len(reported) == MAX_CODES + 2
    assert dict(reported)[OTHER_CODE] == 10_000 - 1 - MAX_CODES
    loop.due.pop()()
    assert loop.due == []
