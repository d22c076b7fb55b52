"""Which support conversations a person may list."""

from typing import Any

import pytest

from tests.services.plugins import StubPlugin, manage
from tornado_chat import config, hookimpl
from tornado_chat.core.errors import Forbidden
from tornado_chat.core.lists import ConversationFilter
from tornado_chat.core.types import Action, Conversation, Identity, Person, Role, Thread
from tornado_chat.domain.groups import Groups
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.supervision.rights import SupervisionRights
from tornado_chat.services.support.history import SupportHistory
from tornado_chat.storage import conversations

LIN, ADA = Person(Role.USER, "1"), Person(Role.USER, "2")
WU, LI = Person(Role.WAITER, "7"), Person(Role.WAITER, "8")


class Rules(StubPlugin):
    """Lets supervisors read, and keeps the waiter LI from it."""

    @hookimpl
    def authorize(self, identity: Identity, action: Action, thread: Thread | None) -> bool | None:
        if identity.person.role is Role.SUPERVISOR:
            return True
        return False if identity.person == LI else None


def open_history(store: Store, *rules: StubPlugin) -> SupportHistory:
    plugins = manage(*rules)
    nothing: Any = None
    access_control = AccessControl(nothing, plugins)
    rights = SupervisionRights(store, access_control, plugins, config.Counselling(), lambda: Groups.single(1))
    return SupportHistory(store, nothing, access_control, plugins, nothing, rights)


async def fill(store: Store) -> list[Conversation]:
    """Return a conversation of each user, the second of which is assigned to WU."""

    def work(tx: Any) -> list[Conversation]:
        one, two = (conversations.join(tx, user, None, f"address {user.id}") for user in (LIN, ADA))
        return [one, conversations.assign(tx, two, WU, None, "address", "next in line")]

    return await store.write(work)


async def listed(history: SupportHistory, reader: Person, **wanted: Any) -> list[Conversation]:
    page = await history.list_page(Identity(reader), ConversationFilter(**wanted), None, 10)
    assert page.next is None
    return list(page.items)


@pytest.mark.gen_test
async def test_people_list_their_own_conversations_and_hosts_all(store: Store) -> None:
    history = open_history(store)
    one, two = await fill(store)
    assert await listed(history, LIN) == [one]
    assert await listed(history, LIN, user=LIN) == [one]
    assert await listed(history, WU) == [two]
    assert await listed(history, WU, user=ADA) == [two]
    assert await listed(history, WU, user=LIN) == []
    assert await listed(history, LI) == []
    assert await listed(history, Person(Role.CONSULTANT, "7")) == []  # may serve a group
    for role in (Role.SERVICE, Role.ADMIN):
        assert await listed(history, Person(role, "1")) == [two, one]


@pytest.mark.parametrize(
    ("reader", "wanted"),
    [
        (LIN, {"user": ADA}),
        (WU, {"waiter": LI}),
        (Person(Role.CONSULTANT, "7"), {"waiter": WU}),
    ],
)
@pytest.mark.gen_test
async def test_the_conversations_of_other_people_are_refused(
    store: Store, reader: Person, wanted: dict[str, Person]
) -> None:
    with pytest.raises(Forbidden):
        await listed(open_history(store), reader, **wanted)


@pytest.mark.gen_test
async def test_plugins_allow_and_refuse(store: Store) -> None:
    history = open_history(store, Rules())
    everything = await fill(store)
    assert await listed(history, Person(Role.SUPERVISOR, "1")) == everything[::-1]
    with pytest.raises(Forbidden):
        await listed(history, LI)
