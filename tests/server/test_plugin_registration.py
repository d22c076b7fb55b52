"""The registration hooks in the server: the queue policy of a reload."""

import asyncio
from typing import Any

import pytest

from tests.services.plugins import StubPlugin, manage
from tornado_chat.domain.queue import FifoLeastLoaded
from tornado_chat.plugin_api import hookimpl
from tornado_chat.plugins.manager import PluginError
from tornado_chat.plugins.queue_policy import GuardedPolicy
from tornado_chat.server.plugin_registration import collect_queue_policy


class First(StubPlugin):
    policy: Any = None

    @hookimpl
    def register_queue_policy(self) -> Any:
        return self.policy


class Second(First): ...


def test_the_queue_policy_of_a_reload_has_the_checks_of_the_start() -> None:
    async def test() -> None:
        first, second = First(), Second()
        plugins = manage(first, second)
        assert collect_queue_policy(plugins)[1] == ""
        second.policy = FifoLeastLoaded()
        policy, name = collect_queue_policy(plugins)
        assert (type(policy), name) == (GuardedPolicy, "second")
        first.policy = FifoLeastLoaded()
        assert collect_queue_policy(plugins)[1] == "first"
        first.policy = object()
        with pytest.raises(PluginError, match=r"plugin first: .* object has no method rank") as wrong:
            collect_queue_policy(plugins)
        assert wrong.value.plugin == "first"

    asyncio.run(test())
