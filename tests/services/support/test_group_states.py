"""The status of the groups, if the coordinator is of a version that does not know the request."""

import asyncio
from typing import Any, cast

import pytest

from tornado_chat.core.errors import Unavailable
from tornado_chat.services.support import service
from tornado_chat.services.support.service import Support


class SilentCoordinator:
    """A client whose requests are not answered."""

    async def call(self, request: object) -> Any:
        await asyncio.get_running_loop().create_future()


@pytest.mark.gen_test
async def test_a_coordinator_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "GROUP_STATES_TIMEOUT_SECONDS", 0.01)
    other = cast(Any, None)
    support = Support(other, cast(Any, SilentCoordinator()), other, print, other, print, other, print, other)
    with pytest.raises(Unavailable) as refused:
        await support.group_states()
    assert refused.value.code == "no_coordinator"
