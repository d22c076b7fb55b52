"""Delivery of notifications by signed webhooks, and by all services that Apprise supports."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import click
import peewee
from msgspec import Meta

from tornado_chat.plugin_api import (
    Context,
    Keeper,
    Notification,
    Plugin,
    PluginSettings,
    WriteBehind,
    hookimpl,
    option,
)

from . import outbox, rules, sending
from .commands import notify
from .data_keeper import DeliveryKeeper
from .rules import Channel, Rule
from .sending import Sender
from .worker import DeliverySettings, Worker

log = logging.getLogger(__name__)

Positive = Annotated[float, Meta(gt=0, le=86400 * 365)]

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


class Notify(Plugin):
    """Puts deliveries into the outbox; the ``Worker`` sends them."""

    Settings = NotifySettings
    settings: NotifySettings

    @classmethod
    def check(cls, settings: NotifySettings) -> None:
        read_settings(settings)

    @hookimpl
    def register_models(self) -> Sequence[type[peewee.Model]]:
        return outbox.TABLES

    @hookimpl
    def register_commands(self) -> Sequence[click.Command]:
        return [notify]

    @hookimpl
    def register_keeper(self) -> Keeper:
        return DeliveryKeeper()

    @hookimpl
    async def startup(self, context: Context) -> None:
        self._write_behind = WriteBehind(context)
        self._setup = read_settings(self.settings)
        _warn_of_open_files(self.settings)
        self._sender = Sender(context.language, context.now)
        self._worker = Worker(context, self._sender, self._setup)
        context.spawn(self._worker.run())
        context.spawn(self._worker.run_housekeeping())

    @hookimpl
    async def reload(self) -> None:
        self._setup = read_settings(self.settings)
        _warn_of_open_files(self.settings)
        self._worker.apply_settings(self._setup)

    @hookimpl
    async def shutdown(self) -> None:
        await self._write_behind.finish()
        self._sender.close()

    @hookimpl
    async def deliver_notification(self, notification: Notification, online: bool) -> None:
        wanted = [each for each in self._setup.targets.values() if each.is_wanted(notification, online)]
        if not wanted:
            return
        await self._write_behind.add(
            lambda tx: outbox.insert(tx.database, notification, wanted, tx.now),
            done=self._worker.wake,
            failed=lambda error: log.warning(
                "notification %d is not in the outbox yet: %s", notification.id, error
            ),
        )


def read_settings(settings: NotifySettings) -> DeliverySettings:
    """Read the rules of the settings, and the files that they name.

    :raises ValueError: a setting or a file is wrong; the text is as ``Plugin.check`` describes.
    """
    found = [*_webhook_targets(settings), *_apprise_targets(settings)]
    return DeliverySettings(
        rules.merge_targets(found),
        _read_secret(settings),
        settings.webhook_timeout,
        settings.retry_after,
        settings.give_up_after,
    )


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
