"""The support chat for pages of other sites: the script ``/widget.js``, and its frame ``/widget``.

``[web] origins`` lists the origins of these pages. Browsers enforce the list by ``frame-ancestors``. The
script contains the list, too, so that it shows no button on a page where the frame cannot open.
"""

import re

from tornado_chat.services.container import Services
from tornado_chat.web.http.origins import AllowedOrigins
from tornado_chat.web.pages import CACHE_REVALIDATE, CONTENT_TYPES, Assets, PageBase, PageHandler, Route, Site

# The configuration accepts further forms of origins; these are invalid in a policy, or would end it.
_POLICY_SOURCE = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:\d{1,5})?")

_CSS_SPACES = re.compile(r" ?([{};:,]) ")
_COMMENT = re.compile(r"/\*.*?\*/|(^|(?<=\s))// [^\n]*", re.DOTALL | re.MULTILINE)


class WidgetBase(PageBase):
    """Base class of the resources that pages of other origins load."""

    def initialize(  # type: ignore[override]  # Tornado calls it with the arguments of the route
        self, site: Site, services: Services, origins: AllowedOrigins
    ) -> None:
        super().initialize(site)
        self.guests = services.guests
        self.embedding_origins = (
            ("*",) if origins.allows_any else tuple(filter(_POLICY_SOURCE.fullmatch, origins.listed))
        )

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")


class ScriptHandler(WidgetBase):
    """Serves ``/widget.js``. Pages of other sites contain this URL, so it must never change."""

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPES[".js"])
        self.set_header("Cache-Control", CACHE_REVALIDATE)
        guests = "on" if self.guests.is_enabled else "off"
        hosts = " ".join(self.embedding_origins)
        self.finish_gzipped(
            self.assets.cached(
                ("widget.js", guests, hosts), lambda: _loader_script(self.assets, guests, hosts)
            )
        )

    head = get


class FrameHandler(WidgetBase):
    """Serves ``/widget``. Like all pages, it contains no personal data."""

    async def get(self) -> None:
        self.allow_frames(self.embedding_origins)
        # Cross-origin isolated pages (with exact timers and shared memory) load only isolated frames.
        self.set_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.set_header("Content-Type", CONTENT_TYPES[".html"])
        self.set_header("Cache-Control", CACHE_REVALIDATE)
        self.finish_gzipped(
            self.assets.page("widget", self.root, await self.site.meta_tags(self.embedding_origins))
        )

    head = get


def _loader_script(assets: Assets, guests: str, hosts: str) -> str:
    """Return launcher (with its style) and loader, in a function that hides their names from the page."""
    style = _CSS_SPACES.sub(r"\1", _minify(assets.render("widget/launcher.css", ""), " "))
    launcher = assets.render("widget/launcher.js", "", style=style)
    loader = assets.render("widget/loader.js", "", guests=guests, origins=hosts)
    return "(() => {\n" + _minify(launcher + loader, "\n") + "\n})();\n"


def _minify(text: str, separator: str) -> str:
    """Return a source without comments, indentation and empty lines: every visitor of a host loads it.

    No string in these files looks like a comment.
    """
    lines = map(str.strip, _COMMENT.sub("", text).splitlines())
    return separator.join(filter(None, lines))


class DemoHandler(PageHandler):
    """Serves the page of an example host that embeds the widget."""

    def _content_security_policy(self, ancestors: str) -> str:
        return f"{super()._content_security_policy(ancestors)}; frame-src 'self'"


ROUTES: list[Route] = [
    (r"/widget\.js", ScriptHandler, {}),
    (r"/widget", FrameHandler, {}),
]

DEMO_ROUTES: list[Route] = [(r"/demo", DemoHandler, {"page": "demo", "framed": False})]
"""The routes that only the demo server has."""
