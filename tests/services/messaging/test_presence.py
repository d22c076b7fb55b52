"""Presence of people: in this process, or in another."""

import pytest

from tests.delivery.conftest import READER, THREAD, WRITER, HubFixture
from tornado_chat.cluster.bus import Channel, LocalBus
from tornado_chat.services.messaging.presence import PresenceLookup


class OtherProcesses(LocalBus):
    """A bus on which other processes have subscribed."""

    def __init__(self, *channels: Channel) -> None:
        super().__init__()
        self._channels = channels

    async def has_remote_subscriber(self, channel: Channel) -> bool:
        return channel in self._channels


@pytest.mark.gen_test
async def test_a_person_is_online_with_a_socket_in_any_process() -> None:
    office = HubFixture()
    presence = PresenceLookup(office.hub, OtherProcesses(WRITER))
    assert not await presence.online(READER)
    assert await presence.online(WRITER)
    _, stream = office.open(READER)
    assert await presence.online(READER)
    office.hub.discard(stream)
    assert not await presence.online(READER)


@pytest.mark.gen_test
async def test_only_a_follower_of_the_inbox_can_be_notified() -> None:
    office = HubFixture()
    presence = PresenceLookup(office.hub, OtherProcesses())
    _, stream = office.open(READER)
    assert not await presence.can_be_notified(THREAD)
    await office.hub.follow(stream, THREAD, 0)
    assert await presence.can_be_notified(THREAD)
    assert await PresenceLookup(HubFixture().hub, OtherProcesses(THREAD)).can_be_notified(THREAD)
