"""A message filter by word lists: it masks words, refuses messages and alerts supervisors.

The README beside this file is the manual for operators.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import peewee as pw
from msgspec import Meta

from tornado_chat.plugin_api import (
    Context,
    Draft,
    Keeper,
    Message,
    Plugin,
    PluginSettings,
    Refused,
    hookimpl,
    option,
)

from .alert_queries import KeywordFilterAlert, KeywordFilterNotified
from .alerts import AlertService
from .data_keeper import AlertKeeper
from .matching import ListError, Matcher, WordAction, read_list
from .normalising import Normaliser

YEAR_SECONDS = 366 * 86400
TEXT_MEDIA = "text"


class KeywordFilter(Plugin):
    """Masks, refuses or reports messages by word lists."""

    @dataclass(frozen=True)
    class Settings(PluginSettings):
        mask: tuple[str, ...] = option((), "Files with words that are replaced by stars.")
        block: tuple[str, ...] = option((), "Files with words for which a message is refused.")
        alert: tuple[str, ...] = option(
            (), "Files with words that are delivered and reported to supervisors."
        )
        alert_role: Literal["assigned", "supervisor", "admin"] = option(
            "assigned",
            "Who is notified first: the supervisors of the session, any one supervisor, or the "
            "administrators.",
        )
        escalate_after: Annotated[float, Meta(gt=0, le=YEAR_SECONDS)] = option(
            120.0, "Seconds after which an unread alert goes to the next person."
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
        self._alerts: AlertService | None = None

    @classmethod
    def check(cls, settings: Any) -> None:
        for name in ("mask", "block", "alert"):
            problems = []
            for path in getattr(settings, name):
                try:
                    read_list(Path(path), Normaliser.shared())
                except ListError as error:
                    problems.append(str(error))
            if problems:
                raise ValueError(f"{name}: {'; '.join(problems)}")

    @hookimpl
    def register_models(self) -> Sequence[type[pw.Model]]:
        return KeywordFilterAlert, KeywordFilterNotified

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

    @hookimpl
    def filter_message(self, draft: Draft) -> Draft | None:
        if draft.media != TEXT_MEDIA:
            return None
        verdict = self._matcher.check(draft.text)
        if verdict is None:
            return None
        if verdict.is_blocked:
            raise Refused(en=self.settings.reject_text_en, zh_CN=self.settings.reject_text_zh)
        return draft.replace(verdict.text)

    @hookimpl
    async def message_posted(self, message: Message) -> None:
        if message.media != TEXT_MEDIA or self._alerts is None:
            return
        list_name = self._matcher.find_alert(message.text)
        if list_name is not None:
            await self._alerts.add(message, list_name)


def _build_matcher(settings: Any) -> Matcher:
    return Matcher(
        Normaliser.shared(),
        {WordAction.ALERT: settings.alert, WordAction.BLOCK: settings.block, WordAction.MASK: settings.mask},
    )
