"""Entry point of ``python -m tornado_chat``: the same as the command ``tornado-chat``."""

from tornado_chat.cli import main

main()
