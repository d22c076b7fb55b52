"""Waiters that want one connection at a time (feature ``kickout``): a new sign-in replaces the older one.

Strategy: each such connection has the time of its sign-in and is known from then on, before the waiter is
ready. The process of the newer one publishes ``WaiterReplaced``; a process with an older one closes it. If a
process receives the event of an older sign-in, the two came at the same time or the event was late: it
publishes its own again. So exactly one remains, the newest by the clocks of the processes.
"""

from collections.abc import Callable

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.cluster.bus import Bus
from tornado_chat.core.close_codes import REPLACED
from tornado_chat.core.events import Event, WaiterReplaced
from tornado_chat.core.types import Person, Role
from tornado_chat.services.support.connections import SupportConnection

FEATURE = "kickout"


class WaiterSignIns:
    """The connections of this process with the feature ``kickout``.

    :arg clock: microseconds since 1970.
    """

    def __init__(self, bus: Bus, clock: Callable[[], int] = now_microseconds) -> None:
        self._bus = bus
        self._clock = clock
        self._last_time = 0
        self._times: dict[Person, dict[SupportConnection, int]] = {}  # of the sign-ins, by waiter

    async def add(self, connection: SupportConnection) -> None:
        """Let a connection that has just signed in replace the waiter's older ones, if it wants that."""
        if connection.person.role is Role.USER or FEATURE not in connection.features:
            return
        # Clocks may stand still or go back; two sign-ins at this process have different times.
        self._last_time = max(self._clock(), self._last_time + 1)
        self._times.setdefault(connection.person, {})[connection] = self._last_time
        # First subscribed, then published: of two sign-ins at once, at least one learns of the other.
        await self._bus.subscribe(connection.person)
        self._publish(connection)

    def remove(self, connection: SupportConnection) -> None:
        """Forget a connection that has closed, or is about to."""
        times = self._times.get(connection.person, {})
        times.pop(connection, None)
        if not times:
            self._times.pop(connection.person, None)

    def republish(self) -> None:
        """Publish all sign-ins again, as events may have been lost."""
        for times in list(self._times.values()):
            for connection in list(times):
                self._publish(connection)

    events = (WaiterReplaced,)

    def on_event(self, event: Event) -> None:
        """Close the connections that the event replaces; called for the types in ``events``."""
        if not isinstance(event, WaiterReplaced):
            return
        for connection, time in list(self._times.get(event.waiter, {}).items()):
            if connection.socket_stream.conn == event.conn:
                continue
            if event.time and (event.time, event.conn) < (time, connection.socket_stream.conn):
                self._publish(connection)
            else:  # older; or replaced by a process of version 0.1.0, which sends no time
                self.remove(connection)
                connection.view.show_replacement()
                connection.socket_stream.close(*REPLACED)

    def _publish(self, connection: SupportConnection) -> None:
        time = self._times.get(connection.person, {}).get(connection)
        if time is not None:  # it was not replaced in the meantime
            self._bus.publish(WaiterReplaced(connection.person, connection.socket_stream.conn, time))
