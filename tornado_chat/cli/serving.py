"""The commands ``serve``, ``demo`` and ``talk``."""

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click

from tornado_chat.cli.options import ConfigArguments, Misconfigured, with_config

TOKEN_VARIABLE = "TORNADO_CHAT_TOKEN"  # noqa: S105 - the name of a variable


@click.command()
@with_config
def serve(config_arguments: ConfigArguments) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    from tornado_chat.server import reload_signal

    reload_signal.hold()  # for programs that do not come from ``tornado_chat.__main__``
    from tornado_chat.config.sections import ConfigError
    from tornado_chat.observability import logs

    try:
        config = config_arguments.read()
    except ConfigError as error:
        from tornado_chat.server.preflight import find_problems

        raise Misconfigured(find_problems(config_arguments.read)) from error
    from tornado_chat.server.systemd import PROCESS_VARIABLE

    process_number = os.environ.get(PROCESS_VARIABLE)
    logs.configure(config.logging, process=int(process_number or 0))
    if process_number is None:  # else the parent process has logged them
        config.log_warnings()
    if process_number is None and config.server.process_count > 1:
        from tornado_chat.server import workers

        raise SystemExit(workers.run(config, config_arguments.read))
    from tornado_chat.server.main import run

    raise SystemExit(run(config, read_config=config_arguments.read))


@click.command()
@click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Store the demo's data in this directory, and reuse them in the next demo.",
)
@with_config
def demo(config_arguments: ConfigArguments, state_dir: Path | None) -> None:
    """Run a temporary server with sample people.

    The output shows how to take part as one of them: in a browser, in a terminal, or with any WebSocket
    client. The demo has its own database and secret and does not use the configured ones. Its data are
    deleted when it ends, unless --state-dir is given.
    """
    config = config_arguments.load()
    from tornado_chat.demo.server import DemoHost, demo_config
    from tornado_chat.observability import logs
    from tornado_chat.server.main import run
    from tornado_chat.web.widget import DEMO_ROUTES

    is_quiet = not config_arguments.sets("logging.level")  # so that the guide stays on the screen
    logs.configure(replace(config.logging, level="warning") if is_quiet else config.logging)
    with ExitStack() as stack:
        if state_dir is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tornado-chat-demo-")))
        else:
            directory = state_dir
        try:
            server_config = demo_config(config, directory, any_port=not config_arguments.sets("server.port"))
            host = DemoHost(server_config, config.state_dir, _own_command(), click.echo)
        except OSError as error:
            raise click.ClickException(f"{directory} cannot be used: {error.strerror}") from error
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        stack.callback(host.remove_pointer)
        exit_code = run(server_config, host.on_listening, more_pages=[*host.home.routes, *DEMO_ROUTES])
        raise SystemExit(exit_code or host.failed)


def _own_command() -> str:
    """Return the command line that starts this program in another terminal."""
    from tornado_chat.demo.people import shorten_path

    here = Path(sys.argv[0])
    if here.name == "__main__.py":
        return f"{sys.executable} -m tornado_chat"
    on_path = shutil.which(here.name)
    if on_path and os.path.samefile(on_path, here):
        return here.name
    return shorten_path(here)


@click.command()
@click.argument("person", required=False)
@click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Use the demo that was started with this --state-dir.",
)
@click.option("--url", metavar="WS_URL", help="Use this server instead: ws://HOST/chat?sessionId=2&type=0")
@with_config
def talk(
    config_arguments: ConfigArguments, person: str | None, state_dir: Path | None, url: str | None
) -> None:
    """Chat in this terminal as one person of the demo.

    PERSON is one of visitor, consultant, observer, supervisor, supervision (the consultant in the
    conversation with the supervisor), notifications (of the consultant), customer and waiter.

    With --url instead of PERSON, the command connects to any server, with the token in $TORNADO_CHAT_TOKEN.
    """
    if person is not None and url is None:
        raise SystemExit(_talk_in_demo(person, state_dir, config_arguments))
    if url is not None and person is None:
        raise SystemExit(_talk_to(url))
    raise click.UsageError("name a person, as in `tornado-chat talk visitor`, or use --url")


def _talk_in_demo(person: str, state_dir: Path | None, config_arguments: ConfigArguments) -> int:
    from tornado_chat.demo.people import PEOPLE
    from tornado_chat.demo.server import DemoNotRunning, find_current_demo, find_demo
    from tornado_chat.terminal import run_terminal

    if person not in PEOPLE:
        raise click.UsageError(f'"{person}" is not one of {", ".join(PEOPLE)}')
    try:
        state = find_demo(state_dir) if state_dir else find_current_demo(config_arguments.load().state_dir)
    except DemoNotRunning as error:
        raise click.ClickException(str(error)) from error
    endpoint = state.people[person]
    return run_terminal(endpoint.url, endpoint.token, endpoint.dialect, endpoint.name)


def _talk_to(url: str) -> int:
    from tornado_chat.demo.people import ENDPOINTS
    from tornado_chat.terminal import run_terminal

    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.netloc:
        raise click.UsageError("--url must begin with ws:// or wss:// and a host")
    if "token" in parse_qs(parts.query):
        raise click.UsageError(
            "remove the token from --url, where all users of this machine can see it; put it in "
            f"${TOKEN_VARIABLE}"
        )
    # A proxy may add a prefix to the path.
    dialect = next((dialect for path, dialect in ENDPOINTS.items() if parts.path.endswith(path)), None)
    if dialect is None:
        raise click.UsageError(f"--url must have one of the paths {', '.join(ENDPOINTS)}")
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise click.UsageError(f"put the token in ${TOKEN_VARIABLE}; `tornado-chat token` makes one")
    return run_terminal(url, token, dialect, "you")
