"""Delivery attempts: by a signed webhook, or by a service of Apprise.

Apprise sends in threads. Of its two interfaces, ``async_notify`` and calling ``notify`` in a thread, the
second blocked the loop for a shorter time when measured (7 ms against 23 ms for a first message), as the
message is prepared in the thread too. The threads are not the loop's default ones: the server needs one of
those to stop, and a mail server that does not answer would occupy it.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError

from tornado_chat.plugin_api import Delivery, DeliveryError, GiveUp, RetryLater

from .events import notification_type
from .rules import Channel, Target

if TYPE_CHECKING:
    import apprise

MAX_CONCURRENT_ATTEMPTS = 72
"""As many as an outbox makes at the same time."""

GROUP_SERVICES = frozenset({"dingtalk"})
"""Services of Apprise whose recipients are the people mentioned in one message to a group."""

APPRISE_TIMEOUT_SECONDS = 60.0
"""Time for one message by Apprise. Its services have time-outs of their own, mostly 4 seconds."""

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
"""Titles by notification type, and the body, by language."""


class Sender:
    """Sends deliveries, with connections and threads of its own. Created on the loop.

    :arg now: returns microseconds since 1970 UTC.
    """

    def __init__(self, language: str, now: Callable[[], int]) -> None:
        self._language = language
        self._now = now
        self._client = AsyncHTTPClient(force_instance=True, max_clients=MAX_CONCURRENT_ATTEMPTS)
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_ATTEMPTS, thread_name_prefix="notify")

    async def send(self, delivery: Delivery, target: Target, *, secret: bytes, timeout: float) -> None:
        """Make one attempt. :raises DeliveryError: the receiver has not accepted the delivery."""
        if target.channel is Channel.WEBHOOK:
            await self._send_webhook(delivery, target.address, secret, timeout)
        else:
            await self._send_by_apprise(delivery, target.address)

    def close(self) -> None:
        """Close the connections. Running threads are not awaited; their messages may still arrive."""
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _send_webhook(self, delivery: Delivery, url: str, secret: bytes, timeout: float) -> None:
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
                    streaming_callback=_ignore,  # only the status of the response matters
                ),
                raise_error=False,
            )
        except HTTPTimeoutError:
            raise DeliveryError(f"no answer within {timeout:g} s") from None
        except HTTPStreamClosedError:
            raise DeliveryError("the connection was closed before an answer came") from None
        except OSError as error:
            raise DeliveryError(f"cannot be reached: {error.strerror or type(error).__name__}") from None
        except Exception as error:  # an invalid response; the error's text may quote the address
            raise DeliveryError(f"no proper answer: {type(error).__name__}") from None
        check_response(response.code, response)

    async def _send_by_apprise(self, delivery: Delivery, address: str) -> None:
        title, text = message_text(self._language, notification_type(delivery.body))
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(APPRISE_TIMEOUT_SECONDS):
                await loop.run_in_executor(self._threads, _send_in_thread, address, title, text)
        except DeliveryError:
            raise
        except TimeoutError:
            raise DeliveryError(f"no answer within {APPRISE_TIMEOUT_SECONDS:g} s") from None
        except Exception as error:  # the error's text may quote the address
            raise DeliveryError(f"Apprise failed: {type(error).__name__}") from None


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the signature for the header ``Tornado-Chat-Signature``."""
    code = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256)
    return f"v1={code.hexdigest()}"


def check_response(status: int, response: HTTPResponse | None = None) -> None:
    """Check a webhook's response. Redirects are failures: the signed event is for one address.

    :raises DeliveryError: the receiver has not accepted the event.
    """
    if 200 <= status < 300:
        return
    reason = f"answered {status}"
    if status == 410:
        raise GiveUp(reason)
    if status in (429, 503) and response is not None:
        text = response.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit() and len(text) < 9:
            raise RetryLater(reason, float(text))
    raise DeliveryError(reason)


def message_text(language: str, type: int) -> tuple[str, str]:
    """Return title and text of a message to a person. They contain nothing of the notification's text."""
    titles, text = TEXTS["zh_CN" if language == "zh_CN" else "en"]
    return titles.get(type, titles[0]), text


def service_name(address: str) -> str | None:
    """Return the service of an Apprise address, for example ``mailtos``; None if the address is not valid.

    :raises ModuleNotFoundError: Apprise is not installed.
    """
    service = _instantiate(address)
    return None if service is None else _scheme(address)


def split_recipients(address: str) -> list[str]:
    """Return an Apprise address for each recipient of ``address``: a mail address, a chat, a number.

    An address is not split if its service sends one message to all recipients, or keeps them elsewhere than
    in ``targets``.
    """
    service: Any = _instantiate(address)
    recipients = list(getattr(service, "targets", None) or ())
    if len(recipients) < 2 or _scheme(address) in GROUP_SERVICES:
        return [address]
    split = []
    for recipient in recipients:
        service.targets = [recipient]
        own = service.url(privacy=False)
        parsed: Any = _instantiate(own)
        if parsed is None or list(parsed.targets) != [recipient]:
            return [address]
        split.append(own)
    return split


def _scheme(address: str) -> str:
    return address.partition(":")[0].lower()


def _instantiate(address: str) -> "apprise.NotifyBase | None":
    import apprise  # imported here: many servers never use it, and the import takes half a second

    # Apprise logs whole addresses that it cannot parse, and they contain passwords. Its messages about an
    # attempt come with the result.
    logging.getLogger("apprise").propagate = False
    # By default some services keep a cache in the home folder, which a service account may not have.
    asset = apprise.AppriseAsset(app_id="tornado_chat", storage_mode="memory")
    return apprise.Apprise.instantiate(address, asset=asset)


def _send_in_thread(address: str, title: str, text: str) -> None:
    """Send a message by Apprise, in a thread. :raises DeliveryError: the service did not accept it."""
    import apprise

    service = _instantiate(address)
    if service is None:
        raise DeliveryError("Apprise does not understand the address")
    services = apprise.Apprise()
    services.add(service)
    result = services.notify(title=title, body=text)
    if result:
        return
    logs = getattr(result, "logs", None)  # since Apprise 2; before, the result is a bool
    messages = [each.message for each in logs() if each.level in ("WARNING", "ERROR")] if logs else []
    raise DeliveryError("the service did not accept the message", str(messages[-1]) if messages else "")


def _ignore(chunk: bytes) -> None:
    pass
