"""The test kit for plugins: the server, its clients, and what plugins see and do."""

import socket
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import peewee
import pytest
import tornado.httpserver
import tornado.netutil
import tornado.web

from tornado_chat.plugin_api import (
    CommandContext,
    Context,
    Draft,
    Message,
    Person,
    Plugin,
    PluginSettings,
    Refused,
    Role,
    hookimpl,
    option,
)
from tornado_chat.plugins.hookspecs import HOOK_KINDS, HookKind
from tornado_chat.testing import ChatServer, MessageRefused, StartChatServer, StartError
from tornado_chat.testing.recorder import Recorder
from tornado_chat.testing.server_thread import ServerThread


@dataclass(frozen=True)
class PoliteSettings(PluginSettings):
    words: tuple[str, ...] = option(("damn",), "Words that are refused.")
    tail: str = option("", "What is added.")
    loud: bool = option(False, "Whether messages are in capitals.")


class PoliteFilter(Plugin):
    Settings = PoliteSettings

    @hookimpl
    def filter_message(self, draft: Draft) -> Draft | None:
        if any(word in draft.text for word in self.settings.words):
            raise Refused(en="mind your words", zh_CN="请注意用语")
        text = draft.text + self.settings.tail
        return draft.replace(text.upper() if self.settings.loud else text)


class Visit(peewee.Model):
    who = peewee.CharField(max_length=80)

    class Meta:
        table_name = "book_visit"


class Page(tornado.web.RequestHandler):
    def initialize(self, book: "Book") -> None:
        self.book = book

    async def get(self) -> None:
        identity = await self.book.context.verify(self.request.headers["Authorization"].split()[1])
        await self.book.add(identity.person.key)
        self.write({"welcome": identity.name})


class Book(Plugin):
    """A plugin with a table, a page, a command, a claim and a state."""

    context: Context

    def __init__(self, settings: PluginSettings) -> None:
        super().__init__(settings)
        self.texts: list[str] = []

    @hookimpl
    async def startup(self, context: Context) -> None:
        self.context = context
        context.problem("the book is full")

    @hookimpl
    def register_models(self) -> list[type[peewee.Model]]:
        return [Visit]

    @hookimpl
    def register_handlers(self, context: Context) -> list[tuple[Any, ...]]:
        return [("/book", Page, {"book": self})]

    @hookimpl
    def register_commands(self) -> list[click.Command]:
        @click.command("book")
        @click.option("--loud", is_flag=True)
        @click.pass_obj
        def book(context: CommandContext, loud: bool) -> None:
            for visit in Visit.select().execute(context.database):
                click.echo(visit.who.upper() if loud else visit.who)

        return [book]

    @hookimpl
    def message_posted(self, message: Message) -> None:
        self.texts.append(message.text)

    async def add(self, who: str) -> int:
        await self.context.write(lambda tx: Visit.insert(who=who).execute(tx.database))
        return await self.context.read(lambda database: Visit.select().count(database))


def talk(server: ChatServer, **options: Any) -> Any:
    session = server.session()
    return server.visitor(session, name="Lin", **options), server.counsellor(session, name="Chen")


def test_a_conversation_with_a_filter(chat_server: StartChatServer) -> None:
    server = chat_server(plugins=[PoliteFilter], polite_filter={"words": ["damn", "hell"], "tail": "!"})
    visitor, counsellor = talk(server)
    assert visitor.send("good day").seq == 1
    assert counsellor.receive().msg == "good day!"
    with pytest.raises(MessageRefused, match="请注意用语"):
        visitor.send("hell")
    counsellor.send("well")
    assert visitor.receive().msg == "well!"
    assert "来访者 Lin" in visitor.receive_system().msg
    server.settle()
    assert [frame.msg for frame in counsellor.unread() if not frame.system] == []
    visitor.close(4000)
    assert counsellor.wait_closed().code == 1000
    assert counsellor.unread()[-1].msg == "会话已结束"
    assert server.event("session_ended")["room"].thread.id == 1


def test_options_of_all_types_and_their_mistakes(chat_server: StartChatServer) -> None:
    server = chat_server(
        plugins={"polite": PoliteFilter},
        polite={"loud": True, "timeout": 0.5},
        server={"language": "en"},
        support={"capacity": 2},
        **{"plugin:polite": {"tail": "="}},
    )
    settings = server.plugin("polite").settings
    assert (settings.loud, settings.timeout, settings.tail, settings.on_error) == (True, 0.5, "=", "allow")
    assert (server.config.server.language, server.config.support.capacity) == ("en", 2)
    with pytest.raises(StartError, match=r'\[plugin:polite_filter\] word: .*did you mean "words"'):
        chat_server(plugins=[PoliteFilter], polite_filter={"word": "x"})
    with pytest.raises(StartError, match=r'\[suport\]: this section is unknown; did you mean "support"'):
        chat_server(suport={"capacity": 2})
    with pytest.raises(StartError, match=r'\[polite_filtre\]: .* did you mean "polite_filter"'):
        chat_server(plugins=[PoliteFilter], polite_filtre={"tail": "!"})
    with pytest.raises(StartError, match='there is no plugin "polite"'):
        chat_server(plugins=["polite"])


SOURCE = """
from tornado_chat.plugin_api import Plugin, hookimpl
class Own(Plugin):
    @hookimpl
    def filter_message(self, draft):
        return draft.replace(draft.text + '?')
"""


def of_path(folder: Path) -> Any:
    (folder / "asking.py").write_text(SOURCE)
    (folder / "broken.py").write_text("not Python")
    return folder / "asking.py"


def of_folder(folder: Path) -> Any:
    (folder / "asking").mkdir()
    (folder / "asking" / "__init__.py").write_text(SOURCE)
    return folder / "asking"


def of_module(folder: Path) -> Any:
    module = ModuleType("package.asking")
    exec(SOURCE, module.__dict__)
    return module


def of_class(folder: Path) -> Any:
    return type("Asking", (of_module(folder).Own,), {})


@pytest.mark.parametrize("source", [of_path, of_folder, of_module, of_class])
def test_the_plugin_under_test(
    chat_server: StartChatServer, tmp_path: Path, source: Callable[[Path], Any]
) -> None:
    server = chat_server(plugins=[source(tmp_path), PoliteFilter], polite_filter={"tail": "!"})
    visitor, counsellor = talk(server)
    visitor.send("tea")
    assert counsellor.receive().msg == "tea?!"  # in the order of the list


def test_a_bundled_plugin(chat_server: StartChatServer) -> None:
    server = chat_server(plugins=["queue_policy"], queue_policy={"priority": True})
    ordinary, vip = server.user(1), server.user(2, priority=2)
    for user in (ordinary, vip):
        user.receive("connect_queue")
    waiter = server.waiter()
    users = [waiter.receive("new_connection").payload_value("uuid") for _ in range(2)]
    assert users == [vip.uuid, ordinary.uuid]
    assert "priority 2" in server.event("conversation_assigned")["reason"]


@pytest.mark.parametrize("wrong", [7, object, [PoliteFilter]])
def test_what_is_no_plugin(chat_server: StartChatServer, wrong: Any) -> None:
    with pytest.raises(TypeError, match="a class that extends Plugin, a module, a Path or a name"):
        chat_server(plugins=[wrong])
    with pytest.raises(TypeError, match="has its own name: audit, not mine"):
        chat_server(plugins={"mine": "audit"})


def test_support(chat_server: StartChatServer) -> None:
    server = chat_server(plugins=[PoliteFilter], polite_filter={"tail": "!"})
    user, waiter = server.user(name="Lin"), server.waiter(name="Wu")
    connection = waiter.receive("new_connection")
    assert user.receive("connect_success").payload_value("uuid") == waiter.uuid
    assert connection.payload_value("uuid") == user.uuid
    assert user.send("hello").seq == 1  # type: ignore[union-attr]
    assert waiter.receive().message == "hello!"
    waiter.send(user.uuid, "how are you")
    assert user.receive().message == "how are you!"
    with pytest.raises(MessageRefused):
        waiter.request("message_text", {"message": "x"}, to="another user")
    waiter.send_frame("disconnect", to=user.uuid)
    user.receive("disconnected")
    assert server.event("conversation_ended")["gone"] == Person(Role.WAITER, "7")


def test_supervision_and_notifications(chat_server: StartChatServer) -> None:
    server = chat_server()
    session = server.session(user_name="Lin")
    record = server.record(session)
    waiting = server.notify("consultant", 2)
    assert waiting.receive().data == {"sessionId": str(session)}
    assert {each.recipient for each in server.notifications} == {
        Person(Role.CONSULTANT, "2"),
        Person(Role.SUPERVISOR, "3"),
    }
    observer = server.observe(session)
    visitor = server.visitor(session)
    server.event("observer_joined")
    visitor.send("hello")
    assert observer.receive().msg == "hello"
    supervisor, consultant = server.supervisor(record), server.counsellor(record, type=1)
    supervisor.send("well done")
    assert consultant.receive().msg == "well done"
    refused = server.visitor(session, id=9)
    assert refused.wait_closed().code == 4403


def test_pages_commands_tables_and_state(chat_server: StartChatServer, expected_logs: list[str]) -> None:
    expected_logs.append("plugin book reports a problem: the book is full")
    server = chat_server(plugins=[Book])
    lin = server.api("user", 1, name="Lin")
    answer = lin.get("/book")
    assert (answer.status, answer.json) == (200, {"welcome": "Lin"})
    assert server.api("user", 1).post("/api/v1/notifications", {}).status == 403
    assert server.api(None).get("/healthz").status == 200
    assert server.api().delete("/api/v1/revocations?role=user&id=1").status == 404
    assert server.command("book", "--loud").output == "USER:1\n"
    with pytest.raises(LookupError, match="no plugin of this server registers a command 'bok'"):
        server.command("bok")
    assert server.run(server.plugin("book").add("user:2")) == 2
    server.write(lambda tx: Visit.delete().where(Visit.who == "user:1").execute(tx.database))
    assert [visit.who for visit in server.read(lambda db: list(Visit.select().execute(db)))] == ["user:2"]
    assert server.problem("book") == "the book is full"
    visitor, _ = talk(server)
    for number in range(20):
        visitor.send(str(number))
    server.settle()
    assert server.plugin("book").texts == [str(number) for number in range(20)]


def test_restart_and_reload(chat_server: StartChatServer) -> None:
    server = chat_server(plugins=[PoliteFilter], polite_filter={"tail": "!"})
    visitor, counsellor = talk(server)
    before = server.plugin("polite_filter")
    server.reload(polite_filter={"tail": "?"}, support={"capacity": 9})
    visitor.send("tea")
    assert counsellor.receive().msg == "tea?"
    assert server.config.support.capacity == 9
    url = server.url
    server.restart()
    assert (server.url, server.plugin("polite_filter") is before) == (url, False)
    visitor.send("more tea")
    assert counsellor.receive().msg == "more tea?"


class Echo(tornado.web.RequestHandler):
    def get(self) -> None:
        self.write("echo")


async def start_fake() -> socket.socket:
    """Start another server on the loop of the chat server; nothing stops it. Returns its socket."""
    (listening,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
    tornado.httpserver.HTTPServer(tornado.web.Application([("/", Echo)])).add_socket(listening)
    return listening


def test_a_fake_of_another_service_runs_in_the_thread_until_its_end() -> None:
    thread = ServerThread()
    fake = thread.call(start_fake())
    with urllib.request.urlopen(f"http://127.0.0.1:{fake.getsockname()[1]}/") as answer:
        assert answer.read() == b"echo"
    thread.close()
    assert fake.fileno() == -1


def test_two_servers(chat_server: StartChatServer) -> None:
    servers = [chat_server(plugins=[PoliteFilter], polite_filter={"tail": tail}) for tail in "ab"]
    for server, tail in zip(servers, "ab", strict=True):
        visitor, counsellor = talk(server)
        visitor.send("tea")
        assert counsellor.receive().msg == f"tea{tail}"


class Calling(Plugin):
    def __init__(self, settings: PluginSettings) -> None:
        super().__init__(settings)
        self.server: ChatServer | None = None
        self.error = ""

    @hookimpl
    async def message_posted(self, message: Message) -> None:
        assert self.server is not None
        try:
            self.server.settle()
        except RuntimeError as error:
            self.error = str(error)


def test_a_plugin_cannot_wait_for_its_own_thread(chat_server: StartChatServer) -> None:
    server = chat_server(plugins=[Calling])
    server.plugin("calling").server = server
    visitor, _ = talk(server)
    visitor.send("tea")
    server.settle()
    assert "call the server from the test, not from a plugin" in server.plugin("calling").error


@pytest.mark.gen_test
async def test_a_coroutine_uses_the_same_functions(chat_server: StartChatServer) -> None:
    server = chat_server(plugins=[PoliteFilter], polite_filter={"tail": "!"})
    visitor, counsellor = talk(server)
    visitor.send("tea")
    assert counsellor.receive().msg == "tea!"


def test_the_recorder_has_every_event() -> None:
    events = {hook for hook, kind in HOOK_KINDS.items() if kind in (HookKind.EVENT, HookKind.STORED_EVENT)}
    recorded = {hook for hook in HOOK_KINDS if hasattr(Recorder, hook)}
    assert recorded == events - {"deliver_notification"} | {"startup"}
