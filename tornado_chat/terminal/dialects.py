"""What each dialect shows and understands on the terminal."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Coroutine
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from msgspec import json

from tornado_chat.client import (
    Ack,
    ChatClient,
    Closed,
    Frame,
    MessageRefused,
    NotifyFrame,
    ObserveFrame,
    ReconnectingClient,
    SupportFrame,
    UserClient,
    WaiterClient,
)
from tornado_chat.terminal.screen import Screen, read_lines

T = TypeVar("T")


class DialectTerminal(ABC, Generic[T]):
    """A dialect on the terminal. This much is one that only listens."""

    hint = "listening; /quit or Ctrl-D to leave"
    help: tuple[str, ...] = ("/quit          leave",)
    close_code = 1000

    def __init__(self, client: ReconnectingClient[T], screen: Screen) -> None:
        self.client = client
        self.screen = screen
        self._sends = asyncio.TaskGroup()

    @abstractmethod
    def show(self, received: T) -> bool:
        """Show what was received. True if that was the end."""

    async def say(self, text: str) -> None:
        """Send what was typed, and show what became of it."""
        self.show_error("nothing can be said here")

    async def command(self, name: str, rest: str) -> bool:
        """Do ``/name rest``. True if it was the last thing to do."""
        if name == "quit":
            return True
        if name != "help":
            self.show_error(f"there is no command /{name}")
        for line in self.help:
            self.screen.say("·", line, dim=True)
        return False

    async def leave(self) -> None:
        """Say goodbye, when everything typed has been done."""

    def show_error(self, text: str) -> None:
        self.screen.say("!", text, red=True)

    async def show_received(self) -> None:
        """Show everything, to the end of the conversation."""
        async for received in self.client:
            if self.show(received):
                return

    async def run_input(self, stdin: int) -> None:
        """Do everything that is typed, to the end of the input or the last command, and see it done.

        ``//`` at the beginning of a line stands for a slash that is no command.
        """
        async with self._sends, aclosing(read_lines(stdin)) as lines:
            async for line in lines:
                if line.startswith("/") and not line.startswith("//"):
                    name, _, rest = line[1:].partition(" ")
                    if await self.command(name, rest.strip()):
                        return
                elif line.strip():
                    self.screen.erase_echo(line)
                    await self.start_sending(self.say(line.removeprefix("/")))

    async def start_sending(self, sending: Coroutine[Any, Any, None]) -> None:
        """Have a message take its place, before whatever is typed next, and not wait for its answer."""
        self._sends.create_task(sending)
        await asyncio.sleep(0)  # it takes its place as it starts, which is now

    async def show_result(self, shown: str, sending: Awaitable[Ack | None]) -> None:
        """Wait for ``sending``, and show the line with what became of it."""
        try:
            ack = await sending
        except MessageRefused as refused:
            self.screen.say("✗", f"{shown} ({refused.text})", red=True)
        except Closed:
            self.screen.say("✗", f"{shown} (not confirmed)", red=True)
        else:
            self.screen.say("→", f"{shown} ✓", ack.time if ack else None)


class NotifyTerminal(DialectTerminal[NotifyFrame]):
    """Pop-up notifications."""

    def show(self, received: NotifyFrame) -> bool:
        data = f" {json.encode(received.data).decode()}" if received.data else ""
        self.screen.say("←", received.msg + data, received.time)
        return False


class ObserveTerminal(DialectTerminal[ObserveFrame]):
    """A session, as its supervisor sees it."""

    def show(self, received: ObserveFrame) -> bool:
        match received.sender_type:
            case None:
                self.screen.say("·", received.msg, received.time, dim=True)
            case by_consultant:
                who = "consultant" if by_consultant else "visitor"
                self.screen.say("←", f"{who:>10}: {received.msg}", received.time)
        return False


class ChatTerminal(DialectTerminal[Frame]):
    """A counselling session."""

    hint = "type and press Enter; /help for more"
    help = ("/end           end the session for both", "/quit          leave; you can come back for a while")

    def __init__(self, client: ChatClient, screen: Screen) -> None:
        super().__init__(client, screen)
        self._send = client.send

    def show(self, received: Frame) -> bool:
        mark = "·" if received.system else "←"
        self.screen.say(mark, received.msg, received.time, dim=received.system)
        return False

    async def say(self, text: str) -> None:
        await self.show_result(text, self._send(text))

    async def command(self, name: str, rest: str) -> bool:
        if name == "end":
            self.close_code = 4000
            return True
        return await super().command(name, rest)


class SupportTerminal(DialectTerminal[SupportFrame]):
    """What the user's and the waiter's side show alike."""

    hint = "type and press Enter; /help for more"

    def show(self, received: SupportFrame) -> bool:
        who = self.speaker_prefix(received)
        match received.type:
            case "message_text":
                self.screen.say("←", who + received.message)
            case "message_image":
                self.screen.say("←", f"{who}[image] {received.payload_value('url')}")
            case "error":
                self.show_error(received.message)
        return False

    def speaker_prefix(self, received: SupportFrame) -> str:
        """Whose line it is, if there can be several people."""
        return ""


class UserTerminal(SupportTerminal):
    """A user, and whichever waiter comes."""

    help = ("/end           end the conversation", "/quit          leave; you can come back for a while")

    def __init__(self, client: UserClient, screen: Screen) -> None:
        super().__init__(client, screen)
        self._user = client
        self._waiter: str | None = None
        self._ending = False

    def show(self, received: SupportFrame) -> bool:
        match received.type:
            case "connect_success":
                waiter = received.payload_value("uuid")
                if waiter != self._waiter:  # and not the same one after a reconnect
                    self.screen.say("·", "connected", dim=True)
                self._waiter = waiter
            case "connect_queue":
                self._waiter = None
                self.screen.say(
                    "·", f"waiting, number {received.payload_value('location')} in line", dim=True
                )
            case "disconnected":
                self.screen.say("·", "the conversation has ended", dim=True)
                return True
            case _:
                return super().show(received)
        return False

    async def say(self, text: str) -> None:
        await self.show_result(text, self._user.send(text))

    async def command(self, name: str, rest: str) -> bool:
        self._ending = name == "end"
        return self._ending or await super().command(name, rest)

    async def leave(self) -> None:
        if self._ending:
            await self._user.tell("disconnect")


class WaiterTerminal(SupportTerminal):
    """A waiter with its users, numbered as they come; a plain line goes to the current one."""

    help = (
        "/to N text     say it to user N",
        "/to N          talk to user N from now on",
        "/end           end the conversation with the current user",
        "/quit          leave; you can come back for a while",
    )

    def __init__(self, client: WaiterClient, screen: Screen) -> None:
        super().__init__(client, screen)
        self._waiter = client
        self._numbers: dict[str, int] = {}  # by the user's address
        self._come = 0
        self._current: str | None = None

    def show(self, received: SupportFrame) -> bool:
        match received.type:
            case "new_connection":
                self._arrive(str(received.payload_value("uuid")))
            case "disconnected" if received.sender is not None:
                self._forget(received.sender)
            case _:
                return super().show(received)
        return False

    def speaker_prefix(self, received: SupportFrame) -> str:
        return f"{self._label(received.sender)}: " if received.sender is not None else ""

    async def say(self, text: str) -> None:
        user = self._current
        if user is None:
            self.show_error("to whom? /to N text" if self._numbers else "there is no user yet")
        else:
            await self.show_result(f"{self._label(user)}: {text}", self._waiter.send(user, text))

    async def command(self, name: str, rest: str) -> bool:
        if name == "to":
            number, _, text = rest.partition(" ")
            users = [user for user, its in self._numbers.items() if str(its) == number]
            if not users:
                self.show_error(f"there is no user {number}".rstrip())
                return False
            self._current = users[0]
            if text:
                await self.start_sending(self.say(text))
            return False
        if name == "end":
            user = self._current
            if user is None:
                self.show_error("there is no current user")
            else:
                await self._waiter.tell("disconnect", to=user)
                self._forget(user)
            return False
        return await super().command(name, rest)

    def _arrive(self, user: str) -> None:
        if user in self._numbers:
            return  # given back after a reconnect
        self._come += 1
        if not self._numbers:
            self._current = user
        self._numbers[user] = self._come
        self.screen.say("·", f"{self._label(user)} connected", dim=True)

    def _forget(self, user: str) -> None:
        if user not in self._numbers:
            return
        self.screen.say("·", f"{self._label(user)} has left", dim=True)
        del self._numbers[user]
        if self._current == user:
            # Another one is not chosen: what is being typed for this one must not be shown to it.
            self._current = None

    def _label(self, user: str | None) -> str:
        return f"user {self._numbers.get(user or '', '?')}"
