"""The output of all commands in an encoding that lacks some characters, such as Latin-1.

``click.echo`` writes UTF-8 where the encoding is ASCII (``LANG=C``), but fails with others.
"""

import io
import sys


def replace_unprintable() -> None:
    """Let standard output and error write any text, whatever the locale's encoding.

    A character that the encoding lacks becomes ``?`` on a terminal, where columns have to stay aligned, and
    an escape (``\\u9648``) elsewhere, so that a program that reads the output loses nothing.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            can_write_all = stream.encoding.lower().replace("-", "") == "utf8"
            if not can_write_all or stream.errors == "strict":
                stream.reconfigure(errors="replace" if stream.isatty() else "backslashreplace")
