"""An asyncio client for both dialects, for bots, tests, the bench and the terminal.

Counselling::

    async with ChatClient("ws://localhost:8080", token, session_id=2) as chat:
        ack = await chat.send("hello")  # stored: it has a place (ack.seq) and a time
        async for frame in chat:  # ends when the session does
            print(frame.msg)

Support::

    async with UserClient("ws://localhost:8080", token) as user:
        await user.expect("connect_success", timeout=60)
        await user.send("hello")

A client connects again by itself and sends again, with the same ids and in the same order,
what was not acknowledged; what it hands out comes once and in order. A server that does not
want it at all ends it: readers and senders get :class:`Closed`. A single message that the
server does not take is :class:`Refused`, and the connection goes on.

``features=()`` makes a client that knows its seed and nothing else: no ids, no
acknowledgements, repeats after a reconnect. :class:`RawClient` does not even reconnect.

``token`` is a text, or a function that is asked for a fresh one before each connect.
"""

from tornado_chat.client.connection import Ack, MessageRefused, Options, ReconnectingClient, Token
from tornado_chat.client.counselling import (
    ChatClient,
    Frame,
    NotifyClient,
    NotifyFrame,
    ObserveClient,
    ObserveFrame,
)
from tornado_chat.client.raw import RawClient
from tornado_chat.client.socket import Closed
from tornado_chat.client.support import SupportClient, SupportFrame, UserClient, WaiterClient

__all__ = [
    "Ack",
    "ChatClient",
    "Closed",
    "Frame",
    "MessageRefused",
    "NotifyClient",
    "NotifyFrame",
    "ObserveClient",
    "ObserveFrame",
    "Options",
    "RawClient",
    "ReconnectingClient",
    "SupportClient",
    "SupportFrame",
    "Token",
    "UserClient",
    "WaiterClient",
]
