"""The addresses of the server's pages, for the links that plugins make."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from tornado_chat import config

PAGES = frozenset({"room", "desk", "console", "supervise", "admin", "signin"})


def page_url(web: config.Web, page: str, query: Mapping[str, object]) -> str:
    """Return the address of a page or a path; without a host if ``[web] public_url`` is empty.

    :arg page: one of ``PAGES``, or a path that begins with a slash.
    :arg query: the parameters; those that are None are left out.
    :raises ValueError: there is no such page, or the path is none.
    """
    path = f"/{page}" if page in PAGES else page
    # A browser takes what follows two slashes, or a slash and a backslash, for a host.
    if not path.startswith("/") or path.startswith(("//", "/\\")):
        raise ValueError(
            f"{page} is no page ({', '.join(sorted(PAGES))}) and no path that begins with a slash"
        )
    parameters = urlencode({key: value for key, value in query.items() if value is not None})
    address = f"{web.public_url.rstrip('/')}{web.base_path}{quote(path, safe='/%:@!$&()*+,;=~-._')}"
    return f"{address}?{parameters}" if parameters else address
