"""The parts of the parent that need no processes."""

import asyncio
import os
import socket

import pytest

from tornado_chat import config
from tornado_chat.server.systemd import Manager
from tornado_chat.server.workers.notify_socket import Listener
from tornado_chat.server.workers.process_manager import Parent
from tornado_chat.server.workers.worker import Child, State
from tornado_chat.server.workers.worker_slots import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Place


def child() -> Child:
    return Child(1, os.getpid(), 0, 30.0, asyncio.get_running_loop())


@pytest.mark.gen_test
async def test_pauses_grow_until_a_child_has_served_for_a_while() -> None:
    place = Place(1)
    pauses = []
    for served in (*[0.5] * 7, STEADY, 0.5):
        place.child = child()
        place.child.has_ended(-9)
        place.child.served = served
        pauses.append(place.next_pause())
    assert pauses[:3] == [0.0, FIRST_PAUSE, 2 * FIRST_PAUSE]
    assert pauses[6:] == [LONGEST_PAUSE, 0.0, FIRST_PAUSE]


@pytest.mark.gen_test
async def test_a_child_is_what_it_says_of_itself() -> None:
    one = child()
    one.hear({"STATUS": "starting"})
    assert (one.state, one.status) == (State.STARTING, "starting")
    one.hear({"READY": "1", "STATUS": "sockets: 3", "X_SOCKETS": "3", "X_WAITING": "1", "X_COMPLAINT": "oh"})
    assert (one.state, one.sockets, one.waiting, one.complaint) == (State.SERVING, 3, 1, "oh")
    one.hear({"WATCHDOG": "1"})
    assert (one.sockets, one.complaint) == (3, "oh")
    one.hear({"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "35000000"})
    assert one.state is State.STOPPING
    one.hear({"READY": "1"})  # it has finished a reload meanwhile
    assert one.state is State.STOPPING
    one.has_ended(0)
    assert (one.state, one.sockets) == (State.ENDED, 0)


def test_who_speaks_is_known_and_what_is_no_assignment_is_dropped() -> None:
    listener = Listener()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        for said in (b"READY=1\nSTATUS=a=b", b"nonsense", b"\xff=1", b"WATCHDOG=1"):
            speaker.sendto(said, f"\0{listener.address[1:]}")
    assert list(listener.heard()) == [
        (os.getpid(), {"READY": "1", "STATUS": "a=b"}),
        (os.getpid(), {"WATCHDOG": "1"}),
    ]
    listener.close()


@pytest.mark.gen_test
async def test_news_of_a_child_that_comes_with_the_end_is_no_error() -> None:
    parent = Parent(config.Config(), Manager(), config.Config)
    parent._listener = Listener()
    parent._listener.close()
    with pytest.raises(OSError, match="descriptor"):
        parent._reap()
    parent._over.set_result(0)
    parent._reap()  # signals may come twice
