"""The base classes of plugins and of their settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tornado_chat.config.sections import PositiveSeconds, option

if TYPE_CHECKING:
    from tornado_chat.plugins.context import CommandContext


@dataclass(frozen=True)
class PluginSettings:
    """The options that every section ``[plugin:NAME]`` has; a plugin's own settings class extends it."""

    timeout: PositiveSeconds = option(
        2.0,
        "How long one call of a hook may take. With the default, startup and reload may take a minute, and "
        "shutdown 5 s.",
    )
    on_error: Literal["allow", "reject"] = option(
        "allow", "What becomes of a message for which this plugin's filter fails: it passes, or is refused."
    )


class Plugin:
    """The base class of a plugin: a file or package defines one class that extends it.

    :cvar version: shown by ``tornado-chat plugins``.
    :cvar Settings: the dataclass of the plugin's ini section, with ``option(default, manual)`` fields.
    :ivar settings: an instance of ``Settings``; replaced by another one at a reload.
    """

    version: ClassVar[str] = ""
    Settings: ClassVar[type[PluginSettings]] = PluginSettings
    settings: Any

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @classmethod
    def check(cls, settings: Any) -> None:
        """Check the settings for mistakes that types cannot show: missing files, values that do not fit.

        Called by ``check-config`` and before every start and reload; in a running server in a thread.

        :raises ValueError: a setting is wrong. The text begins with the option's name and a colon, and says
            what is wrong and what would be right.
        """

    def find_problems(self, context: "CommandContext") -> Sequence[str]:
        """Return sentences about what would prevent the start, for ``check-config``: for example a lost key.

        Not called if there is no database yet, or if it cannot be read.
        """
        return ()

    def find_warnings(self, context: "CommandContext | None") -> Sequence[str]:
        """Return sentences about settings that are valid but probably mistakes, for ``check-config``.

        :arg context: None if there is no database yet, or if it cannot be read.
        """
        return ()
