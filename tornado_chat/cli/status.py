"""``status``."""

import os
import shutil
import sys
import time
from itertools import islice

import click

from tornado_chat.cli.options import ConfigArguments, with_config

REFRESH_SECONDS = 2.0  # seconds
HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
OTHER_SCREEN, FIRST_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@click.command()
@click.option("--watch", is_flag=True, help="Show it anew every 2 seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print what the server says, as JSON on one line.")
@click.option(
    "--url", metavar="URL", help="Ask here instead of where the configuration says: http://HOST:PORT"
)
@with_config
def status(config_arguments: ConfigArguments, watch: bool, as_json: bool, url: str | None) -> None:
    """Show how the running server is, and who is there.

    Exit code 1: it does not answer, or it says that something keeps it from serving; what, is printed.

    A server elsewhere wants the token of an admin, which is taken from $TORNADO_CHAT_TOKEN.
    """
    if url is not None and not url.startswith(("http://", "https://")):
        raise click.UsageError("--url has to begin with http:// or https://")
    config = config_arguments.load()
    from tornado_chat.cli.status_client import StatusUnavailable, fetch_status
    from tornado_chat.cli.status_text import lines

    colour = False if os.environ.get("NO_COLOR") else None

    def once() -> tuple[bool, list[str]]:
        place, body, found = fetch_status(config, url)
        return not found.problems, [body.decode()] if as_json else list(lines(found, str(place)))

    if not watch:
        try:
            well, shown = once()
        except StatusUnavailable as error:
            click.echo(click.style(str(error), "red"), color=colour, err=True)
            raise SystemExit(1) from error
        for line in shown:
            click.echo(line, color=colour)
        raise SystemExit(0 if well else 1)
    screen = _Screen(sys.stdout.isatty() and not as_json and os.environ.get("TERM") != "dumb", colour)
    try:
        with screen:
            while True:
                try:
                    screen.show(once()[1])
                except StatusUnavailable as error:  # it may come back
                    screen.show([click.style(str(error), "red")])
                time.sleep(REFRESH_SECONDS)
    except KeyboardInterrupt:
        return


class _Screen:
    """Where the status is shown again and again: in place on a terminal, else one after the other."""

    def __init__(self, full: bool, colour: bool | None) -> None:
        self._full = full
        self._colour = colour

    def __enter__(self) -> None:
        if self._full:
            self._write(OTHER_SCREEN)

    def __exit__(self, *error: object) -> None:
        if self._full:
            self._write(FIRST_SCREEN)

    def show(self, lines: list[str]) -> None:
        if not self._full:
            for line in lines:
                click.echo(line, color=self._colour)
            sys.stdout.flush()
            return
        # Written over what is there, not wiped first: that would flicker.
        size = shutil.get_terminal_size()
        shown = [_cut(line, size.columns) for line in islice(lines, size.lines - 1)]
        plain = [click.unstyle(line) if self._colour is False else line for line in shown]
        self._write(HOME + "".join(f"{line}{REST_OF_LINE}\r\n" for line in plain) + REST_OF_SCREEN)

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _cut(line: str, columns: int) -> str:
    """A line that would wrap loses its end, and its colours."""
    from tornado_chat.cli.status_text import width_of

    plain = click.unstyle(line)
    if width_of(plain) <= columns:
        return line
    while width_of(plain) >= columns:
        plain = plain[:-1]
    return plain + "…"
