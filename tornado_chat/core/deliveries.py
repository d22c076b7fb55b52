"""Deliveries of plugins to other systems: values, the errors of an attempt, and the times of attempts."""

import enum
import uuid
from dataclasses import dataclass, field

from tornado_chat.core.types import Person

MICROSECONDS_PER_SECOND = 1_000_000
MAX_DELAY_SECONDS = 3600.0
"""Longest delay between two attempts."""

MAX_KEY_CHARS = 64  # of a target, an item, and an order key
MAX_OUTBOX_NAME_CHARS = 32


class DeliveryState(enum.StrEnum):
    """The state of a delivery; ``DEAD`` is one that was given up."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


class DeliveryError(Exception):
    """An attempt to deliver failed. It is repeated later, see ``OutboxTimes``.

    :arg reason: why, for operators: it is logged and stored, so it must not contain a message or a secret.
    :arg detail: a text of the receiver, which is stored instead of the reason and never logged.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class RetryLater(DeliveryError):
    """An attempt failed, and the next one must not begin before ``seconds`` have passed."""

    def __init__(self, reason: str, seconds: float, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.seconds = seconds


class GiveUp(DeliveryError):
    """An attempt failed, and must not be repeated."""


@dataclass(frozen=True)
class NewDelivery:
    """A delivery to be added to an outbox.

    :ivar target: where it goes, up to 64 characters without secrets: each target has its own attempts.
    :ivar item: what is delivered, up to 64 characters. An item that the target has already is not added
        again.
    :ivar shown: the target for operators, without secrets.
    :ivar recipient: the person whom the delivery is about, for export and erasure.
    :ivar body: what the attempts need. It is stored.
    :ivar order_key: deliveries to a target with the same one are made in the order in which they were
        added: while one waits, the next ones do. Up to 64 characters; empty: in no order.
    :ivar event_id: the same in each attempt, so that a receiver recognises a repetition.
    """

    target: str
    item: str
    shown: str = ""
    recipient: Person | None = None
    body: str = ""
    order_key: str = ""
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def __post_init__(self) -> None:
        """:raises ValueError: the target or the item is empty, or a key is too long."""
        for name, text in (("target", self.target), ("item", self.item)):
            if not 0 < len(text) <= MAX_KEY_CHARS:
                raise ValueError(f"{name} must have 1 to {MAX_KEY_CHARS} characters")
        if len(self.order_key) > MAX_KEY_CHARS:
            raise ValueError(f"order_key must have up to {MAX_KEY_CHARS} characters")


@dataclass(frozen=True)
class Delivery:
    """A delivery of an outbox; the fields of ``NewDelivery``, and these.

    :ivar recipient: a ``Person.key``; empty for none.
    :ivar attempts: the number of attempts that have failed.
    :ivar next_at: the time of the next attempt, or of the last change if the delivery does not wait.
    :ivar since: the begin of ``give_up_after``: the creation, or the last `retry` of an operator.
    :ivar last_error: the reason of the last failed attempt.
    """

    id: int
    plugin: str
    outbox: str
    target: str
    item: str
    order_key: str
    shown: str
    recipient: str
    body: str
    event_id: str
    state: str
    attempts: int
    next_at: int
    since: int
    created: int
    last_error: str


@dataclass(frozen=True)
class OutboxTimes:
    """When the attempts of an outbox are made; all values are seconds.

    :ivar retry_after: delay after the first failed attempt. It doubles with each attempt, up to an hour.
    :ivar give_up_after: time after which a delivery that still fails is given up.
    :ivar timeout: how long an attempt may take; None: no limit.
    """

    retry_after: float = 5.0
    give_up_after: float = 86400.0
    timeout: float | None = 60.0

    def next_attempt_at(
        self, since: int, attempts: int, now: int, *, wait_seconds: float = 0.0, random_fraction: float = 0.0
    ) -> int | None:
        """Return the time of the next attempt after a failure; None if the delivery has to be given up.

        Up to half of the delay is subtracted at random, so that deliveries that failed together are not
        repeated together. The last attempt is at the end of ``give_up_after``.

        :arg since: begin of ``give_up_after``; all times are microseconds since 1970.
        :arg attempts: number of failed attempts, at least 1.
        :arg wait_seconds: pause that the receiver asked for.
        :arg random_fraction: from 0 to 1.
        """
        deadline = since + round(self.give_up_after * MICROSECONDS_PER_SECOND)
        if now >= deadline:
            return None
        delay = min(self.retry_after * 2.0 ** min(attempts - 1, 60), MAX_DELAY_SECONDS)
        pause = max(delay * (1 - random_fraction / 2), min(wait_seconds, self.give_up_after))
        return min(now + round(pause * MICROSECONDS_PER_SECOND), deadline)
