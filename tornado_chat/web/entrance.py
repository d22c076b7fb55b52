"""What a browser finds at the addresses that are no page: the start page ``/``, the icon, and all others.

The start page leads to the sign-in if the server has accounts. Else it shows the name of the organisation
and nothing else: visitors come by links of the host, and a stranger learns nothing about the server.
"""

from html import escape
from http import HTTPStatus
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, Rule

from tornado_chat.web.pages import CACHE_REVALIDATE, CONTENT_TYPES, PageBase, Route, Site

PROGRAM_PATHS = ("/api/", "/v1/")
"""Addresses of programs: also a browser that opens an unknown one gets the answer for programs."""


class StartPageHandler(PageBase):
    """``/``, see the module."""

    async def get(self) -> None:
        self.set_header("Cache-Control", CACHE_REVALIDATE)
        if await self.site.has_accounts():
            self.redirect(f"{self.root}signin")
            return
        name = escape(self.site.organisation or self.request.host_name)
        self.set_header("Content-Type", CONTENT_TYPES[".html"])
        self.finish_gzipped(self.assets.render("entrance/index.html", self.root, organisation=name))

    head = get


class IconHandler(PageBase):
    """``/favicon.ico``, which browsers request for addresses without a page, such as a transcript."""

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPES[".ico"])
        self.set_header("Cache-Control", CACHE_REVALIDATE)
        self.finish(self.assets.files["entrance/favicon.ico"])

    head = get


class MissingPageHandler(PageBase):
    """Answers 404 to a browser, for every address without a route."""

    def get(self) -> None:
        self.set_status(HTTPStatus.NOT_FOUND)
        self.set_header("Content-Type", CONTENT_TYPES[".html"])
        self.set_header("Cache-Control", "no-store")
        self.finish_gzipped(self.assets.render("entrance/missing.html", self.root))

    head = get


class BrowserMatcher(Matcher):
    """Matches requests of a browser that opens a page."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        is_page = (
            request.method in ("GET", "HEAD")
            and "text/html" in request.headers.get("Accept", "").lower()
            and not request.path.startswith(PROGRAM_PATHS)
        )
        return {} if is_page else None


def missing_page_rule(site: Site) -> Rule:
    """Return the rule that shows ``MissingPageHandler``; it must be the last one."""
    return Rule(BrowserMatcher(), MissingPageHandler, {"site": site})


ROUTES: list[Route] = [(r"/", StartPageHandler, {}), (r"/favicon\.ico", IconHandler, {})]
