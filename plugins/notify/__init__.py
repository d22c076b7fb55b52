"""Delivery of notifications by signed webhooks, and by all services that Apprise supports."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import click
from msgspec import Meta

from tornado_chat.plugin_api import (
    Context,
    Delivery,
    GiveUp,
    NewDelivery,
    Notification,
    OutboxTimes,
    Plugin,
    PluginSettings,
    WriteBehind,
    delivery_commands,
    hookimpl,
    option,
)

from . import events, rules, sending
from .rules import Channel, Rule, Target
from .sending import APPRISE_TIMEOUT_SECONDS, Sender

log = logging.getLogger(__name__)

Positive = Annotated[float, Meta(gt=0, le=86400 * 365)]

OUTBOX = "notifications"
MIN_SECRET_BYTES = 32
GROUP_AND_OTHERS_MODE = 0o077


@dataclass(frozen=True)
class NotifySettings(PluginSettings):
    """The settings. Without a rule, nothing is sent."""

    webhooks: tuple[str, ...] = option(
        (),
        "Receivers of signed events, one rule per line: https://host/hook role=consultant type=2 offline",
    )
    webhook_secret_file: str = option("", "The file with the secret for the signatures of events.")
    webhook_timeout: Positive = option(10.0, "How long a webhook may take to answer.")
    apprise: tuple[str, ...] = option(
        (), "Files with Apprise URLs, one rule per line: /etc/tornado-chat/team.urls role=supervisor+admin"
    )
    retry_after: Positive = option(
        5.0, "Pause after the first failed attempt; it doubles with each attempt, up to an hour."
    )
    give_up_after: Positive = option(
        86400.0, "Time after which a delivery that still fails goes to the dead letter list."
    )


@dataclass(frozen=True)
class DeliverySettings:
    """The contents of the settings and of the files that they name. :ivar targets: by key."""

    targets: Mapping[str, Target]
    secret: bytes = field(repr=False)
    webhook_timeout: float
    times: OutboxTimes


class Notify(Plugin):
    """Puts deliveries into the outbox, which calls ``_send`` with each."""

    Settings = NotifySettings
    settings: NotifySettings

    @classmethod
    def check(cls, settings: NotifySettings) -> None:
        read_settings(settings)

    @hookimpl
    def register_commands(self) -> Sequence[click.Command]:
        return [
            delivery_commands(
                "notify", "Show and retry deliveries of notifications by webhooks, mail and messengers."
            )
        ]

    @hookimpl
    async def startup(self, context: Context) -> None:
        self._write_behind = WriteBehind(context)
        self._sender = Sender(context.language, context.now)
        self._outbox = context.outbox(OUTBOX, self._send)
        self._apply_settings()

    @hookimpl
    async def reload(self) -> None:
        self._apply_settings()

    def _apply_settings(self) -> None:
        self._setup = read_settings(self.settings)
        _warn_of_open_files(self.settings)
        self._outbox.reconfigure(self._setup.times, self._setup.targets)

    @hookimpl
    async def shutdown(self) -> None:
        await self._write_behind.finish()
        self._sender.close()

    @hookimpl
    async def deliver_notification(self, notification: Notification, online: bool) -> None:
        wanted = [each for each in self._setup.targets.values() if each.is_wanted(notification, online)]
        if not wanted:
            return
        new = [_new_delivery(notification, target) for target in wanted]
        await self._write_behind.add(
            lambda tx: self._outbox.insert(tx, new),
            done=self._outbox.wake,
            failed=lambda error: log.warning(
                "notification %d is not in the outbox yet: %s", notification.id, error
            ),
        )

    async def _send(self, delivery: Delivery) -> None:
        setup = self._setup
        target = setup.targets.get(delivery.target)
        if target is None:
            raise GiveUp("no rule names this target any more")
        await self._sender.send(delivery, target, secret=setup.secret, timeout=setup.webhook_timeout)


def _new_delivery(notification: Notification, target: Target) -> NewDelivery:
    new = NewDelivery(target.key, str(notification.id), target.shown, notification.recipient)
    return replace(new, body=events.body(new.event_id, notification))


def read_settings(settings: NotifySettings) -> DeliverySettings:
    """Read the rules of the settings, and the files that they name.

    :raises ValueError: a setting or a file is wrong; the text is as ``Plugin.check`` describes.
    """
    found = [*_webhook_targets(settings), *_apprise_targets(settings)]
    return DeliverySettings(
        rules.merge_targets(found),
        _read_secret(settings),
        settings.webhook_timeout,
        OutboxTimes(settings.retry_after, settings.give_up_after, _attempt_timeout(settings)),
    )


def _attempt_timeout(settings: NotifySettings) -> float:
    """Return a time that no attempt takes: the sender has limits of its own, and names them in its errors."""
    return 2 * max(settings.webhook_timeout, APPRISE_TIMEOUT_SECONDS)


def _webhook_targets(settings: NotifySettings) -> Iterator[tuple[Rule, str, str]]:
    for rule in _parse_rules(Channel.WEBHOOK, "webhooks", settings.webhooks):
        yield rule, rule.address, rules.redact_url(rule.address)


def _apprise_targets(settings: NotifySettings) -> Iterator[tuple[Rule, str, str]]:
    for rule in _parse_rules(Channel.APPRISE, "apprise", settings.apprise):
        path = rule.address
        lines = rules.addresses(_read_text("apprise", path))
        if not lines:
            raise ValueError(f"apprise: {path} has no address in it; write one Apprise URL per line")
        for number, address in lines:
            try:
                service_name = sending.service_name(address)
            except ModuleNotFoundError:
                raise ValueError(
                    "apprise: Apprise is not installed; install it beside the server: "
                    "pip install 'tornado_chat[notify]'"
                ) from None
            if service_name is None:
                raise ValueError(
                    f"apprise: line {number} of {path} is no Apprise URL (https://appriseit.com lists them; "
                    "the line is not repeated here, as it may contain a password)"
                )
            shown = f"{path} line {number} ({service_name})"
            recipients = sending.split_recipients(address)
            if len(recipients) == 1:
                yield rule, address, shown
                continue
            # The whole line stays a target without rules: for deliveries that were stored as one.
            yield replace(rule, is_retired=True), address, shown
            for position, recipient in enumerate(recipients, 1):
                yield rule, recipient, f"{shown}, recipient {position}"


def _parse_rules(channel: Channel, name: str, lines: Sequence[str]) -> Iterator[Rule]:
    for line in lines:
        try:
            yield rules.parse(channel, line)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _read_secret(settings: NotifySettings) -> bytes:
    path = settings.webhook_secret_file
    if not path:
        if settings.webhooks:
            raise ValueError(
                "webhook_secret_file: webhooks are signed, so this must name a file with a secret; create "
                "one by: (umask 077; openssl rand -hex 32 > /etc/tornado-chat/credentials/webhook_secret)"
            )
        return b""
    secret = _read_text("webhook_secret_file", path).strip().encode()
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(
            f"webhook_secret_file: the secret in {path} has {len(secret)} bytes; use at least "
            f"{MIN_SECRET_BYTES}, for example from: openssl rand -hex 32"
        )
    return secret


def _read_text(name: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{name}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name}: {path} is not UTF-8 text") from None


def _warn_of_open_files(settings: NotifySettings) -> None:
    files = [line.split()[0] for line in settings.apprise] + [settings.webhook_secret_file]
    for path in dict.fromkeys(each for each in files if each):
        if Path(path).stat().st_mode & GROUP_AND_OTHERS_MODE:
            log.warning("others on this machine can read the secrets in %s: chmod 600 %s", path, path)
