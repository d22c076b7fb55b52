"""The reference parts of ``docs/monitoring.md``, made of the metrics' own texts and of the docstrings in ``status``.

``python -m tornado_chat.observability.metrics.reference_doc docs/monitoring.md`` brings the page up to date; a test looks
whether it is.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from prometheus_client.metrics_core import Metric

from tornado_chat.core import status
from tornado_chat.observability.metrics import Metrics

METRIC_PREFIX = "tornado_chat_"
SUFFIX_BY_TYPE = {"counter": "_total", "info": "_info"}


def metrics() -> str:
    """A table row for each metric of ours."""
    rows = [
        f"| `{family.name}{SUFFIX_BY_TYPE.get(family.type, '')}` | {family.type} | {_labels(family)} | {family.documentation} |"
        for family in Metrics().registry.collect()
        if family.name.startswith(METRIC_PREFIX)
    ]
    return "\n".join(["| name | type | labels | what it is good for |", "| --- | --- | --- | --- |", *rows])


def status_reference() -> str:
    """Each part of the status with its fields, the whole first."""
    entries = []
    for part in _parts(status.Status):
        hints = get_type_hints(part)
        words, _, rest = (inspect.getdoc(part) or "").partition("\n\n:")
        notes = dict(re.findall(r"arg (\w+): (.+?)(?=\n:|\Z)", rest, re.DOTALL))
        entries.append(f"**{part.__name__}**: {_plain(words)}\n")
        for name in part.__struct_fields__:
            note = f": {_plain(notes[name])}" if name in notes else ""
            entries.append(f"- `{name}` {_type(hints[name])}{note}")
        entries[-1] += "\n"
    return "\n".join(entries).rstrip()


def _labels(family: Metric) -> str:
    names: tuple[str, ...] = getattr(family, "_labelnames", ())
    return ", ".join(f"`{name}`" for name in ("version", "python") * (family.type == "info") + names)


def _parts(part: Any) -> Iterator[Any]:
    """The struct and those within it, each once."""
    found = [part]
    for each in found:
        for hint in get_type_hints(each).values():
            inner = [hint, *get_args(hint)]
            found += [kind for kind in inner if hasattr(kind, "__struct_fields__") and kind not in found]
    yield from found


def _type(hint: Any) -> str:
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return re.sub(r"\b\w+(\.\w+)*\.(?=\w)", "", text).replace("None", "null")


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


REFERENCE_PARTS: Mapping[str, Callable[[], str]] = {"metrics": metrics, "shape": status_reference}


def fill_page(page: str) -> str:
    """``page`` with all parts as they are now; each stands between two comments with its name."""
    for name, made in REFERENCE_PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        assert found, f"the page has no {begin}"
        page = f"{before}{begin}\n\n{made()}\n\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(fill_page(path.read_text()))
