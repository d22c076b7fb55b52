"""An asyncio client library for both dialects, for bots, tests, benchmarks and the terminal client.

Counselling::

    async with ChatClient("ws://localhost:8080", token, session_id=2) as chat:
        ack = await chat.send("hello")  # the message is stored, with a number (ack.seq) and a time
        async for frame in chat:  # until the session ends
            print(frame.msg)

Support::

    async with UserClient("ws://localhost:8080", token) as user:
        await user.expect("connect_success", timeout=60)
        await user.send("hello")

A client reconnects by itself. It then sends all messages again that were not acknowledged, with the same ids
and in the same order; received frames are delivered once and in order. If the server refuses the client,
readers and senders get :class:`ConnectionClosed`. If the server refuses a single message, ``send`` raises
:class:`MessageRefused`, the message is not sent again, and the connection stays open. Lone surrogates in a
text (half an emoji), which the server refuses, are sent as U+FFFD.

``features=()`` makes a client of the seed's protocol only: no ids, no acknowledgements, repeated frames after
a reconnect. :class:`RawClient` does not reconnect, either.

An acknowledged message is *sent*: stored, and no more. With ``features=(…, "receipt", "read")``,
``chat.delivery.state(ack.seq)`` says whether it was *delivered* to the other side's client, or *seen*. With
the feature ``sender``, a frame's ``author`` is the person that wrote the message.

``token`` is a text, or a function that returns a new token and is called before each connect. It is also
called before the token of an open connection expires, and the connection goes on with the new one, unless the
client is one of the seed's protocol. ``client.renew_token(token)`` does so at any time.
"""

from tornado_chat.client.counselling import (
    ChatClient,
    ChatFrame,
    NotifyClient,
    NotifyFrame,
    ObserveClient,
    ObserveFrame,
)
from tornado_chat.client.delivery import Delivery, DeliveryState, Person
from tornado_chat.client.raw import RawClient
from tornado_chat.client.reconnecting_client import Ack, MessageRefused, Options, ReconnectingClient
from tornado_chat.client.socket import ConnectionClosed
from tornado_chat.client.support import SupportClient, SupportFrame, UserClient, WaiterClient
from tornado_chat.client.token_expiry import Token

__all__ = [
    "Ack",
    "ChatClient",
    "ChatFrame",
    "ConnectionClosed",
    "Delivery",
    "DeliveryState",
    "MessageRefused",
    "NotifyClient",
    "NotifyFrame",
    "ObserveClient",
    "ObserveFrame",
    "Options",
    "Person",
    "RawClient",
    "ReconnectingClient",
    "SupportClient",
    "SupportFrame",
    "Token",
    "UserClient",
    "WaiterClient",
]
