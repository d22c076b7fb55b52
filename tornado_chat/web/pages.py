"""The web pages: ``/room``, ``/supervise``, ``/signin``, and what they are made of under ``/static/``.

The files lie in ``static`` as they are served, except that in a page ``{{static}}`` becomes the address of
that folder and ``{{metas}}`` what its scripts have to know, as ``<meta>`` elements (``Site.meta_tags``). They are
read once, when the server starts: there are few of them, and nothing of a request names a file of
the disk. A page refers to ``/static/HASH/…``, where ``HASH`` stands for the contents of all files;
modules import each other by relative paths, so everything below such an address may be cached for
good, and a new version of the server has new addresses.
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
}
"""What there is. Not left to the machine's tables, which may call modules something else."""

CACHE_IMMUTABLE = "public, max-age=31536000, immutable"
CACHE_REVALIDATE = "no-cache"  # the browser keeps it, and asks each time whether it is still the same

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?")  # policies know no IPv6 addresses
_PATH = re.compile(r"/[a-z/-]*")
_BLANK = re.compile(r"\{\{(\w+)\}\}")


class Assets:
    """The files of the pages, in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._read(resources.files("tornado_chat.web") / "static", "")
        digest = hashlib.sha256()
        for path in sorted(self.files):
            digest.update(f"{path}\0{len(self.files[path])}\0".encode() + self.files[path])
        self.version = digest.hexdigest()[:16]
        self.address = f"/static/{self.version}"
        self._made: dict[tuple[str, ...], str] = {}
        self._zipped: dict[bytes, bytes] = {}

    def page(self, name: str, metas: str) -> str:
        """The page ``name``, with its blanks filled in."""
        return self.render(f"{name}/index.html", metas=metas)

    def render(self, path: str, **more: str) -> str:
        """A file with its blanks filled in as they are, ``more`` are those that only it has."""
        blanks = {"static": self.address, **more}
        return _BLANK.sub(lambda blank: blanks[blank[1]], self.files[path].decode())

    def once(self, name: tuple[str, ...], make: Callable[[], str]) -> str:
        """What ``make`` answers, which is asked the first time only. ``name`` says all that it depends on."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def zipped(self, content: bytes) -> bytes:
        """``content`` by gzip. It is remembered: only for what is the same for everybody."""
        if content not in self._zipped:
            self._zipped[content] = gzip.compress(content, mtime=0)
        return self._zipped[content]

    def _read(self, folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                self._read(entry, f"{prefix}{entry.name}/")
            elif _suffix(entry.name) in CONTENT_TYPES:
                self.files[prefix + entry.name] = entry.read_bytes()


class Site:
    """What all pages have in common.

    :arg origins: those that are named may have pages in frames, and hand them tokens.
    :arg accounts: whether anybody can sign in at the server itself.
    """

    def __init__(
        self, auth: config.Auth, origins: AllowedOrigins, accounts: Callable[[], Awaitable[bool]]
    ) -> None:
        self.assets = Assets()
        self._origins = origins
        self._accounts = accounts
        self.reconfigure(auth)

    def reconfigure(self, auth: config.Auth) -> None:
        """Other names of claims, from the next page on."""
        self._claims = {
            "id-claim": auth.id_claim,
            "role-claim": auth.role_claim,
            "name-claim": auth.name_claim,
        }

    @property
    def origins(self) -> tuple[str, ...]:
        """Those whose pages may frame ours and hand tokens over."""
        # What else the configuration takes for an origin (of an app) cannot be in a policy.
        return tuple(each for each in self._origins.listed if _ORIGIN.fullmatch(each))

    async def meta_tags(self, origins: tuple[str, ...] | None = None) -> str:
        """What the scripts of pages have to know: ``<meta>`` elements.

        Names of claims, the allowed origins and the paths of the pages, both separated by spaces, and
        whether there are accounts, ``on`` or ``off``.

        :arg origins: others than those of all pages.
        """
        known = {
            **self._claims,
            "origins": " ".join(self.origins if origins is None else origins),
            "pages": " ".join(
                path
                for path, handler, _ in ROUTES
                if issubclass(handler, PageHandler) and _PATH.fullmatch(path)
            ),
            "accounts": "on" if await self._accounts() else "off",
        }
        return "\n    ".join(
            f'<meta name="{name}" content="{escape(content)}">' for name, content in known.items()
        )


class PageBase(PlainHandler):
    """The headers that keep a page to itself."""

    def initialize(self, site: Site) -> None:
        self.site = site
        self.assets = site.assets

    def set_default_headers(self) -> None:
        self.set_header("Content-Security-Policy", self._content_security_policy("'none'"))
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")  # frame-ancestors, for browsers that are older
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    def allow_frames(self, origins: tuple[str, ...]) -> None:
        """Let pages of these origins have this one in a frame, and those of its own."""
        self.set_header(
            "Content-Security-Policy", self._content_security_policy(" ".join(["'self'", *origins]))
        )
        self.clear_header("X-Frame-Options")  # it knows no list

    def finish_zipped(self, content: str | bytes) -> None:
        """Finish with something that is the same for everybody."""
        body = content.encode() if isinstance(content, str) else content
        self.set_header("Vary", "Accept-Encoding")
        if "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            body = self.assets.zipped(body)
        self.finish(body)  # Tornado adds the ETag, and answers 304

    def _content_security_policy(self, ancestors: str) -> str:
        # Not every browser counts WebSockets among 'self'. The host is the client's word; it goes
        # into the header only if it looks like one.
        host = self.request.host if _HOST.fullmatch(self.request.host) else ""
        sockets = f" ws://{host} wss://{host}" if host else ""
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; "
            f"connect-src 'self'{sockets}; img-src 'self' data:; "
            f"form-action 'none'; base-uri 'none'; frame-ancestors {ancestors}"
        )


class PageHandler(PageBase):
    """A page. It holds nothing of anybody: who is there, and for what, is found out by its scripts.

    :arg page: its folder in ``static``.
    :arg framed: whether it may be in a frame, of the origins of ``[web] origins``.
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
        self.finish_zipped(self.assets.page(self.page, await self.site.meta_tags()))

    head = get


class StaticHandler(PageBase):
    """What pages are made of."""

    def get(self, *path: str) -> None:
        version, _, rest = path[0].partition("/")
        current = version == self.assets.version
        # The address of another version: a page that was loaded just before a restart. What there is
        # now serves it better than nothing, but must not be kept under that address.
        hashed = current or re.fullmatch(r"[0-9a-f]{16}", version) is not None
        name = rest if hashed else path[0]
        content = self.assets.files.get(name)
        if content is None or name.endswith(".html"):
            raise HTTPError(HTTPStatus.NOT_FOUND)
        self.set_header("Content-Type", CONTENT_TYPES[_suffix(name)])
        self.set_header("Cache-Control", CACHE_IMMUTABLE if current else CACHE_REVALIDATE)
        self.finish_zipped(content)

    head = get


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1]


Route = tuple[str, type[PageBase], dict[str, Any]]

ROUTES: list[Route] = [
    (r"/room", PageHandler, {"page": "room"}),
    (r"/supervise", PageHandler, {"page": "supervise"}),
    (r"/signin", PageHandler, {"page": "signin", "framed": False}),
    (r"/console", PageHandler, {"page": "console"}),
    (r"/admin", PageHandler, {"page": "admin"}),
    (r"/static/(.+)", StaticHandler, {}),
]
