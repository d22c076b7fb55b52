"""The command ``status``."""

import os
import shutil
import sys
import time
from itertools import islice

import click

from tornado_chat.cli.options import ConfigArguments, with_config

REFRESH_SECONDS = 2.0
HOME, CLEAR_LINE, CLEAR_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
ALTERNATE_SCREEN, MAIN_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@click.command()
@click.option("--watch", is_flag=True, help="Refresh every 2 seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON on one line.")
@click.option(
    "--url", metavar="URL", help="The server's address, instead of the configured one: http://HOST:PORT"
)
@with_config
def status(config_arguments: ConfigArguments, watch: bool, as_json: bool, url: str | None) -> None:
    """Show the state of the running server, its connections and conversations.

    The exit code is 1 if the server does not answer, or if it reports a problem; the reason is printed.

    A server on another machine requires an admin's token, in $TORNADO_CHAT_TOKEN.
    """
    if url is not None and not url.startswith(("http://", "https://")):
        raise click.UsageError("--url must begin with http:// or https://")
    config = config_arguments.load()
    from tornado_chat.cli.status_client import StatusUnavailable, fetch_status
    from tornado_chat.cli.status_text import lines

    colour = False if os.environ.get("NO_COLOR") else None

    def fetch_lines() -> tuple[bool, list[str]]:
        """Return whether the server reports no problem, and the lines to print."""
        address, body, fetched = fetch_status(config, url)
        return not fetched.problems, [body.decode()] if as_json else list(lines(fetched, str(address)))

    if not watch:
        try:
            is_healthy, shown = fetch_lines()
        except StatusUnavailable as error:
            click.echo(click.style(str(error), "red"), color=colour, err=True)
            raise SystemExit(1) from error
        for line in shown:
            click.echo(line, color=colour)
        raise SystemExit(0 if is_healthy else 1)
    screen = _Screen(sys.stdout.isatty() and not as_json and os.environ.get("TERM") != "dumb", colour)
    try:
        with screen:
            while True:
                try:
                    screen.show(fetch_lines()[1])
                except StatusUnavailable as error:  # the server may return
                    screen.show([click.style(str(error), "red")])
                time.sleep(REFRESH_SECONDS)
    except KeyboardInterrupt:
        return


class _Screen:
    """The output of ``--watch``: replaced in place on a terminal, else each status below the last one.

    :arg in_place: use the alternate screen of the terminal.
    """

    def __init__(self, in_place: bool, colour: bool | None) -> None:
        self._in_place = in_place
        self._colour = colour

    def __enter__(self) -> None:
        if self._in_place:
            self._write(ALTERNATE_SCREEN)

    def __exit__(self, *error: object) -> None:
        if self._in_place:
            self._write(MAIN_SCREEN)

    def show(self, lines: list[str]) -> None:
        if not self._in_place:
            for line in lines:
                click.echo(line, color=self._colour)
            sys.stdout.flush()
            return
        # Overwritten in place: clearing the screen first would make it flicker.
        size = shutil.get_terminal_size()
        shown = [_cut(line, size.columns) for line in islice(lines, size.lines - 1)]
        plain = [click.unstyle(line) if self._colour is False else line for line in shown]
        self._write(HOME + "".join(f"{line}{CLEAR_LINE}\r\n" for line in plain) + CLEAR_SCREEN)

    @staticmethod
    def _write(text: str) -> None:
        # Not sys.stdout.write, which fails if LANG=C lets Python take the terminal for an ASCII one.
        click.echo(text, nl=False, color=True)
        sys.stdout.flush()


def _cut(line: str, columns: int) -> str:
    """Shorten a line that would wrap; it loses its colours."""
    from tornado_chat.cli.formatting import width_of

    plain = click.unstyle(line)
    if width_of(plain) <= columns:
        return line
    while width_of(plain) >= columns:
        plain = plain[:-1]
    return plain + "…"
