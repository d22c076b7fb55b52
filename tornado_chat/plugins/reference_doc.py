"""Generates the reference parts of ``docs/plugins.md`` from docstrings and signatures.

``python -m tornado_chat.plugins.reference_doc docs/plugins.md`` updates the page; a test checks that the page
is up to date.
"""

import enum
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tornado_chat.core.deliveries import Delivery, DeliveryError, GiveUp, NewDelivery, OutboxTimes, RetryLater
from tornado_chat.core.lists import KnownPerson, ListPage
from tornado_chat.core.requests import Request
from tornado_chat.core.types import (
    Action,
    Activity,
    AgentState,
    Conversation,
    ConversationState,
    Draft,
    EndReason,
    HostRecord,
    HostSession,
    Identity,
    Message,
    Notification,
    NotificationDraft,
    Operation,
    Part,
    Participant,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)
from tornado_chat.core.types import Kind as ThreadKind
from tornado_chat.domain.queue import Choice, Ticket, Waiter
from tornado_chat.observability.metrics.plugin_metrics import Counter, Gauge
from tornado_chat.plugins.context import CommandContext, Context
from tornado_chat.plugins.data_keeper import Keeper
from tornado_chat.plugins.handler import PluginHandler
from tornado_chat.plugins.hookspecs import HOOK_KINDS, HookKind, Hooks
from tornado_chat.plugins.outbox import Outbox
from tornado_chat.plugins.server_data import ServerData


def render_hooks() -> str:
    """Return a heading with the signature and the description of each hook, by kind."""
    parts = []
    for name, kind in HOOK_KINDS.items():
        function = getattr(Hooks, name)
        heading = f"### `{name}{_signature(function)}`"
        parts.append(f"{heading}\n\n*{kind.name.lower().replace('_', ' ')}*. {_docstring(function)}")
    return "\n\n".join(parts)


def render_kinds() -> str:
    """Return a table with a row for each kind of hook."""
    rows = [f"| {kind.name.lower().replace('_', ' ')} | {kind.value} |" for kind in HookKind]
    return "\n".join(["| kind | how it is called |", "| --- | --- |", *rows])


def render_context() -> str:
    """Return a list entry for each attribute and method of ``Context``."""
    entries = [f"- `context.{name}`: {text}" for name, text in _attributes(Context).items()]
    for name, function in vars(Context).items():
        if callable(function) and not name.startswith("_"):
            wait = "await " if inspect.iscoroutinefunction(function) or name == "write" else ""
            entries.append(f"- `{wait}context.{name}{_signature(function)}`: {_docstring(function, '  ')}")
    fields = re.findall(r":ivar (\w+): (.+)", inspect.getdoc(CommandContext) or "")
    entries += [f"- in a command, `ctx.obj.{name}`: {text}".replace("``", "`") for name, text in fields]
    return "\n".join(entries)


def render_keeper() -> str:
    """Return a list entry for each method of ``Keeper``."""
    return "\n".join(
        f"- `keeper.{name}{_signature(function)}`: {_docstring(function, '  ')}"
        for name, function in vars(Keeper).items()
        if callable(function) and not name.startswith("_")
    )


def render_data() -> str:
    """Return a list entry for each method of ``ServerData``."""
    return "\n".join(
        f"- `data.{name}{_signature(function)}`: {_docstring(function, '  ')}"
        for name, function in vars(ServerData).items()
        if callable(function) and not name.startswith("_")
    )


def render_values() -> str:
    """Return a list entry for each type of the hooks' arguments and results."""
    entries = []
    for each in VALUES:
        hints = inspect.get_annotations(each)
        shown = ", ".join(f"{name}: {_type(hint)}" for name, hint in hints.items())
        properties = [name for name, value in vars(each).items() if isinstance(value, property)]
        more = f" Also {', '.join(f'`.{name}`' for name in properties)}." if properties else ""
        manual = (inspect.getdoc(each) or "").partition("\n\n:")[0]
        entries.append(f"- `{each.__name__}({shown})`: {_to_markdown(manual, '  ')}{more}")
    entries += [f"- `{each.__name__}`: {', '.join(f'`{x.name}`' for x in each)}." for each in ENUMS]
    return "\n".join(entries)


def render_outbox() -> str:
    """Return a list entry for each method of ``Outbox``, and for the values and errors of deliveries."""
    entries = [
        f"- `outbox.{name}{_signature(function)}`: {_docstring(function, '  ')}"
        for name, function in vars(Outbox).items()
        if callable(function) and not name.startswith("_")
    ]
    for each in (DeliveryError, RetryLater, GiveUp, NewDelivery, Delivery, OutboxTimes):
        manual = _to_markdown(inspect.getdoc(each) or "", "  ").replace(":ivar ", ":arg ")
        entries.append(f"- `{each.__name__}{_signature(each)}`: {manual}")
    return "\n".join(entries)


def render_handler() -> str:
    """Return a list entry for each method of ``PluginHandler`` that a subclass calls."""
    entries = [f"- `self.language`: {_docstring(PluginHandler.language, '  ')}"]
    for name in ("authenticate", "body", "query", "respond", "problem"):
        function = getattr(PluginHandler, name)
        wait = "await " if inspect.iscoroutinefunction(function) else ""
        entries.append(f"- `{wait}self.{name}{_signature(function)}`: {_docstring(function, '  ')}")
    return "\n".join(entries)


def render_metrics() -> str:
    """Return a list entry for each method of a metric."""
    methods = {"counter.add": Counter.add, "gauge.set": Gauge.set}
    return "\n".join(
        f"- `{name}{_signature(function)}`: {_docstring(function, '  ')}"
        for name, function in methods.items()
    )


VALUES: Sequence[type] = (
    Person,
    Identity,
    Request,
    Thread,
    Draft,
    Message,
    NotificationDraft,
    Notification,
    Room,
    HostSession,
    HostRecord,
    Conversation,
    Participant,
    KnownPerson,
    ListPage,
    Operation,
    Activity,
    Ticket,
    Waiter,
    Choice,
)
ENUMS: Sequence[type[enum.Enum]] = (
    Role,
    ThreadKind,
    Action,
    SessionState,
    EndReason,
    ConversationState,
    Part,
    AgentState,
)

PARTS: Mapping[str, Callable[[], str]] = {
    "kinds": render_kinds,
    "hooks": render_hooks,
    "context": render_context,
    "keeper": render_keeper,
    "outbox": render_outbox,
    "handler": render_handler,
    "metrics": render_metrics,
    "data": render_data,
    "values": render_values,
}


def fill(page: str) -> str:
    """Return ``page`` with all parts regenerated; each part is between two comments with its name."""
    for name, render in PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        assert found, f"the page has no {begin}"
        page = f"{before}{begin}\n\n{render()}\n\n{end}{rest.partition(end)[2]}"
    return page


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    shown: list[str] = []
    by_position = True
    for name, each in signature.parameters.items():
        if name == "self":
            continue
        if by_position and each.kind is each.KEYWORD_ONLY:
            shown.append("*")
        by_position = each.kind not in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        text = re.sub(r"(?:tornado_chat\.\w+(\.\w+)*|pathlib)\.(?=\w)", "", str(each))
        shown.append(text.replace("'", "").replace('"', ""))
    answer = signature.return_annotation
    answer = answer if isinstance(answer, str) else inspect.formatannotation(answer)
    answer = re.sub(r"(?:tornado_chat|collections\.abc|typing)(?:\.\w+)*\.(?=\w)|['~]", "", answer)
    arguments = "(" + re.sub(r"(?:collections\.abc|typing)\.", "", ", ".join(shown)) + ")"
    return arguments if answer == "None" else f"{arguments} -> {answer}"


def _docstring(function: Any, indent: str = "") -> str:
    return _to_markdown(inspect.getdoc(function) or "", indent)


def _type(hint: Any) -> str:
    text = hint if isinstance(hint, str) else inspect.formatannotation(hint)
    text = re.sub(r"Optional\[(\+?\w+)\]", r"\1 | None", re.sub(r"[+~](?=\w)", "", text))
    return re.sub(r"(?:tornado_chat|collections\.abc|typing)(?:\.\w+)*\.(?=\w)|'", "", text)


def _to_markdown(text: str, indent: str) -> str:
    text = text.replace("``", "`")
    text = re.sub(r":raises (\w+): ", r"Raises `\1`: ", text)
    return text.replace("\n", f"\n{indent}")


def _attributes(of: type) -> dict[str, str]:
    """Return the docstrings below annotated attributes, by attribute."""
    return {
        name: " ".join(text.split()).replace("``", "`")
        for name, text in re.findall(r'^    (\w+): \w+\n    """(.+?)"""', inspect.getsource(of), re.M | re.S)
    }


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(fill(path.read_text()))
