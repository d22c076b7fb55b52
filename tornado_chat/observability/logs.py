"""Logging: one line per event, as text or JSON, without message text and tokens.

An event is logged with the ``logging`` module; its fields are passed beside the message::

    log = logging.getLogger(__name__)
    log.info("session ended", extra=fields(session=4, reason="rejoin grace"))

    2026-11-21T01:17:06.123+00:00 INFO tornado_chat.services session ended session=4 reason="rejoin grace"

Strategy: other libraries log too, tracebacks quote URLs, and the query of a URL can hold a token. Therefore
tokens are removed from the finished text, which every log line passes. A log is read line by line, so no
text may break a line or control a terminal: unprintable characters are escaped.

Message text cannot be recognised as a token can, so it is kept out at the source. An error may quote the
message that caused it, so an error is logged by its name and the lines of code of its traceback
(``described``, ``safe_traceback``). Records of other libraries are dropped below level info, and quoted
parts of their texts are removed.
"""

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol, TextIO

from tornado_chat.core.plain_text import escape_controls

log = logging.getLogger(__name__)

SYSLOG_PRIORITIES: Mapping[int, int] = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""The syslog priority of each level, which journald reads at the beginning of a line (sd-daemon(3))."""

SECRET_PATTERNS = (
    # A JWT, anywhere in the text. One without a signature is removed too, although it would be harmless.
    (re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), "[token]"),
    # A query parameter or a header, also with a token of another issuer.
    (re.compile(r"(token=)[^&\s\"'<>\\]+", re.IGNORECASE), r"\1[token]"),
    (re.compile(r"(bearer )[^\s\"',]+", re.IGNORECASE), r"\1[token]"),
)

SECRET_FIELDS = frozenset({"token", "secret", "password", "authorization"})
"""Names of fields whose values are never logged."""

OWN_LOGGER_PREFIX = "tornado_chat"
"""The prefix of loggers whose records do not quote message text: those of the server and of plugins.

Loggers of plugins have this prefix by convention.
"""

SAFE_ERROR_MODULES = frozenset({"peewee", "sqlite3", "pymysql", "redis", "ssl"})
"""Modules whose error texts are about disks and connections; values in these texts are in quotes."""

QUOTED_PATTERN = re.compile(r"""['"].*['"]""", re.DOTALL)

UNQUOTED_PATTERN = re.compile(r"[^\s\"'=\\]+")
"""A value that needs no quotes in a line of text."""

MAX_ERROR_CHARS = 1000
"""The length of an error's text in a line; plugins raise errors with texts of any length."""

NO_FIELDS: Mapping[str, Any] = MappingProxyType({})


class LoggingSettings(Protocol):
    """The options of ``[logging]`` that this module uses.

    The class ``config.Logging`` cannot be imported here, because ``config`` itself logs and so imports
    this module.
    """

    @property
    def format(self) -> str: ...

    @property
    def level(self) -> str: ...


def fields(**values: Any) -> dict[str, Any]:
    """Return the argument ``extra`` of a logging call that adds these fields to the event."""
    return {"fields": values}


def redact(text: str) -> str:
    """Return ``text`` with all tokens replaced by ``[token]``."""
    for pattern, replacement in SECRET_PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def described(error: BaseException) -> str:
    """Return the name of ``error`` and its ``safe_error_text``: a description without message text."""
    name = type(error).__qualname__
    try:
        text = safe_error_text(error)
    except Exception:  # an error of a plugin, whose own code fails
        return f"{name}, whose text cannot be read"
    return f"{name}: {text}" if text else name


def safe_repr(error: BaseException) -> str:
    """Return ``repr(error)`` in at most ``MAX_ERROR_CHARS`` characters; its name if that fails."""
    try:
        text = repr(error)
    except Exception:
        return f"{type(error).__qualname__}, whose text cannot be read"
    return text if len(text) <= MAX_ERROR_CHARS else f"{text[:MAX_ERROR_CHARS]}…"


def safe_error_text(error: BaseException) -> str:
    """Return the text of ``error`` without quoted parts, or an empty text if it may quote message text.

    The texts of ``OSError`` and of the errors of ``SAFE_ERROR_MODULES`` come from the operating system or
    the database. All other texts are left out, because ``KeyError`` quotes the key and ``ValueError`` the
    value that was parsed.
    """
    code = getattr(error, "code_for_log", None)
    if code is not None:
        return str(code)
    if isinstance(error, OSError):
        return error.strerror or ""
    if type(error).__module__.partition(".")[0].lstrip("_") in SAFE_ERROR_MODULES:
        first, *rest = error.args or ("",)
        if isinstance(first, BaseException):  # Peewee wraps the driver's error in its own
            return safe_error_text(first)
        # An error of a database server has a number and a text. ``str`` would put the whole text in quotes,
        # which would then be removed completely.
        number, text = (f"{first} ", str(rest[0])) if rest and isinstance(first, int) else ("", str(error))
        return number + QUOTED_PATTERN.sub("…", text)
    return ""


def safe_traceback(error: BaseException) -> str:
    """Return the traceback of ``error`` and of its causes, with each error ``described``."""
    return "".join(_traceback_lines(error, set())).rstrip()


def _traceback_lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    cause, context = error.__cause__, error.__context__
    if cause is not None and id(cause) not in seen:
        yield from _traceback_lines(cause, seen)
        yield "this error was the cause of:\n"
    elif context is not None and not error.__suppress_context__ and id(context) not in seen:
        yield from _traceback_lines(context, seen)
        yield "while this error was handled, another error was raised:\n"
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
    """Configure logging so that all records of this process are written to ``stream``, and only there.

    :arg stream: None for standard error.
    :arg environ: if ``$JOURNAL_STREAM`` is set, journald reads the lines and adds the time itself.
    :arg process: number of this process, which is a field of each line; 0 if it is the only process.
    """
    common_fields = {"process": process} if process else {}
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    if settings.format == "json":
        handler.setFormatter(JsonFormatter(common_fields))
    else:
        handler.setFormatter(TextFormatter(common_fields, for_journald="JOURNAL_STREAM" in environ))
    handler.addFilter(_is_loggable)
    _load_modules(handler)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_error
    logging.basicConfig(handlers=[handler], level=settings.level.upper(), force=True)
    # At level debug, Peewee logs every query with its parameters: message text and persons.
    logging.getLogger("peewee").setLevel(max(logging.INFO, logging.getLogger().level))


def _load_modules(handler: logging.Handler) -> None:
    """Format a record with everything in it, so that later records need no module that is not loaded yet.

    An import reads files, and so fails when the process has no file descriptors left: just when the log is
    needed.
    """
    try:
        raise OSError("an error with a traceback")
    except OSError as error:
        exc_info = (OSError, error, error.__traceback__)
        record = logging.LogRecord(OWN_LOGGER_PREFIX, logging.ERROR, __file__, 1, "\x00", (), exc_info)
        record.fields = {"unprintable": "\x1b\u2028"}
        handler.format(record)


def _is_own_record(record: logging.LogRecord) -> bool:
    return record.name.startswith(OWN_LOGGER_PREFIX)


def _is_loggable(record: logging.LogRecord) -> bool:
    """Return False for debug records of other libraries, which hold queries and payloads."""
    return record.levelno >= logging.INFO or _is_own_record(record)


def _redacted_message(record: logging.LogRecord) -> str:
    text = redact(record.getMessage())
    return text if _is_own_record(record) or record.name == "py.warnings" else QUOTED_PATTERN.sub("…", text)


def _log_thread_error(args: threading.ExceptHookArgs) -> None:
    """Log the error that ended a thread. (``threading`` would print it with its text.)"""
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else ""
        log.critical("a thread has ended with an error", exc_info=args.exc_value, extra=fields(thread=name))


class TextFormatter(logging.Formatter):
    """Formats a record as ``time LEVEL logger message key=value``.

    The last key is ``trace``, the ``safe_traceback``, if there is an error.

    :arg common_fields: fields of every event.
    :arg for_journald: begin with the priority, as in ``<6>``, instead of the time.
    """

    def __init__(self, common_fields: Mapping[str, Any] = NO_FIELDS, for_journald: bool = False) -> None:
        super().__init__()
        self._common_fields = common_fields
        self._for_journald = for_journald

    def format(self, record: logging.LogRecord) -> str:
        if self._for_journald:
            parts = [f"<{SYSLOG_PRIORITIES.get(record.levelno, 5)}>{record.levelname}"]
        else:
            parts = [_time(record), record.levelname]
        parts += [record.name, escape_controls(_redacted_message(record))]
        values = {**_redacted_fields(record), **self._common_fields, **_traceback_field(record)}
        parts += [f"{key}={_format_value(value)}" for key, value in values.items()]
        return " ".join(parts)


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object.

    Its keys are ``time``, ``level``, ``logger``, ``message``, the fields of the event, and ``trace``, the
    ``safe_traceback``, if there is an error.

    :arg common_fields: fields of every event.
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
        # ``event`` comes first for the order of the keys, and again so that no field overrides its values.
        event = {
            **event,
            **_redacted_fields(record),
            **self._common_fields,
            **event,
            **_traceback_field(record),
        }
        return escape_controls(json.dumps(event, ensure_ascii=False, default=str), _json_escape)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _redacted_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of the event without tokens; numbers, booleans and None keep their type."""
    values: Mapping[str, Any] = getattr(record, "fields", {})
    return {
        key: "[token]" if key in SECRET_FIELDS else _redacted_value(value) for key, value in values.items()
    }


def _redacted_value(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else redact(str(value))


def _traceback_field(record: logging.LogRecord) -> dict[str, str]:
    """Return the field ``trace``: the traceback of the error, and the stack if the caller requested it."""
    error = record.exc_info[1] if record.exc_info else None
    parts = [safe_traceback(error)] if error is not None else []
    parts += [record.stack_info] if record.stack_info else []
    return {"trace": redact("\n".join(parts))} if parts else {}


def _format_value(value: Any) -> str:
    text = str(value)
    if not (UNQUOTED_PATTERN.fullmatch(text) and text.isprintable()):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return escape_controls(text)


def _json_escape(char: str) -> str:
    return json.dumps(char)[1:-1]
