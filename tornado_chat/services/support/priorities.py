"""The score of a conversation: its lane in the queue, which staff, the host or a plugin may change."""

from collections.abc import Callable

from tornado_chat.core.errors import Malformed
from tornado_chat.core.plain_text import is_well_formed
from tornado_chat.core.types import Activity, Conversation, Kind, Thread
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import conversations

MAX_SCORE = 100
MAX_REASON_CHARACTERS = 200


class Priorities:
    """Changes the scores of conversations.

    :arg report_action: reports an action to the plugins.
    """

    def __init__(self, store: Store, report_action: Callable[[Activity], None]) -> None:
        self._store = store
        self._report_action = report_action

    async def set(self, conversation_id: int, score: int, reason: str | None, by: str) -> Conversation:
        """Set the score of an unfinished conversation, and return the conversation.

        A waiting user moves to its new position at once. An active conversation keeps the score for the case
        that it returns to the queue.

        :arg score: 0 to ``MAX_SCORE``; users with a higher score come first.
        :arg reason: a sentence for staff; None or empty for none.
        :arg by: as ``Activity.actor``.
        :raises Malformed: the score or the reason is not valid.
        :raises NotFound: there is no such conversation.
        :raises Conflict: the conversation has ended.
        """
        if not 0 <= score <= MAX_SCORE:
            raise Malformed("bad_shape", reason=f"`score` is a whole number from 0 to {MAX_SCORE}")
        if reason is not None and not (is_well_formed(reason) and len(reason) <= MAX_REASON_CHARACTERS):
            raise Malformed(
                "bad_shape", reason=f"`reason` is a text of at most {MAX_REASON_CHARACTERS} characters"
            )
        changed = await self._store.write(
            lambda tx: conversations.prioritise(tx, conversation_id, score, reason or None),
            Thread(Kind.SUPPORT, conversation_id),
        )
        self._report_action(Activity(by, "prioritised", changed.thread, f"score {score}"))
        return changed
