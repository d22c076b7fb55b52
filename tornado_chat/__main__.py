"""``python -m tornado_chat`` is ``tornado-chat``."""

from tornado_chat.cli import main

main()
