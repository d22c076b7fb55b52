"""``serve``, ``demo`` and ``talk``."""

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click

from tornado_chat.cli.options import ConfigArguments, Misconfigured, with_config

TOKEN_VARIABLE = "TORNADO_CHAT_TOKEN"  # noqa: S105 - the name of a variable


@click.command()
@with_config
def serve(config_arguments: ConfigArguments) -> None:
    """Run the server, until SIGTERM or Ctrl-C."""
    from tornado_chat.config.sections import ConfigError
    from tornado_chat.observability import logs

    try:
        config = config_arguments.read()
    except ConfigError as error:
        from tornado_chat.server.preflight import find_problems

        raise Misconfigured(find_problems(config_arguments.read)) from error
    from tornado_chat.server.systemd import PROCESS_VARIABLE

    process = os.environ.get(PROCESS_VARIABLE)
    logs.configure(config.logging, process=int(process or 0))
    if process is None:  # else the parent process has said it
        config.log_warnings()
    if process is None and config.server.process_count > 1:
        from tornado_chat.server import workers

        raise SystemExit(workers.run(config, config_arguments.read))
    from tornado_chat.server.main import run

    raise SystemExit(run(config, read_config=config_arguments.read))


@click.command()
@click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep what is said in this directory, for the next demo.",
)
@with_config
def demo(config_arguments: ConfigArguments, state_dir: Path | None) -> None:
    """Run a throw-away server with made-up people.

    It shows how to be one of them, in another terminal or with any WebSocket client. It has a database and a secret of its own, whatever is configured: nobody's data are touched.
    They are gone when it ends, unless --state-dir says where to keep them.
    """
    config = config_arguments.load()
    from tornado_chat.demo.server import DemoHost, demo_config
    from tornado_chat.observability import logs
    from tornado_chat.server.main import run
    from tornado_chat.web.widget import DEMO_ROUTES

    logs.configure(config.logging)
    with ExitStack() as stack:
        if state_dir is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tornado-chat-demo-")))
        else:
            directory = state_dir
        try:
            own = demo_config(config, directory, any_port=not config_arguments.sets("server.port"))
            host = DemoHost(own, config.state_dir, _own_command(), click.echo)
        except OSError as error:
            raise click.ClickException(f"{directory} cannot be used: {error.strerror}") from error
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        stack.callback(host.remove_pointer)
        code = run(own, host.on_listening, more_pages=DEMO_ROUTES)
        raise SystemExit(code or host.failed)


def _own_command() -> str:
    """How to call this program in another terminal."""
    here = Path(sys.argv[0])
    if here.name == "__main__.py":
        return f"{sys.executable} -m tornado_chat"
    on_path = shutil.which(here.name)
    return here.name if on_path and os.path.samefile(on_path, here) else str(here.absolute())


@click.command()
@click.argument("person", required=False)
@click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Find the demo that was started with this --state-dir.",
)
@click.option("--url", metavar="WS_URL", help="Talk here instead: ws://HOST/chat?sessionId=2&type=0")
@with_config
def talk(
    config_arguments: ConfigArguments, person: str | None, state_dir: Path | None, url: str | None
) -> None:
    """Talk in this terminal, as somebody in the demo.

    The people of the demo are visitor, consultant, observer, supervisor, supervision (the
    consultant's side of what the supervisor says), notifications (the consultant's), customer and
    waiter.

    With --url this talks to any server; the token is then taken from $TORNADO_CHAT_TOKEN.
    """
    if person is not None and url is None:
        raise SystemExit(_talk_in_demo(person, state_dir, config_arguments))
    if url is not None and person is None:
        raise SystemExit(_talk_to(url))
    raise click.UsageError("say who you are, as in `tornado-chat talk visitor`, or use --url")


def _talk_in_demo(person: str, state_dir: Path | None, config_arguments: ConfigArguments) -> int:
    from tornado_chat.demo.people import PEOPLE
    from tornado_chat.demo.server import DemoNotRunning, find_current_demo, find_demo
    from tornado_chat.terminal import run_terminal

    if person not in PEOPLE:
        raise click.UsageError(f'"{person}" is none of {", ".join(PEOPLE)}')
    try:
        notes = find_demo(state_dir) if state_dir else find_current_demo(config_arguments.load().state_dir)
    except DemoNotRunning as error:
        raise click.ClickException(str(error)) from error
    place = notes.people[person]
    return run_terminal(place.url, place.token, place.dialect, place.name)


def _talk_to(url: str) -> int:
    from tornado_chat.demo.people import ENDPOINTS
    from tornado_chat.terminal import run_terminal

    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.netloc:
        raise click.UsageError("--url has to begin with ws:// or wss:// and a host")
    if "token" in parse_qs(parts.query):
        raise click.UsageError(
            f"leave the token out of --url, where every user of this machine sees it; put it in ${TOKEN_VARIABLE}"
        )
    # A proxy may have put something before the path.
    dialect = next((spoken for end, spoken in ENDPOINTS.items() if parts.path.endswith(end)), None)
    if dialect is None:
        raise click.UsageError(f"--url has to have one of the paths {', '.join(ENDPOINTS)}")
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise click.UsageError(f"put the token in ${TOKEN_VARIABLE}; `tornado-chat token` makes one")
    return run_terminal(url, token, dialect, "you")
