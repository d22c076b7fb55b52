"""One attempt to deliver something: by a signed webhook, or by whatever Apprise reaches.

Apprise sends in threads. Of its two ways, ``async_notify`` and calling ``notify`` in a thread, the
second held up the loop less when measured (7 ms against 23 ms for a first message), as preparing the
message happens in the thread too. The threads are not the loop's own: the server needs one of those
to stop, and a mail server that does not answer would keep it.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError

from .outbox import NotifyDelivery
from .rules import Channel, Target

if TYPE_CHECKING:
    import apprise

MAX_CONCURRENT_ATTEMPTS = 8
"""Attempts that may be under way at the same time."""

APPRISE_TIMEOUT_SECONDS = 60.0
"""Seconds for one message by Apprise. Its services have time-outs of their own, mostly 4 seconds."""

TEXTS = {
    "zh_CN": (
        {0: "新的通知", 1: "预约变更", 2: "新的对话"},
        "您有新的通知, 请登录查看",
    ),
    "en": (
        {0: "New notification", 1: "Appointment changed", 2: "New conversation"},
        "You have a new notification. Sign in to read it.",
    ),
}
"""Titles by type, and the body."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    :ivar detail: more than ``error`` says, in words of others: not for the log.
    :ivar wait: for how many seconds the other side wants to be left alone.
    """

    delivered: bool
    error: str = ""
    detail: str = ""
    final: bool = False
    wait: float = 0


DONE = Outcome(True)


class Sender:
    """The connections and threads of all attempts. Made on the loop; ``close`` lets go of them.

    :arg now: microseconds since 1970 UTC.
    """

    def __init__(self, language: str, now: Callable[[], int]) -> None:
        self._language = language
        self._now = now
        self._client = AsyncHTTPClient(force_instance=True, max_clients=MAX_CONCURRENT_ATTEMPTS)
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_ATTEMPTS, thread_name_prefix="notify")

    async def send(
        self, delivery: NotifyDelivery, target: Target, *, secret: bytes, timeout: float
    ) -> Outcome:
        """Try once. Never raises for what the other side does."""
        if target.channel is Channel.WEBHOOK:
            return await self._send_webhook(delivery, target.address, secret, timeout)
        return await self._send_by_apprise(delivery, target.address)

    def close(self) -> None:
        """Threads that are sending are left behind; their messages may still arrive."""
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _send_webhook(
        self, delivery: NotifyDelivery, url: str, secret: bytes, timeout: float
    ) -> Outcome:
        body = delivery.body.encode()
        timestamp = str(self._now() // 1_000_000)
        try:
            response = await self._client.fetch(
                HTTPRequest(
                    url,
                    method="POST",
                    body=body,
                    headers={
                        "Content-Type": "application/json",
                        "User-Agent": "tornado_chat",
                        "Tornado-Chat-Event": delivery.event_id,
                        "Tornado-Chat-Timestamp": timestamp,
                        "Tornado-Chat-Signature": sign(secret, timestamp, body),
                    },
                    connect_timeout=timeout,
                    request_timeout=timeout,
                    follow_redirects=False,
                    decompress_response=False,
                    streaming_callback=_ignore,  # the status says all
                ),
                raise_error=False,
            )
        except HTTPTimeoutError:
            return Outcome(False, f"no answer within {timeout:g} s")
        except HTTPStreamClosedError:
            return Outcome(False, "the connection was closed before an answer came")
        except OSError as error:
            return Outcome(False, f"cannot be reached: {error.strerror or type(error).__name__}")
        except Exception as error:  # whatever is wrong with an answer; its words may quote the address
            return Outcome(False, f"no proper answer: {type(error).__name__}")
        return interpret_response(response.code, response)

    async def _send_by_apprise(self, delivery: NotifyDelivery, address: str) -> Outcome:
        title, text = message_text(self._language, delivery.type)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(APPRISE_TIMEOUT_SECONDS):
                return await loop.run_in_executor(self._threads, _send_in_thread, address, title, text)
        except TimeoutError:
            return Outcome(False, f"no answer within {APPRISE_TIMEOUT_SECONDS:g} s")
        except Exception as error:  # its words may quote the address
            return Outcome(False, f"Apprise failed: {type(error).__name__}")


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """The signature as it stands in the header."""
    code = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256)
    return f"v1={code.hexdigest()}"


def interpret_response(status: int, response: HTTPResponse | None = None) -> Outcome:
    """What a webhook's answer means. Redirects are failures: the signed event is for one address."""
    if 200 <= status < 300:
        return DONE
    wait = 0.0
    if status in (429, 503) and response is not None:
        text = response.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit() and len(text) < 9:
            wait = float(text)
    return Outcome(False, f"answered {status}", final=status == 410, wait=wait)


def message_text(language: str, type: int) -> tuple[str, str]:
    """Title and text of a message to people. They reveal nothing of what was said."""
    titles, text = TEXTS["zh_CN" if language == "zh_CN" else "en"]
    return titles.get(type, titles[0]), text


def service_name(address: str) -> str | None:
    """The kind of service that an address for Apprise names, as ``mailtos``; None if it names none.

    :raises ModuleNotFoundError: Apprise is not installed.
    """
    made = _instantiate(address)
    return None if made is None else address.partition(":")[0].lower()


def _instantiate(address: str) -> "apprise.NotifyBase | None":
    import apprise  # only here: many never use it, and its first use takes half a second

    # It logs whole addresses when it cannot make sense of them, and they hold passwords. What it
    # says of an attempt comes with the result.
    logging.getLogger("apprise").propagate = False
    # Some services would keep a cache in the home folder, which a service account may not have.
    asset = apprise.AppriseAsset(app_id="tornado_chat", storage_mode="memory")
    return apprise.Apprise.instantiate(address, asset=asset)


def _send_in_thread(address: str, title: str, text: str) -> Outcome:
    """In a thread."""
    import apprise

    made = _instantiate(address)
    if made is None:
        return Outcome(False, "Apprise does not understand the address")
    every = apprise.Apprise()
    every.add(made)
    result = every.notify(title=title, body=text)
    if result:
        return DONE
    logs = getattr(result, "logs", None)  # since Apprise 2; before, the result is a bool
    said = [each.message for each in logs() if each.level in ("WARNING", "ERROR")] if logs else []
    return Outcome(False, "the service did not take it", str(said[-1]) if said else "")


def _ignore(chunk: bytes) -> None:
    pass
