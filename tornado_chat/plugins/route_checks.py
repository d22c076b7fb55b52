"""The checks of the routes of plugins: their form, and their conflicts with other routes."""

import inspect
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tornado.routing import PathMatches
from tornado.web import RequestHandler

ROUTE_FORM = "write (pattern, handler class) or (pattern, handler class, arguments)"
REGEX_CHARACTERS = frozenset("^$*+?{}[]()|\\")


class RouteTable:
    """The routes of the server and of plugins, in the order in which they are tried.

    :arg server_patterns: the patterns of the server's routes, which are tried first.
    """

    def __init__(self, server_patterns: Sequence[str]) -> None:
        self._server = [(pattern, PathMatches(pattern).regex) for pattern in server_patterns]
        self._others: list[tuple[str, str, re.Pattern[str]]] = []

    def add(self, plugin: str, route: Any) -> Iterator[str]:
        """Add a route of a plugin, unless it has faults. Yields a sentence for each fault."""
        # Tornado also takes the name of the route, as the fourth value.
        if not isinstance(route, tuple | list) or len(route) not in (2, 3, 4):
            yield f"{route!r:.80} is no route; {ROUTE_FORM}"
            return
        pattern, handler, *arguments = route
        yield from _handler_faults(pattern, handler, arguments)
        if not isinstance(pattern, str):
            yield f'the pattern {pattern!r:.80} is no text; write one such as r"/{plugin}/([0-9]+)"'
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "error", FutureWarning
                )  # of what later versions of Python read otherwise
                regex = PathMatches(pattern).regex
        except (re.error, AssertionError, OverflowError, RecursionError, FutureWarning) as error:
            yield f'the pattern "{pattern}" is no regular expression for a route: {error}; correct it'
            return
        conflict = _form_fault(pattern) or self._find_conflict(plugin, pattern, regex)
        if conflict:
            yield conflict
        else:
            self._others.append((plugin, pattern, regex))

    def _find_conflict(self, plugin: str, pattern: str, regex: re.Pattern[str]) -> str:
        advice = f"begin it with the name of the plugin, such as /{plugin}"
        path = _literal(pattern)
        for other, other_regex in self._server:
            if _bare(other) == _bare(pattern) or (path is not None and other_regex.match(path)):
                return f'the server has the route "{pattern}" itself, and answers first; {advice}'
            sample = _sample(other, other_regex)
            if sample is not None and regex.match(sample):
                return f'the route "{pattern}" matches {sample} too, which the server answers first; {advice}'
        for owner, other, other_regex in self._others:
            if _bare(other) == _bare(pattern) or (path is not None and other_regex.match(path)):
                first = "this plugin" if owner == plugin else f"the plugin {owner}"
                return f'the route "{pattern}" is never reached, as {first} has "{other}" before; {advice}'
        return ""


def _handler_faults(pattern: object, handler: Any, arguments: Sequence[Any]) -> Iterator[str]:
    if not (isinstance(handler, type) and issubclass(handler, RequestHandler)):
        what = handler.__name__ if isinstance(handler, type) else type(handler).__name__
        yield (
            f'the handler of the route "{pattern}", {what}, is no class that extends '
            "tornado.web.RequestHandler; extend it"
        )
        return
    values = {} if not arguments or arguments[0] is None else arguments[0]
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        yield f'the arguments of the route "{pattern}" are no dict; write one such as {{"context": context}}'
        return
    try:
        inspect.signature(handler.initialize).bind(None, **values)
    except (TypeError, ValueError) as error:
        yield (
            f'the initialize of {handler.__name__} does not take the arguments of the route "{pattern}" '
            f"({error}); write the same names in both"
        )


def _form_fault(pattern: str) -> str:
    """Return a sentence if the pattern can never match, as paths begin with a slash."""
    if pattern == "" or pattern.lstrip("^")[:1].isalnum():
        return f'the pattern "{pattern}" matches no path, as a path begins with a slash; write "/{pattern}"'
    return ""


def _bare(pattern: str) -> str:
    """Return a pattern without the marks of its beginning and its end, which Tornado adds."""
    return pattern.removeprefix("^").removesuffix("$")


def _literal(pattern: str) -> str | None:
    """Return the only path that a pattern matches; None if it matches several.

    A dot stands for itself here, as in most patterns that have one.
    """
    path = re.sub(r"\\(\W)", r"\1", _bare(pattern))
    without_escapes = re.sub(r"\\\W", "", _bare(pattern))
    return None if REGEX_CHARACTERS.intersection(without_escapes) else path


def _sample(pattern: str, regex: re.Pattern[str]) -> str | None:
    """Return a path that a pattern of the server matches; None if none is found."""
    path = re.sub(r"\([^)]*\)", "1", _bare(pattern)).replace("/?", "").replace("\\", "")
    return path if regex.match(path) else None
