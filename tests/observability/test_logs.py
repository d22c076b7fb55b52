"""Tests of the format of log lines, and of the texts that are kept out of the log."""

import io
import json
import logging
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import PurePath

import pytest

from tornado_chat import config
from tornado_chat.core.errors import Malformed
from tornado_chat.observability import logs
from tornado_chat.observability.logs import described, fields

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MX0.c2ln-bmF0_XJl"
log = logging.getLogger("tornado_chat.test")
Configure = Callable[..., io.StringIO]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """A function that configures logging for this test and returns the stream of the log lines.

    pytest captures none of the lines.
    """
    root = logging.getLogger()
    level = root.level
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def configure(
        format: str = "text", level: str = "info", environ: dict[str, str] | None = None
    ) -> io.StringIO:
        stream = io.StringIO()
        logs.configure(config.Logging(format=format, level=level), stream, environ or {})  # type: ignore[arg-type]
        return stream

    yield configure
    root.setLevel(level)
    logging.getLogger("peewee").setLevel(logging.NOTSET)
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[str]:
    """Return the lines of ``stream`` without their time."""
    return [line.partition(" ")[2] for line in stream.getvalue().splitlines()]


def test_a_line_of_text(configure: Configure) -> None:
    stream = configure()
    log.info(
        "event %s", "words", extra=fields(key="value", other="va lue", name="小林", n=3, none=None, empty="")
    )
    time, _, rest = stream.getvalue().partition(" ")
    assert len(time) == len("2026-11-21T01:17:06.123+00:00")
    assert time.endswith("+00:00")
    assert (
        rest
        == 'INFO tornado_chat.test event words key=value other="va lue" name=小林 n=3 none=None empty=""\n'
    )


def test_no_level_shows_the_queries(configure: Configure) -> None:
    stream = configure(level="debug")
    peewee = logging.getLogger("peewee")
    peewee.debug(("INSERT INTO message VALUES (?)", ["what somebody said"]))
    logging.getLogger("peewee.migrations").info("up: %s", "0001_first")
    log.debug("something else")
    assert lines(stream) == [
        "INFO peewee.migrations up: 0001_first",
        "DEBUG tornado_chat.test something else",
    ]
    configure(level="warning")
    assert not peewee.isEnabledFor(logging.INFO)


def test_levels(configure: Configure) -> None:
    stream = configure(level="warning")
    log.info("no")
    log.warning("yes")
    assert lines(stream) == ["WARNING tornado_chat.test yes"]


def test_configured_again(configure: Configure) -> None:
    first, second = configure(), configure()
    log.info("x")
    assert not first.getvalue()
    assert len(lines(second)) == 1


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_text_breaks_a_line(configure: Configure, format: str) -> None:
    stream = configure(format)
    nasty = "a\nb\r\x1b[31m\x85\u2028\u202e\ud800\U000e0001"
    log.info("said %s", nasty, extra=fields(text=nasty, quoted='"\\'))
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    if format == "json":
        event = json.loads(line)
        assert (event["message"], event["text"], event["quoted"]) == (f"said {nasty}", nasty, '"\\')
    else:
        assert r"said a\nb\r\x1b[31m\x85\u2028\u202e\ud800\U000e0001 text=\"a\n" in line.replace('"', '\\"')
        assert line.endswith(r'quoted="\"\\"')


def test_json(configure: Configure) -> None:
    stream = configure("json")
    log.warning("hi", extra=fields(session=4, ok=True, why=None, role=PurePath("/x"), level="mine"))
    event = json.loads(stream.getvalue())
    assert list(event)[:4] == ["time", "level", "logger", "message"]
    del event["time"]
    assert event == {
        "level": "warning",
        "logger": "tornado_chat.test",
        "message": "hi",
        "session": 4,
        "ok": True,
        "why": None,
        "role": "/x",
    }


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_traceback_is_on_the_line_of_its_event(configure: Configure, format: str) -> None:
    stream = configure(format)
    try:
        raise FileNotFoundError(2, f"GET /chat?token={TOKEN}")
    except OSError:
        log.exception("it failed")
    (line,) = stream.getvalue().splitlines()
    assert "Traceback" in line
    assert "FileNotFoundError: GET /chat?token=[token]" in line
    if format == "json":
        assert json.loads(line)["trace"].startswith("Traceback (most recent call last):\n")
    else:
        assert ' it failed trace="Traceback (most recent call last):\\n ' in line


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("name", ["tornado_chat.test", "tornado.access"])
def test_no_token_gets_into_the_log(configure: Configure, format: str, name: str) -> None:
    stream = configure(format, "debug")
    logger = logging.getLogger(name)
    logger.debug("a %s b", TOKEN)
    logger.info("GET /chat?sessionId=1&token=hush.hush&type=0 (%s)", {"Authorization": "Bearer hush"})
    logger.info(
        "Authorization: Bearer hush", extra=fields(url=f"/x?Token={TOKEN}#", token="hush", data={"t": TOKEN})
    )
    text = stream.getvalue()
    assert "hush" not in text
    assert "eyJ" not in text
    assert "sessionId=1&token=[token]&type=0" in text


def test_lines_for_journald_have_a_priority_and_no_time(configure: Configure) -> None:
    stream = configure(environ={"JOURNAL_STREAM": "8:12345"}, level="debug")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        log.log(level, "x", extra=fields(a=1))
    assert stream.getvalue().splitlines() == [
        "<7>DEBUG tornado_chat.test x a=1",
        "<6>INFO tornado_chat.test x a=1",
        "<4>WARNING tornado_chat.test x a=1",
        "<3>ERROR tornado_chat.test x a=1",
        "<2>CRITICAL tornado_chat.test x a=1",
    ]


def test_python_warnings_are_logged(configure: Configure) -> None:
    stream = configure()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(False)
        logging.captureWarnings(True)  # again: catch_warnings has restored the function that prints
        warnings.warn("old\nthing", DeprecationWarning, stacklevel=1)
    assert "WARNING py.warnings" in lines(stream)[0]
    assert len(lines(stream)) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("said between us"), "ValueError"),
        (KeyError("said between us"), "KeyError"),
        (OSError(28, "No space left on device", "/said/between/us"), "OSError: No space left on device"),
        (sqlite3.OperationalError("database is locked"), "OperationalError: database is locked"),
        (
            sqlite3.DataError("Incorrect string value: 'it's \"us\"' for column 'text'"),
            "DataError: Incorrect string value: …",
        ),
        (Malformed("bad_shape", reason="said between us"), "Malformed: bad_shape"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_the_description_of_an_error_quotes_no_message_text(error: Exception, expected: str) -> None:
    assert described(error) == expected


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_traceback_has_the_code_lines_and_the_causes_but_no_error_texts(
    configure: Configure, format: str
) -> None:
    stream = configure(format)
    said = "between us"
    try:
        try:
            raise KeyError(said)
        except KeyError as error:
            error.add_note(said)
            raise ExceptionGroup(said, [ValueError(said)]) from error
    except ExceptionGroup:
        log.exception("it failed")
    (line,) = stream.getvalue().splitlines()
    assert said not in line
    assert line.index("KeyError") < line.index("this error was the cause of") < line.index("ExceptionGroup")
    assert "ValueError" in line
    assert "raise KeyError(said)" in line


def test_debug_records_and_quoted_texts_of_other_libraries_are_left_out(configure: Configure) -> None:
    stream = configure(level="debug")
    other = logging.getLogger("peewee")
    other.debug(("INSERT", ["between us"]))
    other.warning("query %r failed", "it's between us")
    logging.getLogger("tornado_chat_mine.part").debug("of a plugin")
    assert lines(stream) == ["WARNING peewee query … failed", "DEBUG tornado_chat_mine.part of a plugin"]


def test_the_error_that_ends_a_thread_is_logged(configure: Configure) -> None:
    stream = configure()

    def fail() -> None:
        raise ValueError("between us")

    thread = threading.Thread(target=fail, name="writer")
    thread.start()
    thread.join()
    (line,) = stream.getvalue().splitlines()
    assert "CRITICAL tornado_chat.observability.logs a thread has ended with an error thread=writer" in line
    assert "in fail" in line
    assert "between us" not in line.replace('ValueError(\\"between us\\")', "")
