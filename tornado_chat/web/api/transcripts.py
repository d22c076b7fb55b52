"""Transcripts of sessions and supervision records as files: for people (txt, html) and programs (json)."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from tornado.escape import xhtml_escape

from tornado_chat.core.plain_text import escape_controls, indent_lines
from tornado_chat.core.texts import Language, system_text
from tornado_chat.core.types import Kind, Message, Room
from tornado_chat.web.api import schemas, serializers
from tornado_chat.wire.counselling import transcript_line
from tornado_chat.wire.times import LocalTimes

RenderedTranscript = tuple[str, str, str]
"""Content type, file name extension, text."""

CONTINUATION_INDENT = " " * len("2026-11-30 10:00:00  ")
"""The beginning of further lines of a message: without it they could pass for messages of another person."""

FILE_NAMES: Mapping[Kind, str] = {Kind.SESSION: "session", Kind.RECORD: "supervision"}
"""The first part of the file name by kind of room."""


def as_text(
    room: Room, messages: Sequence[Message], times: LocalTimes, language: Language
) -> RenderedTranscript:
    lines = [_title(room, times, language), ""]
    for message in messages:
        text = indent_lines(message.text, CONTINUATION_INDENT)
        lines.append(f"{_clock(message, times)}  {escape_controls(_name(room, message))}: {text}")
    return "text/plain; charset=utf-8", "txt", "\n".join(lines) + "\n"


def as_json(
    room: Room, messages: Sequence[Message], times: LocalTimes, language: Language
) -> RenderedTranscript:
    lines = [transcript_line(message, times) for message in messages]
    document = (
        schemas.SupervisionTranscript(serializers.record(room, times), lines)
        if room.thread.kind is Kind.RECORD
        else schemas.Transcript(serializers.session(room, times), lines)
    )
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    return "application/json; charset=utf-8", "json", text + "\n"


def as_html(
    room: Room, messages: Sequence[Message], times: LocalTimes, language: Language
) -> RenderedTranscript:
    title = xhtml_escape(_title(room, times, language))
    rows = "\n".join(
        f"<dt>{_clock(message, times)} {xhtml_escape(_name(room, message))}</dt>"
        f"<dd>{xhtml_escape(message.text)}</dd>"
        for message in messages
    )
    return (
        "text/html; charset=utf-8",
        "html",
        f"""<!DOCTYPE html>
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
{rows}
</dl>
</html>
""",
    )


FORMATS: dict[str, Callable[[Room, Sequence[Message], LocalTimes, Language], RenderedTranscript]] = {
    "txt": as_text,
    "json": as_json,
    "html": as_html,
}


def _title(room: Room, times: LocalTimes, language: Language) -> str:
    title = "transcript_of_record" if room.thread.kind is Kind.RECORD else "transcript_of"
    return system_text(language, title, id=room.thread.id, time=times.format(room.created)[:16])


def _clock(message: Message, times: LocalTimes) -> str:
    return times.format(message.time)[:19].replace("T", " ")


def _name(room: Room, message: Message) -> str:
    name = room.helper_name if message.sender == room.helper else room.asker_name
    return name or f"{message.sender.role.value} {message.sender.id}"
