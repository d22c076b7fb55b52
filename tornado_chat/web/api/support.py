"""``/api/v1/support/conversations``: what was said in support."""

from typing import Any

from tornado_chat.errors import Malformed
from tornado_chat.services.sessions import HOSTS
from tornado_chat.types import Role
from tornado_chat.web.api import values
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.wire.support import line

LONGEST_ID = 64


class ConversationsHandler(ApiHandler):
    async def get(self) -> None:
        """The finished conversations of ``user``, newest first; ``before`` goes on with the older ones."""
        identity = await self.identify(Role.WAITER, *HOSTS)
        user = self.get_query_argument("user", "")
        if not 0 < len(user) <= LONGEST_ID:
            raise Malformed("bad_parameter", name="user", reason="the id of a user is expected")
        before = self._number("before", 0, 1, 2**62) or None
        _, limit = self.cursor()
        page, more = await self.services.support_records.of_user(identity, user, before, limit)
        items = [values.conversation(each, self.services.times) for each in page]
        self.answer(values.Page(items, page[-1].id if more else None))


class MessagesHandler(ApiHandler):
    async def get(self, conversation_id: str) -> None:
        """What was said in a conversation, oldest first."""
        identity = await self.identify(Role.WAITER, *HOSTS)
        after, limit = self.cursor()
        page, more = await self.services.support_records.page(identity, int(conversation_id), after, limit)
        items = [line(message, self.services.times) for message in page]
        self.answer(values.Page(items, page[-1].seq if more else None))


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
    (r"/api/v1/support/conversations", ConversationsHandler, {}),
    (r"/api/v1/support/conversations/(\d{1,18})/messages", MessagesHandler, {}),
]
