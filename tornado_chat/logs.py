"""One line per event, for people (text) or machines (JSON), without anybody's token.

Events are logged as everywhere, with their facts beside the words::

    log = logging.getLogger(__name__)
    log.info("session ended", extra=fields(session=4, reason="rejoin grace"))

    2026-11-21T01:17:06.123+00:00 INFO tornado_chat.services session ended session=4 reason="rejoin grace"

Strategy: other libraries log too, tracebacks quote addresses, and an address has the token in its
query. So tokens are taken out of the finished texts, where nothing can get past. And because a log
is read line by line, no text may break a line or steer a terminal: what is not printable is escaped.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

PRIORITIES: Mapping[int, int] = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""The priorities of syslog, which the journal reads at the beginning of a line (sd-daemon(3))."""

SECRETS = (
    # A JWT, wherever it stands. Without its signature it would be harmless, but who can tell.
    (re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), "[token]"),
    # A query parameter or a header, also of a token that is none of ours.
    (re.compile(r"(token=)[^&\s\"'<>\\]+", re.IGNORECASE), r"\1[token]"),
    (re.compile(r"(bearer )[^\s\"',]+", re.IGNORECASE), r"\1[token]"),
)

SECRET_FIELDS = frozenset({"token", "secret", "password", "authorization"})

BARE = re.compile(r"[^\s\"'=\\]+")
"""A value that needs no quotes."""


class Settings(Protocol):
    """``[logging]``, as far as it matters here. This module is below ``config``, as everybody logs."""

    @property
    def format(self) -> str: ...

    @property
    def level(self) -> str: ...


def fields(**values: Any) -> dict[str, Any]:
    """The ``extra`` of a logging call that gives the event these facts, as ``key=value``."""
    return {"fields": values}


def redact(text: str) -> str:
    """``text`` without the tokens in it."""
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


def configure(
    settings: Settings,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Let everything that is logged in this process go to ``stream``, and nowhere else.

    :arg stream: standard error, if None.
    :arg environ: ``$JOURNAL_STREAM`` says that systemd's journal reads, which keeps its own time.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    if settings.format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter(journal="JOURNAL_STREAM" in environ))
    logging.captureWarnings(True)
    # At level debug it writes every query with its values, and so what people say.
    logging.getLogger("peewee").setLevel(logging.INFO)
    logging.basicConfig(handlers=[handler], level=settings.level.upper(), force=True)


class TextFormatter(logging.Formatter):
    """``time LEVEL logger words key=value``; a traceback is the last key, ``trace``.

    :arg journal: instead of the time, begin with the priority, as in ``<6>``.
    """

    def __init__(self, journal: bool = False) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        if self._journal:
            words = [f"<{PRIORITIES.get(record.levelno, 5)}>{record.levelname}"]
        else:
            words = [_time(record), record.levelname]
        words += [record.name, _printable(redact(record.getMessage()), _python_escape)]
        facts = {**_fields(record), **_trace(self, record)}
        words += [f"{key}={_text_value(value)}" for key, value in facts.items()]
        return " ".join(words)


class JsonFormatter(logging.Formatter):
    """One object: ``time``, ``level``, ``logger``, ``message``, the event's own fields, ``trace``."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        event = {**event, **_fields(record), **event, **_trace(self, record)}  # no field takes their place
        return _printable(json.dumps(event, ensure_ascii=False, default=str), _json_escape)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The event's facts; numbers and the like stay what they are."""
    facts: Mapping[str, Any] = getattr(record, "fields", {})
    return {key: "[token]" if key in SECRET_FIELDS else _plain(value) for key, value in facts.items()}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else redact(str(value))


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, str]:
    """The traceback, if there is one, and the stack, if it was asked for."""
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    parts += [record.stack_info] if record.stack_info else []
    return {"trace": redact("\n".join(parts))} if parts else {}


def _text_value(value: Any) -> str:
    text = str(value)
    if not (BARE.fullmatch(text) and text.isprintable()):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return _printable(text, _python_escape)


def _printable(text: str, escape: Callable[[str], str]) -> str:
    """``text`` with everything escaped that could break the line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else escape(char) for char in text)


def _python_escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _json_escape(char: str) -> str:
    return json.dumps(char)[1:-1]
