"""The support chat for pages of others: ``/widget.js``, which they load, and ``/widget``, which it frames.

``[web] origins`` says whose pages these may be. Browsers enforce it by ``frame-ancestors``; that the
script knows it too only spares visitors a button that opens nothing.
"""

import re

from tornado_chat.services.container import Services
from tornado_chat.web.http.origins import AllowedOrigins
from tornado_chat.web.pages import CACHE_REVALIDATE, CONTENT_TYPES, Assets, PageBase, PageHandler, Route, Site

# What else the configuration takes for an origin cannot be in a policy, or ends it.
_SOURCE = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:\d{1,5})?")

_SPACED = re.compile(r" ?([{};:,]) ")
_COMMENT = re.compile(r"/\*.*?\*/|(^|(?<=\s))// [^\n]*", re.DOTALL | re.MULTILINE)


class WidgetBase(PageBase):
    """What is loaded by pages of other origins."""

    def initialize(  # type: ignore[override]  # Tornado calls it with what the route has
        self, site: Site, services: Services, origins: AllowedOrigins
    ) -> None:
        super().initialize(site)
        self.guests = services.guests
        self.embedding_origins = (
            ("*",) if origins.allows_any else tuple(filter(_SOURCE.fullmatch, origins.listed))
        )

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")


class ScriptHandler(WidgetBase):
    """``/widget.js``. Its address is in the pages of others, so it stays the same for ever."""

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPES[".js"])
        self.set_header("Cache-Control", CACHE_REVALIDATE)
        guests = "on" if self.guests.is_enabled else "off"
        hosts = " ".join(self.embedding_origins)
        self.finish_zipped(
            self.assets.once(("widget.js", guests, hosts), lambda: _loader_script(self.assets, guests, hosts))
        )

    head = get


class FrameHandler(WidgetBase):
    """``/widget``. Like all pages it holds nothing of anybody."""

    async def get(self) -> None:
        self.allow_frames(self.embedding_origins)
        # Pages that are isolated (to have exact timers and shared memory) take only frames that are, too.
        self.set_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.set_header("Content-Type", CONTENT_TYPES[".html"])
        self.set_header("Cache-Control", CACHE_REVALIDATE)
        self.finish_zipped(self.assets.page("widget", await self.site.meta_tags(self.embedding_origins)))

    head = get


def _loader_script(assets: Assets, guests: str, hosts: str) -> str:
    """The launcher with its style, and the loader, in a function that keeps their names from the page."""
    style = _SPACED.sub(r"\1", _minify(assets.render("widget/launcher.css"), " "))
    launcher = assets.render("widget/launcher.js", style=style)
    loader = assets.render("widget/loader.js", guests=guests, origins=hosts)
    return "(() => {\n" + _minify(launcher + loader, "\n") + "\n})();\n"


def _minify(text: str, separator: str) -> str:
    """A source without what is for its readers only: every visitor of a host loads the rest.

    No string in these files looks like a comment.
    """
    lines = map(str.strip, _COMMENT.sub("", text).splitlines())
    return separator.join(filter(None, lines))


class DemoHandler(PageHandler):
    """A page of a made-up host, with the widget in it."""

    def _content_security_policy(self, ancestors: str) -> str:
        return f"{super()._content_security_policy(ancestors)}; frame-src 'self'"


ROUTES: list[Route] = [
    (r"/widget\.js", ScriptHandler, {}),
    (r"/widget", FrameHandler, {}),
]

DEMO_ROUTES: list[Route] = [(r"/demo", DemoHandler, {"page": "demo", "framed": False})]
"""Pages of the demo only."""
