"""The web pages (``/room``, ``/desk``, ``/supervise``, ``/signin``, ``/console``, ``/admin``).

The files in ``static`` are served unchanged, except that in a page ``{{static}}`` becomes the address of
that folder, relative to the page, and ``{{metas}}`` the ``<meta>`` elements with the data for the page's
scripts (``Site.meta_tags``). The files are read once, when the server starts: they are few, and so no request
ever names a file on the disk.

A page refers to ``static/HASH/…``, where ``HASH`` is a digest of the contents of all files. Modules import
each other by relative paths, so browsers may cache every file under such a path without limit, and a new
version of the server has new paths.
"""

import gzip
import hashlib
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from http import HTTPStatus
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from tornado.web import HTTPError

from tornado_chat import config
from tornado_chat.web.api.plain_handler import PlainHandler
from tornado_chat.web.http.origins import AllowedOrigins

CONTENT_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
}
"""The content type by suffix. Not from the machine's tables, which may have another type for modules."""

CACHE_IMMUTABLE = "public, max-age=31536000, immutable"
CACHE_REVALIDATE = "no-cache"  # the browser caches the file, and revalidates it for each use

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?")  # content security policies have no IPv6 addresses
_PATH = re.compile(r"/[a-z/-]*")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


class Assets:
    """The files of the pages, in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._read(resources.files("tornado_chat.web") / "static", "")
        digest = hashlib.sha256()
        for path in sorted(self.files):
            digest.update(f"{path}\0{len(self.files[path])}\0".encode() + self.files[path])
        self.version = digest.hexdigest()[:16]
        self.address = f"static/{self.version}"
        self._cached: dict[tuple[str, ...], str] = {}
        self._gzipped: dict[bytes, bytes] = {}

    def page(self, name: str, root: str, metas: str) -> str:
        """Return the page ``name`` with its placeholders replaced."""
        return self.render(f"{name}/index.html", root, metas=metas)

    def render(self, path: str, root: str, **more: str) -> str:
        """Return a file with its placeholders replaced.

        :arg root: the way from the page's address to the root of the server, as ``PageBase.root``.
        :arg more: the values of the placeholders other than ``root`` and ``static``.
        """
        values = {"root": root, "static": root + self.address, **more}
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.files[path].decode())

    def cached(self, key: tuple[str, ...], make: Callable[[], str]) -> str:
        """Return the result of ``make``, which is called once per ``key``.

        :arg key: must contain every value that the result depends on.
        """
        if key not in self._cached:
            self._cached[key] = make()
        return self._cached[key]

    def gzipped(self, content: bytes) -> bytes:
        """Return ``content`` compressed by gzip.

        The result is cached without limit: only for contents that are the same for all clients.
        """
        if content not in self._gzipped:
            self._gzipped[content] = gzip.compress(content, mtime=0)
        return self._gzipped[content]

    def _read(self, folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                self._read(entry, f"{prefix}{entry.name}/")
            elif _suffix(entry.name) in CONTENT_TYPES:
                self.files[prefix + entry.name] = entry.read_bytes()


class Site:
    """The files and settings that all pages share.

    :ivar organisation: as ``[web] organisation``.
    :arg origins: pages of the listed origins may embed the server's pages, and pass tokens to them.
    :arg has_accounts: returns True if the server has accounts to sign in with.
    :arg has_groups: returns True if the agents of the server are in several groups.
    """

    def __init__(
        self,
        auth: config.Auth,
        web: config.Web,
        origins: AllowedOrigins,
        has_accounts: Callable[[], Awaitable[bool]],
        has_groups: Callable[[], bool],
    ) -> None:
        self.assets = Assets()
        self._origins = origins
        self.has_accounts = has_accounts
        self._has_groups = has_groups
        self.reconfigure(auth, web)

    def reconfigure(self, auth: config.Auth, web: config.Web) -> None:
        """Apply other names to the pages that are served from now on."""
        self.organisation = web.organisation
        self._claims = {
            "id-claim": auth.id_claim,
            "role-claim": auth.role_claim,
            "name-claim": auth.name_claim,
        }

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins whose pages may embed the server's pages and pass tokens to them."""
        # The configuration also accepts origins of apps; these are invalid in a content security policy.
        return tuple(each for each in self._origins.listed if _ORIGIN.fullmatch(each))

    async def meta_tags(self, origins: tuple[str, ...] | None = None) -> str:
        """Return the ``<meta>`` elements with the data for the scripts of a page.

        They contain the names of the claims, the allowed origins and the paths of the pages (both separated
        by spaces), and ``on`` or ``off`` for ``accounts``, if the server has accounts, and ``groups``, if
        there are several groups of agents.

        :arg origins: replaces ``Site.origins``.
        """
        contents = {
            **self._claims,
            "origins": " ".join(self.origins if origins is None else origins),
            "pages": " ".join(
                path
                for path, handler, _ in ROUTES
                if issubclass(handler, PageHandler) and _PATH.fullmatch(path)
            ),
            "accounts": "on" if await self.has_accounts() else "off",
            "groups": "on" if self._has_groups() else "off",
        }
        return "\n    ".join(
            f'<meta name="{name}" content="{escape(content)}">' for name, content in contents.items()
        )


class PageBase(PlainHandler):
    """Base class of pages and static files, with the headers that isolate a page from other sites."""

    def initialize(self, site: Site) -> None:
        self.site = site
        self.assets = site.assets

    def set_default_headers(self) -> None:
        self.set_header("Content-Security-Policy", self._content_security_policy("'none'"))
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")  # for browsers without frame-ancestors
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    @property
    def root(self) -> str:
        """The way from this address to the root of the server, as ``../``.

        All addresses in pages are relative, as the server may be below a path of its host.
        """
        return "../" * (self.request.path.count("/") - 1) or "./"

    def allow_frames(self, origins: tuple[str, ...]) -> None:
        """Allow pages of these origins, and of the server's own origin, to embed this page in a frame."""
        self.set_header(
            "Content-Security-Policy", self._content_security_policy(" ".join(["'self'", *origins]))
        )
        self.clear_header("X-Frame-Options")  # this header cannot list origins

    def finish_gzipped(self, content: str | bytes) -> None:
        """Send ``content``, compressed if the client accepts gzip; it must be the same for all clients."""
        body = content.encode() if isinstance(content, str) else content
        self.set_header("Vary", "Accept-Encoding")
        if "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            body = self.assets.gzipped(body)
        self.finish(body)  # Tornado adds the ETag, and answers 304

    def _content_security_policy(self, ancestors: str) -> str:
        # In some browsers 'self' does not include WebSockets. The client sends the host, so it is written
        # into the header only if it has the form of a host.
        host = self.request.host if _HOST.fullmatch(self.request.host) else ""
        sockets = f" ws://{host} wss://{host}" if host else ""
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; "
            f"connect-src 'self'{sockets}; img-src 'self' data:; "
            f"form-action 'none'; base-uri 'none'; frame-ancestors {ancestors}"
        )


class PageHandler(PageBase):
    """Serves a page. It contains no personal data: its scripts load the data of the signed-in person.

    :arg page: the folder of the page in ``static``.
    :arg framed: whether pages of the origins in ``[web] origins`` may embed the page in a frame.
    """

    def initialize(self, site: Site, page: str = "room", framed: bool = True) -> None:
        super().initialize(site)
        self.page = page
        self.framed = framed

    async def get(self, *path: str) -> None:
        if self.framed and self.site.origins:
            self.allow_frames(self.site.origins)
        self.set_header("Content-Type", CONTENT_TYPES[".html"])
        self.set_header("Cache-Control", CACHE_REVALIDATE)
        self.finish_gzipped(self.assets.page(self.page, self.root, await self.site.meta_tags()))

    head = get


class StaticHandler(PageBase):
    """Serves the static files of the pages."""

    def get(self, *path: str) -> None:
        version, _, rest = path[0].partition("/")
        is_current = version == self.assets.version
        # A page that was loaded just before a restart requests paths of the previous version. It gets the
        # present files, as these are better than none, but must not cache them under that path.
        has_version = is_current or re.fullmatch(r"[0-9a-f]{16}", version) is not None
        name = rest if has_version else path[0]
        content = self.assets.files.get(name)
        if content is None or name.endswith(".html"):
            raise HTTPError(HTTPStatus.NOT_FOUND)
        self.set_header("Content-Type", CONTENT_TYPES[_suffix(name)])
        self.set_header("Cache-Control", CACHE_IMMUTABLE if is_current else CACHE_REVALIDATE)
        self.finish_gzipped(content)

    head = get


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1]


Route = tuple[str, type[PageBase], dict[str, Any]]

ROUTES: list[Route] = [
    (r"/room", PageHandler, {"page": "room"}),
    (r"/desk", PageHandler, {"page": "desk"}),
    (r"/supervise", PageHandler, {"page": "supervise"}),
    (r"/signin", PageHandler, {"page": "signin", "framed": False}),
    (r"/console", PageHandler, {"page": "console"}),
    (r"/admin", PageHandler, {"page": "admin"}),
    (r"/static/(.+)", StaticHandler, {}),
]
