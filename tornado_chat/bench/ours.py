"""``tornado-chat serve``, which tells its address whatever it logs."""

import sys

from tornado_chat import config
from tornado_chat.process import run

options = sys.argv[2::2]
raise SystemExit(
    run(
        config.load(None, options, {"HOME": "/"}),
        lambda url: sys.stderr.write(f"url={url}\n") and sys.stderr.flush(),
    )
)
