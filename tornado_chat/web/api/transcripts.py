"""Transcripts of conversations as files: for people (txt, html) and programs (json).

Strategy: a file is made part by part, so that it is never in memory as a whole.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from tornado.escape import xhtml_escape

from tornado_chat.core.plain_text import escape_controls, indent_lines
from tornado_chat.core.texts import Language, system_text
from tornado_chat.core.types import Conversation, Kind, Message, Person, Room
from tornado_chat.web.api import schemas, serializers
from tornado_chat.web.api.ids import Encode
from tornado_chat.wire.counselling import transcript_line
from tornado_chat.wire.times import OFFSET_CHARS, SECOND_CHARS, LocalTimes

CONTINUATION_INDENT = " " * len("2026-11-30 10:00:00 +08:00  ")
"""The beginning of further lines of a message: without it they could pass for messages of another person."""

MINUTE_CHARS = len("2026-11-30T10:00")

Names = Mapping[Person, str | None]
"""The names of the participants."""

FILE_NAMES: Mapping[Kind, str] = {
    Kind.SESSION: "session",
    Kind.RECORD: "supervision",
    Kind.SUPPORT: "conversation",
}
"""The first part of the file name by kind."""

TITLES: Mapping[Kind, str] = {
    Kind.SESSION: "transcript_of",
    Kind.RECORD: "transcript_of_record",
    Kind.SUPPORT: "transcript_of_conversation",
}
"""The system text of the title by kind."""

Subject = Room | Conversation
"""What a transcript is about."""


class TranscriptFile(NamedTuple):
    """A transcript file in parts.

    :ivar extension: of the file name.
    :ivar head: the text before the messages.
    :ivar entry: returns the text of a message.
    :ivar separator: the text between two messages.
    :ivar tail: the text after the messages.
    :ivar tail_if_empty: the text after ``head``, if there are no messages.
    """

    content_type: str
    extension: str
    head: str
    entry: Callable[[Message], str]
    separator: str
    tail: str
    tail_if_empty: str

    async def parts(self, chunks: AsyncIterator[Sequence[Message]]) -> AsyncIterator[str]:
        """Yield the file: a part for each of the ``chunks``, none of which is empty."""
        before = self.head
        async for chunk in chunks:
            yield before + self.separator.join(map(self.entry, chunk))
            before = self.separator
        yield self.head + self.tail_if_empty if before is self.head else self.tail


def as_text(
    room: Subject, names: Names, times: LocalTimes, language: Language, encode: Encode
) -> TranscriptFile:
    def entry(message: Message) -> str:
        text = indent_lines(message.text, CONTINUATION_INDENT)
        return f"{_clock(message, times)}  {escape_controls(_name(names, message))}: {text}\n"

    head = f"{_title(room, times, language)}\n\n"
    return TranscriptFile("text/plain; charset=utf-8", "txt", head, entry, "", "", "")


def as_json(
    room: Subject, names: Names, times: LocalTimes, language: Language, encode: Encode
) -> TranscriptFile:
    """:arg encode: writes the ids as the caller reads them."""
    is_support = isinstance(room, Conversation)
    document: msgspec.Struct
    if isinstance(room, Conversation):
        document = schemas.ConversationTranscript(serializers.conversation(room, times), [])
    elif room.thread.kind is Kind.RECORD:
        document = schemas.SupervisionTranscript(serializers.record(room, times), [])
    else:
        document = schemas.Transcript(serializers.session(room, times), [])

    def entry(message: Message) -> str:
        make = serializers.support_message if is_support else transcript_line
        line = make(message, times, names.get(message.sender))
        return "\n    " + _pretty(encode(line)).replace("\n", "\n    ")

    # "messages" is the last member, and newlines inside texts are escaped.
    head, tail = _pretty(encode(document)).rsplit("]", 1)
    tail = f"]{tail}\n"
    return TranscriptFile("application/json; charset=utf-8", "json", head, entry, ",", f"\n  {tail}", tail)


def as_html(
    room: Subject, names: Names, times: LocalTimes, language: Language, encode: Encode
) -> TranscriptFile:
    title = xhtml_escape(_title(room, times, language))

    def entry(message: Message) -> str:
        return (
            f"<dt>{_clock(message, times)} {xhtml_escape(_name(names, message))}</dt>"
            f"<dd>{xhtml_escape(message.text)}</dd>"
        )

    head = f"""<!DOCTYPE html>
<html lang="{language.replace("_", "-")}">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 45rem; margin: 2rem auto; padding: 0 1rem }}
dt {{ color: #555; font-size: .85rem; margin-top: .8rem }}
dd {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<dl>
"""
    tail = "\n</dl>\n</html>\n"
    return TranscriptFile("text/html; charset=utf-8", "html", head, entry, "\n", tail, tail)


FORMATS: dict[str, Callable[[Subject, Names, LocalTimes, Language, Encode], TranscriptFile]] = {
    "txt": as_text,
    "json": as_json,
    "html": as_html,
}


def _pretty(json: bytes) -> str:
    return msgspec.json.format(json, indent=2).decode()


def _title(room: Subject, times: LocalTimes, language: Language) -> str:
    return system_text(
        language, TITLES[room.thread.kind], id=room.thread.id, time=_minute(room.created, times)
    )


def _minute(microseconds: int, times: LocalTimes) -> str:
    """Return a time as in ``2026-11-30T10:00 +08:00``."""
    return f"{times.format(microseconds)[:MINUTE_CHARS]} {times.format(microseconds)[-OFFSET_CHARS:]}"


def _clock(message: Message, times: LocalTimes) -> str:
    """Return a time as in ``2026-11-30 10:00:00 +08:00``."""
    text = times.format(message.time)
    return f"{text[:SECOND_CHARS].replace('T', ' ')} {text[-OFFSET_CHARS:]}"


def _name(names: Names, message: Message) -> str:
    return names.get(message.sender) or f"{message.sender.role.value} {message.sender.id}"
