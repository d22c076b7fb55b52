"""Generator of the reference parts of ``docs/monitoring.md``.

The parts are made from the help texts of the metrics and from the docstrings of ``core/status.py``.
``python -m tornado_chat.observability.metrics.reference_doc docs/monitoring.md`` updates the page; a test
fails if the page is not up to date.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from prometheus_client.metrics_core import Metric

from tornado_chat.core import status
from tornado_chat.observability.metrics import Metrics

METRIC_PREFIX = "tornado_chat_"
SUFFIX_BY_TYPE = {"counter": "_total", "info": "_info"}


def metrics_reference() -> str:
    """Return a table with a row for each metric of the server."""
    rows = [
        f"| `{family.name}{SUFFIX_BY_TYPE.get(family.type, '')}` | {family.type} | {_labels(family)} | "
        f"{family.documentation} |"
        for family in Metrics().registry.collect()
        if family.name.startswith(METRIC_PREFIX)
    ]
    return "\n".join(["| name | type | labels | meaning and use |", "| --- | --- | --- | --- |", *rows])


def status_reference() -> str:
    """Return the description of ``Status`` and of each struct within it, with their fields."""
    entries = []
    for part in _parts(status.Status):
        hints = get_type_hints(part)
        summary, _, rest = (inspect.getdoc(part) or "").partition("\n\n:")
        notes = dict(re.findall(r"arg (\w+): (.+?)(?=\n:|\Z)", rest, re.DOTALL))
        entries.append(f"**{part.__name__}**: {_plain(summary)}\n")
        for name in part.__struct_fields__:
            note = f": {_plain(notes[name])}" if name in notes else ""
            entries.append(f"- `{name}` {_type(hints[name])}{note}")
        entries[-1] += "\n"
    return "\n".join(entries).rstrip()


def _labels(family: Metric) -> str:
    names: tuple[str, ...] = getattr(family, "_labelnames", ())
    return ", ".join(f"`{name}`" for name in ("version", "python") * (family.type == "info") + names)


def _parts(part: Any) -> Iterator[Any]:
    """Yield the struct and all structs within it, each once."""
    structs = [part]
    for struct in structs:
        for hint in get_type_hints(struct).values():
            types = [hint, *get_args(hint)]
            structs += [kind for kind in types if hasattr(kind, "__struct_fields__") and kind not in structs]
    yield from structs


def _type(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(map(_type, get_args(hint)))
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return re.sub(r"\b\w+(\.\w+)*\.(?=\w)", "", text).replace("NoneType", "null").replace("None", "null")


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


REFERENCE_PARTS: Mapping[str, Callable[[], str]] = {"metrics": metrics_reference, "shape": status_reference}
"""The functions that make the parts of the page, by the name in the comments around each part."""


def fill_page(page: str) -> str:
    """Return ``page`` with all parts made anew; each part stands between two comments with its name."""
    for name, make_part in REFERENCE_PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        assert found, f"the page has no {begin}"
        page = f"{before}{begin}\n\n{make_part()}\n\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(fill_page(path.read_text()))
