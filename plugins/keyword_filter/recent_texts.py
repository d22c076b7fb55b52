"""The ends of the last messages of each sender, for words that are split over several messages."""

from collections import OrderedDict
from typing import NamedTuple

from tornado_chat.plugin_api import Message, Person, Thread

MAX_SENDERS = 10_000
MAX_CHARS = 64  # kept of each sender in a conversation
MAX_AGE_MICROSECONDS = 600 * 1_000_000


class _Recent(NamedTuple):
    text: str
    time: int
    seq: int


class RecentTexts:
    """The ends of the last messages, by conversation and sender.

    Those of the least recent sender are dropped when there are ``MAX_SENDERS``.
    """

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[Thread, Person], _Recent] = OrderedDict()

    def add(self, message: Message) -> str:
        """Add a message, and return the end of what its sender wrote before in the conversation.

        The result is empty after a pause of ten minutes, and if the message was added already.
        """
        key = (message.thread, message.sender)
        recent = self._texts.pop(key, None)
        before = ""
        if recent is not None and message.seq <= recent.seq:  # called again for the same message
            self._texts[key] = recent
            return ""
        if recent is not None and message.time - recent.time <= MAX_AGE_MICROSECONDS:
            before = recent.text
        text = f"{before}\n{message.text}"[-MAX_CHARS:] if before else message.text[-MAX_CHARS:]
        self._texts[key] = _Recent(text, message.time, message.seq)
        if len(self._texts) > MAX_SENDERS:
            self._texts.popitem(last=False)
        return before
