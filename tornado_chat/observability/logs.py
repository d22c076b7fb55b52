"""One line per event, for people (text) or machines (JSON), without anybody's words or token.

Events are logged as everywhere, with their facts beside the words::

    log = logging.getLogger(__name__)
    log.info("session ended", extra=fields(session=4, reason="rejoin grace"))

    2026-11-21T01:17:06.123+00:00 INFO tornado_chat.services session ended session=4 reason="rejoin grace"

Strategy: other libraries log too, tracebacks quote addresses, and an address has the token in its
query. So tokens are taken out of the finished texts, where nothing can get past. And because a log
is read line by line, no text may break a line or steer a terminal: what is not printable is escaped.

What people say cannot be recognised like a token, so it is kept out at the source: an error that is raised over
a message may quote it, and is logged by its name and the lines of code that it went through
(``described``, ``safe_traceback``); of other libraries nothing is logged below level info, and nothing they put in quotes.
"""

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol, TextIO

log = logging.getLogger(__name__)

SYSLOG_PRIORITIES: Mapping[int, int] = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""The priorities of syslog, which the journal reads at the beginning of a line (sd-daemon(3))."""

SECRET_PATTERNS = (
    # A JWT, wherever it stands. Without its signature it would be harmless, but who can tell.
    (re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), "[token]"),
    # A query parameter or a header, also of a token that is none of ours.
    (re.compile(r"(token=)[^&\s\"'<>\\]+", re.IGNORECASE), r"\1[token]"),
    (re.compile(r"(bearer )[^\s\"',]+", re.IGNORECASE), r"\1[token]"),
)

SECRET_FIELDS = frozenset({"token", "secret", "password", "authorization"})

OWN_LOGGER_PREFIX = "tornado_chat"
"""How loggers begin whose lines are known to quote nobody: those of the server, and of plugins by the custom of names."""

SAFE_ERROR_MODULES = frozenset({"peewee", "sqlite3", "pymysql", "redis", "ssl"})
"""Modules whose errors tell of disks and connections; what they quote of values stands in quotes."""

QUOTED_PATTERN = re.compile(r"""['"].*['"]""", re.DOTALL)

UNQUOTED_PATTERN = re.compile(r"[^\s\"'=\\]+")
"""A value that needs no quotes."""


NO_FIELDS: Mapping[str, Any] = MappingProxyType({})


class LoggingSettings(Protocol):
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
    for pattern, replacement in SECRET_PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def described(error: BaseException) -> str:
    """What went wrong, in words that cannot be those of a message.

    The error's own words count where they come from the machine, without what stands in quotes. Of all
    others there is only the name: ``KeyError`` says what was asked for, ``ValueError`` what was read.
    """
    name, own = type(error).__qualname__, words(error)
    return f"{name}: {own}" if own else name


def words(error: BaseException) -> str:
    """What ``described`` says without the name; may be empty."""
    code = getattr(error, "code_for_log", None)
    if code is not None:
        return str(code)
    if isinstance(error, OSError):
        return error.strerror or ""
    if type(error).__module__.partition(".")[0].lstrip("_") in SAFE_ERROR_MODULES:
        first, *rest = error.args or ("",)
        if isinstance(first, BaseException):  # Peewee's is the driver's with another name
            return words(first)
        # A server's has a number; quotes that stand around all of it would hide all of it.
        number, text = (f"{first} ", str(rest[0])) if rest and isinstance(first, int) else ("", str(error))
        return number + QUOTED_PATTERN.sub("…", text)
    return ""


def safe_traceback(error: BaseException) -> str:
    """The traceback of ``error`` and of what led to it, each ``described``."""
    return "".join(_traceback_lines(error, set())).rstrip()


def _traceback_lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    cause, context = error.__cause__, error.__context__
    if cause is not None and id(cause) not in seen:
        yield from _traceback_lines(cause, seen)
        yield "which was the cause of:\n"
    elif context is not None and not error.__suppress_context__ and id(context) not in seen:
        yield from _traceback_lines(context, seen)
        yield "and meanwhile:\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield described(error) + "\n"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _traceback_lines(each, seen)


def configure(
    settings: LoggingSettings,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
    process: int = 0,
) -> None:
    """Let everything that is logged in this process go to ``stream``, and nowhere else.

    :arg stream: standard error, if None.
    :arg environ: ``$JOURNAL_STREAM`` says that systemd's journal reads, which keeps its own time.
    :arg process: which of many this one is; 0: the only one. Each of its lines says so.
    """
    common_fields = {"process": process} if process else {}
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    if settings.format == "json":
        handler.setFormatter(JsonFormatter(common_fields))
    else:
        handler.setFormatter(TextFormatter(common_fields, journal="JOURNAL_STREAM" in environ))
    handler.addFilter(_is_loggable)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_error
    logging.basicConfig(handlers=[handler], level=settings.level.upper(), force=True)
    # Its debugging quotes every query, with what people said and who they are.
    logging.getLogger("peewee").setLevel(max(logging.INFO, logging.getLogger().level))


def _is_own_record(record: logging.LogRecord) -> bool:
    return record.name.startswith(OWN_LOGGER_PREFIX)


def _is_loggable(record: logging.LogRecord) -> bool:
    """Drops what other libraries log while they are debugged: queries, payloads."""
    return record.levelno >= logging.INFO or _is_own_record(record)


def _redacted_message(record: logging.LogRecord) -> str:
    text = redact(record.getMessage())
    return text if _is_own_record(record) or record.name == "py.warnings" else QUOTED_PATTERN.sub("…", text)


def _log_thread_error(args: threading.ExceptHookArgs) -> None:
    """Instead of printing it, with the error's words."""
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else ""
        log.critical("a thread has ended by an error", exc_info=args.exc_value, extra=fields(thread=name))


class TextFormatter(logging.Formatter):
    """``time LEVEL logger words key=value``; a traceback is the last key, ``safe_traceback``.

    :arg common_fields: facts of every event.
    :arg journal: instead of the time, begin with the priority, as in ``<6>``.
    """

    def __init__(self, common_fields: Mapping[str, Any] = NO_FIELDS, journal: bool = False) -> None:
        super().__init__()
        self._common_fields = common_fields
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        if self._journal:
            words = [f"<{SYSLOG_PRIORITIES.get(record.levelno, 5)}>{record.levelname}"]
        else:
            words = [_time(record), record.levelname]
        words += [record.name, _escape_unprintable(_redacted_message(record), _python_escape)]
        facts = {**_redacted_fields(record), **self._common_fields, **_traceback_field(record)}
        words += [f"{key}={_format_value(value)}" for key, value in facts.items()]
        return " ".join(words)


class JsonFormatter(logging.Formatter):
    """One object: ``time``, ``level``, ``logger``, ``message``, the event's own fields, ``safe_traceback``.

    :arg common_fields: facts of every event.
    """

    def __init__(self, common_fields: Mapping[str, Any] = NO_FIELDS) -> None:
        super().__init__()
        self._common_fields = common_fields

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _redacted_message(record),
        }
        event = {
            **event,
            **_redacted_fields(record),
            **self._common_fields,
            **event,
            **_traceback_field(record),
        }  # no field takes their place
        return _escape_unprintable(json.dumps(event, ensure_ascii=False, default=str), _json_escape)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _redacted_fields(record: logging.LogRecord) -> dict[str, Any]:
    """The event's facts; numbers and the like stay what they are."""
    facts: Mapping[str, Any] = getattr(record, "fields", {})
    return {
        key: "[token]" if key in SECRET_FIELDS else _redacted_value(value) for key, value in facts.items()
    }


def _redacted_value(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else redact(str(value))


def _traceback_field(record: logging.LogRecord) -> dict[str, str]:
    """The traceback, if there is one, and the stack, if it was asked for."""
    error = record.exc_info[1] if record.exc_info else None
    parts = [safe_traceback(error)] if error is not None else []
    parts += [record.stack_info] if record.stack_info else []
    return {"trace": redact("\n".join(parts))} if parts else {}


def _format_value(value: Any) -> str:
    text = str(value)
    if not (UNQUOTED_PATTERN.fullmatch(text) and text.isprintable()):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return _escape_unprintable(text, _python_escape)


def _escape_unprintable(text: str, escape: Callable[[str], str]) -> str:
    """``text`` with everything escaped that could break the line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else escape(char) for char in text)


def _python_escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _json_escape(char: str) -> str:
    return json.dumps(char)[1:-1]
