"""The entry point: ``tornado-chat``, and ``python -m tornado_chat``."""

import sys

from tornado_chat.server import reload_signal


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        reload_signal.hold()  # before the other imports, which take most of the time until it can reload
    from tornado_chat.cli import main as run_command

    run_command()


if __name__ == "__main__":
    main()
