"""The errors of a plugin's code while it is loaded, as sentences with the file, the line and the remedy."""

import os
import sys
import traceback
from asyncio import CancelledError
from pathlib import Path

CODE_ERRORS = (Exception, SystemExit, CancelledError)
"""The exceptions of a plugin's code that are its failure; ``KeyboardInterrupt`` is the operator's."""

DROPPED_PACKAGE = "tornado_chat_dropped"
"""The package to which the modules in the folders of ``[plugins] paths`` belong."""

SERVER_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"

READ_ADVICE = "give the user of the server the right to read it"


def describe_error(error: BaseException, own: Path | None = None) -> str:
    """Return the text of an error with its file and line.

    :arg own: the plugin's file or folder: of the calls that led to the error, the last one in it is named.
    """
    text = " ".join(traceback.format_exception_only(error)[-1].split())
    place = _place(error, own)
    return f"{text} ({place})" if place else text


def describe_import_error(error: BaseException, own: Path | None, package: str | None = None) -> str:
    """Return a sentence for an error of importing a plugin.

    :arg own: the plugin's file or folder; None for an installed or bundled plugin.
    :arg package: the package to install for a missing module; None: guessed from the module.
    """
    if isinstance(error, ModuleNotFoundError) and error.name:
        place = _place(error, own)
        return _describe_missing_module(error.name, f" ({place})" if place else "", own, package)
    if isinstance(error, OSError) and own is not None and str(error.filename).startswith(str(own)):
        return f"{error.filename} cannot be read: {error.strerror}; {READ_ADVICE}"
    if isinstance(error, SystemExit):
        return (
            f"this plugin ends the process when it is imported; remove the exit: {describe_error(error, own)}"
        )
    return f"this plugin cannot be imported: {describe_error(error, own)}"


def _describe_missing_module(name: str, place: str, own: Path | None, package: str | None) -> str:
    if own is not None:
        top = name.partition(".")[0]
        if name.startswith(f"{DROPPED_PACKAGE}.") and own.is_dir():
            words = name.split(".")[2:]
            return f"{own.joinpath(*words)}.py is imported and does not exist{place}; add it"
        has_neighbour = (own if own.is_dir() else own.parent).joinpath(f"{top}.py").exists()
        if own.is_dir() and has_neighbour:
            return f"the module {top} is a part of this plugin{place}; write `from . import {top}`"
        if top == DROPPED_PACKAGE or has_neighbour:
            return (
                f"this plugin is one file, and cannot import another file of its folder{place}; put both "
                f"into a folder {own.with_suffix('')}, this one as __init__.py, and import the other one "
                "relatively"
            )
    return (
        f'this plugin needs the module "{name}"{place}; install it beside the server: '
        f"{sys.executable} -m pip install {package or name.partition('.')[0]}"
    )


def _place(error: BaseException, own: Path | None) -> str:
    """Return the file and the line of an error; empty if there are none."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}" if error.filename else ""
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen ")
    ]
    of_plugin = [each for each in frames if own is not None and Path(each.filename).is_relative_to(own)]
    # An error that the plugin API raises is about the plugin's line that uses it.
    outside = [each for each in frames if not each.filename.startswith(SERVER_PACKAGE)]
    for each in reversed(of_plugin or outside or frames):
        return f"{each.filename}, line {each.lineno}"
    return ""
