"""A message filter by word lists: it masks words, refuses messages and alerts supervisors.

The README beside this file is the manual for operators.
"""

import asyncio
import difflib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import peewee as pw
from msgspec import Meta

from tornado_chat.plugin_api import (
    CommandContext,
    Context,
    Draft,
    Keeper,
    Message,
    Plugin,
    PluginSettings,
    Refused,
    Role,
    hookimpl,
    option,
)

from .alert_queries import Finding, KeywordFilterAlert, KeywordFilterNotified, KeywordFilterRecord
from .alerts import AlertService
from .data_keeper import AlertKeeper
from .matching import Matcher
from .normalising import Normaliser
from .recent_texts import RecentTexts
from .word_lists import ListError, ListReader, WordAction

log = logging.getLogger(__name__)

YEAR_SECONDS = 366 * 86400
TEXT_MEDIA = "text"
SEVERITIES = ("normal", "severe")

NO_RECIPIENT = (
    "no alert reaches a person: there is no supervisor or administrator with an account or a former "
    "/notify connection; add one by: tornado-chat staff add"
)
NO_ADMINISTRATOR = (
    "there is no administrator with an account or a former /notify connection, so no alert is escalated to "
    "one; add one by: tornado-chat staff add"
)


class KeywordFilter(Plugin):
    """Masks, refuses or reports messages by word lists."""

    @dataclass(frozen=True)
    class Settings(PluginSettings):
        @property
        def severe_lists(self) -> frozenset[str]:
            """The names of the severe lists, as in ``WordKind.lists``."""
            return frozenset(
                Path(path).name for path, value in _severities(self.severity) if value == "severe"
            )

        mask: tuple[str, ...] = option((), "Files with words that are replaced by stars.")
        block: tuple[str, ...] = option((), "Files with words for which a message is refused.")
        alert: tuple[str, ...] = option(
            (), "Files with words that are delivered and reported to supervisors."
        )
        severity: tuple[str, ...] = option(
            (),
            "Severities of alert lists: FILE=severe or FILE=normal, the default. Each message with a word of "
            "a severe list starts an alert of its own, up to five unread ones of a sender in a conversation.",
        )
        alert_role: Literal["assigned", "supervisor", "admin"] = option(
            "assigned",
            "Who is notified first: the supervisors of the session, any one supervisor, or the "
            "administrators.",
        )
        escalate_after: Annotated[float, Meta(gt=0, le=YEAR_SECONDS)] = option(
            120.0, "Seconds after which an unread alert goes to the next person."
        )
        alert_score: Annotated[int, Meta(ge=0, le=100)] = option(
            0,
            "Score of a user of a support conversation after an alert: a user who waits comes before all "
            "users with a lower score. 0: no change.",
        )
        reject_text_en: str = option(
            "it contains words that are not allowed here; please say it differently",
            "The reason for the sender of a refused message, in English.",
        )
        reject_text_zh: str = option(
            "消息含有不允许使用的词语, 请修改后再发送",
            "The reason for the sender of a refused message, in Chinese.",
        )

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._matcher = Matcher(Normaliser.shared(), {})
        self._recent_texts = RecentTexts()
        self._alerts: AlertService | None = None

    @classmethod
    def check(cls, settings: Any) -> None:
        _check_severities(settings)
        for name in ("mask", "block", "alert"):
            problems = []
            for path in getattr(settings, name):
                try:
                    for _ in ListReader(Normaliser.shared()).read(Path(path)):
                        pass
                except ListError as error:
                    problems.append(str(error))
            if problems:
                raise ValueError(f"{name}: {'; '.join(problems)}")

    def find_warnings(self, context: CommandContext | None) -> Sequence[str]:
        reader = ListReader(Normaliser.shared())
        for path in dict.fromkeys((*self.settings.mask, *self.settings.block, *self.settings.alert)):
            for _ in reader.read(Path(path)):
                pass
        warnings = reader.warnings
        if context is not None and self.settings.alert and not context.people(Role.ADMIN):
            needs_admin = self.settings.alert_role == "admin" or context.people(Role.SUPERVISOR)
            warnings.append(NO_ADMINISTRATOR if needs_admin else NO_RECIPIENT)
        return warnings

    @hookimpl
    def register_models(self) -> Sequence[type[pw.Model]]:
        return KeywordFilterAlert, KeywordFilterRecord, KeywordFilterNotified

    @hookimpl
    def register_keeper(self) -> Keeper:
        return AlertKeeper()

    @hookimpl
    async def startup(self, context: Context) -> None:
        await self.reload()
        self._alerts = AlertService(context, lambda: self.settings)
        context.spawn(self._alerts.run())

    @hookimpl
    async def reload(self) -> None:
        """Read the lists again; if that fails, the previous lists stay."""
        self._matcher = await asyncio.to_thread(_build_matcher, self.settings)
        for warning in self._matcher.warnings:
            log.warning("%s", warning)

    @hookimpl
    async def shutdown(self) -> None:
        if self._alerts is not None:
            await self._alerts.finish()

    @hookimpl
    def filter_message(self, draft: Draft) -> Draft | None:
        if draft.media != TEXT_MEDIA:
            return None
        verdict = self._matcher.check(draft.text)
        if verdict is None:
            return None
        if verdict.is_blocked:
            if self._alerts is not None and (lists := self._matcher.find_alerts(draft.text)):
                self._alerts.add_refused(Finding(draft.thread, None, draft.sender.person, lists))
            raise Refused(en=self.settings.reject_text_en, zh_CN=self.settings.reject_text_zh)
        return draft.replace(verdict.text)

    @hookimpl
    async def message_posted(self, message: Message) -> None:
        if message.media != TEXT_MEDIA or self._alerts is None:
            return
        lists = self._matcher.find_alerts(message.text, self._recent_texts.add(message))
        if lists:
            await self._alerts.add(Finding(message.thread, message.seq, message.sender, lists))


def _severities(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the file and the severity of each entry of the option."""
    for line in lines:
        path, _, value = line.rpartition("=")
        yield path.strip(), value.strip()


def _check_severities(settings: Any) -> None:
    for path, value in _severities(settings.severity):
        if value not in SEVERITIES:
            raise ValueError(f'severity: "{path}={value}" has no severity; write FILE=severe or FILE=normal')
        if path not in settings.alert:
            near = difflib.get_close_matches(path, settings.alert, 1)
            advice = f'did you mean "{near[0]}"?' if near else "name a file as in alert"
            raise ValueError(f'severity: "{path}" is no file of the option alert; {advice}')


def _build_matcher(settings: Any) -> Matcher:
    return Matcher(
        Normaliser.shared(),
        {WordAction.ALERT: settings.alert, WordAction.BLOCK: settings.block, WordAction.MASK: settings.mask},
    )
