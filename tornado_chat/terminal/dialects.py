"""The output and the commands of each dialect on the terminal."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Coroutine
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from msgspec import json

from tornado_chat.client import (
    Ack,
    ChatClient,
    ChatFrame,
    ConnectionClosed,
    Delivery,
    DeliveryState,
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
    """Base class of the dialects on the terminal; by itself it only receives.

    :cvar hint: the text of the first line.
    :cvar help: the lines of the command ``/help``.
    :ivar close_code: the close code when the client leaves.
    """

    hint = "receiving only; /quit or Ctrl-D to leave"
    help: tuple[str, ...] = ("/quit          leave",)
    close_code = 1000

    def __init__(self, client: ReconnectingClient[T], screen: Screen) -> None:
        self.client = client
        self.screen = screen
        self._sends = asyncio.TaskGroup()
        # The number of the last own message, and the state that was shown for it; by the user's address.
        self._last_sent: dict[str | None, tuple[int, DeliveryState]] = {}
        client.on_delivery = self.show_delivery

    @abstractmethod
    def show(self, received: T) -> bool:
        """Show a received frame. Return True if the conversation has ended."""

    async def send_line(self, text: str) -> None:
        """Send a line of the input, and show the result."""
        self.show_error("this connection only receives: nothing can be sent")

    async def run_command(self, name: str, rest: str) -> bool:
        """Execute the command ``/name rest``. Return True if the client is to leave."""
        if name == "quit":
            return True
        if name != "help":
            self.show_error(f"there is no command /{name}")
        for line in self.help:
            self.screen.show_line("·", line, dim=True)
        return False

    async def leave(self) -> None:
        """Called before the client closes the connection, after all input was executed."""

    def show_error(self, text: str) -> None:
        self.screen.show_line("!", text, red=True)

    async def show_received(self) -> None:
        """Show all received frames, until the conversation ends."""
        async for received in self.client:
            if self.show(received):
                return

    async def run_input(self, stdin: int) -> None:
        """Execute all lines of the input, until its end or a command that leaves; wait for their results.

        ``//`` at the beginning of a line is sent as a single slash.
        """
        async with self._sends, aclosing(read_lines(stdin)) as lines:
            async for line in lines:
                if line.startswith("/") and not line.startswith("//"):
                    name, _, rest = line[1:].partition(" ")
                    if await self.run_command(name, rest.strip()):
                        return
                elif line.strip():
                    self.screen.erase_echo(line)
                    await self.start_sending(self.send_line(line.removeprefix("/")))

    async def start_sending(self, sending: Coroutine[Any, Any, None]) -> None:
        """Start to send a message before the next line is read, without waiting for the answer."""
        self._sends.create_task(sending)
        await asyncio.sleep(0)  # the task starts now, and so the order of the lines is kept

    def show_delivery(self, user: str | None, delivery: Delivery) -> None:
        """Show that the last own message, and so every one before it, was delivered or seen."""
        seq, shown = self._last_sent.get(user, (0, "sent"))
        state = delivery.state(seq)
        if seq and state != shown:
            self._last_sent[user] = seq, state
            self.screen.show_line("·", self.delivery_label(user) + state, dim=True)

    def delivery_of(self, user: str | None) -> Delivery:
        """Return what the other side has received and read."""
        return Delivery()

    def delivery_label(self, user: str | None) -> str:
        """Return the beginning of a line about the messages to a user."""
        return ""

    async def show_result(self, text: str, sending: Awaitable[Ack | None], user: str | None = None) -> None:
        """Wait for ``sending``, and show ``text`` with the result: ``✓`` says that it is stored.

        :arg user: the address of the user that gets the message, if there can be several.
        """
        try:
            ack = await sending
        except MessageRefused as refused:
            self.screen.show_line("✗", f"{text} ({refused.text})", red=True)
        except ConnectionClosed:
            self.screen.show_line("✗", f"{text} (not confirmed)", red=True)
        else:
            self.screen.show_line("→", f"{text} ✓", ack.time if ack else None)
            if ack is not None and ack.seq > self._last_sent.get(user, (0, "sent"))[0]:
                self._last_sent[user] = ack.seq, "sent"
                self.show_delivery(user, self.delivery_of(user))


class NotifyTerminal(DialectTerminal[NotifyFrame]):
    """Shows the notifications of one person."""

    def show(self, received: NotifyFrame) -> bool:
        data = f" {json.encode(received.data).decode()}" if received.data else ""
        self.screen.show_line("←", received.msg + data, received.time)
        return False


class ObserveTerminal(DialectTerminal[ObserveFrame]):
    """Shows a session to its supervisor."""

    def show(self, received: ObserveFrame) -> bool:
        match received.sender_type:
            case None:
                self.screen.show_line("·", received.msg, received.time, dim=True)
            case by_consultant:
                sender = "consultant" if by_consultant else "visitor"
                self.screen.show_line("←", f"{sender:>10}: {received.msg}", received.time)
        return False


class ChatTerminal(DialectTerminal[ChatFrame]):
    """A participant of a counselling session or supervision record."""

    hint = "type and press Enter; /help for more"
    help = (
        "/end           end the session for all participants",
        "/quit          leave; you can return within the grace time",
    )

    def __init__(self, client: ChatClient, screen: Screen) -> None:
        super().__init__(client, screen)
        self._chat = client

    def show(self, received: ChatFrame) -> bool:
        mark = "·" if received.system else "←"
        self.screen.show_line(mark, received.msg, received.time, dim=received.system)
        return False

    async def send_line(self, text: str) -> None:
        await self.show_result(text, self._chat.send(text))

    def delivery_of(self, user: str | None) -> Delivery:
        return self._chat.delivery

    async def run_command(self, name: str, rest: str) -> bool:
        if name == "end":
            self.close_code = 4000
            return True
        return await super().run_command(name, rest)


class SupportTerminal(DialectTerminal[SupportFrame]):
    """Base class of the user's and the waiter's terminal."""

    hint = "type and press Enter; /help for more"

    def show(self, received: SupportFrame) -> bool:
        prefix = self.sender_prefix(received)
        match received.type:
            case "message_text":
                self.screen.show_line("←", prefix + received.message)
            case "message_image":
                self.screen.show_line("←", f"{prefix}[image] {received.payload_value('url')}")
            case "error":
                self.show_error(received.message)
        return False

    def sender_prefix(self, received: SupportFrame) -> str:
        """Return the label of the sender, if there can be several; else an empty text."""
        return ""


class UserTerminal(SupportTerminal):
    """A user of the support service."""

    help = (
        "/end           end the conversation",
        "/quit          leave; you can return within the grace time",
    )

    def __init__(self, client: UserClient, screen: Screen) -> None:
        super().__init__(client, screen)
        self._user = client
        self._waiter: str | None = None
        self._conversation: int | None = None
        self._ending = False

    def show(self, received: SupportFrame) -> bool:
        match received.type:
            case "connect_success":
                waiter = received.payload_value("uuid")
                if received.payload_value("conversation") != self._conversation:
                    self._conversation = received.payload_value("conversation")
                    self._last_sent.clear()  # each conversation counts its messages from 1
                if waiter != self._waiter:  # not after a reconnect with the same waiter
                    self.screen.show_line("·", "connected", dim=True)
                self._waiter = waiter
            case "handed_over":
                names = [_agent_name(received.payload_value(key)) for key in ("from", "to")]
                self.screen.show_line("·", f"{names[0]} handed over to {names[1]}", dim=True)
            case "connect_queue":
                self._waiter = None
                line = f"waiting, position {received.payload_value('location')} in the queue"
                if received.payload_value("serving") == 0:
                    line += "; no agent is on duty"
                self.screen.show_line("·", line, dim=True)
            case "disconnected":
                self.screen.show_line("·", "the conversation has ended", dim=True)
                return True
            case _:
                return super().show(received)
        return False

    async def send_line(self, text: str) -> None:
        await self.show_result(text, self._user.send(text))

    def delivery_of(self, user: str | None) -> Delivery:
        return self._user.delivery

    async def run_command(self, name: str, rest: str) -> bool:
        self._ending = name == "end"
        return self._ending or await super().run_command(name, rest)

    async def leave(self) -> None:
        if self._ending:
            await self._user.send_frame("disconnect")


class WaiterTerminal(SupportTerminal):
    """A waiter with its users, numbered in the order of assignment; plain lines go to the current user."""

    help = (
        "/to N text     make user N the current user, and send the text",
        "/to N          make user N the current user",
        "/end           end the conversation with the current user",
        "/quit          leave; you can return within the grace time",
    )

    def __init__(self, client: WaiterClient, screen: Screen) -> None:
        super().__init__(client, screen)
        self._waiter = client
        self._numbers: dict[str, int] = {}  # by the user's address
        self._last_number = 0
        self._current: str | None = None

    def show(self, received: SupportFrame) -> bool:
        match received.type:
            case "new_connection":
                self._add_user(str(received.payload_value("uuid")))
            case "disconnected" if received.sender is not None:
                self._remove_user(received.sender)
            case _:
                return super().show(received)
        return False

    def sender_prefix(self, received: SupportFrame) -> str:
        return f"{self._label(received.sender)}: " if received.sender is not None else ""

    async def send_line(self, text: str) -> None:
        user = self._current
        if user is None:
            self.show_error(
                "there is no current user: choose one by /to N" if self._numbers else "there is no user yet"
            )
        else:
            await self.show_result(f"{self._label(user)}: {text}", self._waiter.send(user, text), user)

    def delivery_of(self, user: str | None) -> Delivery:
        return self._waiter.delivery_of(user or "")

    def delivery_label(self, user: str | None) -> str:
        return f"{self._label(user)}: "

    async def run_command(self, name: str, rest: str) -> bool:
        if name == "to":
            number, _, text = rest.partition(" ")
            users = [user for user, known in self._numbers.items() if str(known) == number]
            if not users:
                self.show_error(f"there is no user {number}".rstrip())
                return False
            self._current = users[0]
            if text:
                await self.start_sending(self.send_line(text))
            return False
        if name == "end":
            user = self._current
            if user is None:
                self.show_error("there is no current user")
            else:
                await self._waiter.send_frame("disconnect", to=user)
                self._remove_user(user)
            return False
        return await super().run_command(name, rest)

    def _add_user(self, user: str) -> None:
        if user in self._numbers:
            return  # resumed after a reconnect
        self._last_number += 1
        if not self._numbers:
            self._current = user
        self._numbers[user] = self._last_number
        self.screen.show_line("·", f"{self._label(user)} connected", dim=True)

    def _remove_user(self, user: str) -> None:
        if user not in self._numbers:
            return
        self.screen.show_line("·", f"{self._label(user)} has left", dim=True)
        del self._numbers[user]
        if self._current == user:
            # No other user becomes the current one: a line that is being typed is meant for this user only.
            self._current = None

    def _label(self, user: str | None) -> str:
        return f"user {self._numbers.get(user or '', '?')}"


def _agent_name(agent: Any) -> str:
    """Return the name of a person in ``handed_over``, its id if it has none."""
    known = agent if isinstance(agent, dict) else {}
    return str(known.get("name") or f"agent {known.get('id')}")
