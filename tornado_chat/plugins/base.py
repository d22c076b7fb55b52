"""What every plugin has."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tornado_chat.config.sections import PositiveSeconds, option


@dataclass(frozen=True)
class PluginSettings:
    """The section ``[plugin:NAME]``; a plugin's own settings class extends it."""

    timeout: PositiveSeconds = option(2.0, "How long one call of a hook may take.")
    on_error: Literal["allow", "reject"] = option(
        "allow", "What becomes of a message when this plugin's filter fails."
    )


class Plugin:
    """The base of a plugin: a file or package defines one class that extends it.

    :cvar version: shown by ``tornado-chat plugins``.
    :cvar Settings: the dataclass of its ini section, made of ``option(default, manual)`` fields.
    :ivar settings: an instance of ``Settings``; another one after a reload.
    """

    version: ClassVar[str] = ""
    Settings: ClassVar[type[PluginSettings]] = PluginSettings
    settings: Any

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @classmethod
    def check(cls, settings: Any) -> None:
        """Look for mistakes that types cannot show: files that are missing, values that do not fit.

        Called by ``check-config`` and before every start and reload.

        :raises ValueError: what is wrong and what would be right, beginning with the option's name
            and a colon.
        """
