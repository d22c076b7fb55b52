"""The start page of the demo: a card for each made-up person, with a link to the person's page."""

from collections.abc import Sequence
from html import escape
from ipaddress import ip_address
from typing import NamedTuple

from tornado_chat.demo.people import DemoPage
from tornado_chat.web.http.proxy_headers import Networks
from tornado_chat.web.pages import CONTENT_TYPES, PageBase, Route, Site

ELSEWHERE = {
    "en": "The people of the demo are shown on the machine where the demo runs: their links sign in.",
    "zh-CN": "只有在运行演示的机器上才会显示演示人物，因为打开链接即可登录。",
}


class Section(NamedTuple):
    """The cards below one heading, which is in English and Chinese."""

    en: str
    zh: str
    pages: Sequence[DemoPage]


class DemoHome:
    """The content of the page.

    :arg networks: the addresses that see the links, which contain tokens: as ``[web] ops_networks``.
    :ivar sections: set when the demo's people have their tokens.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = Networks(networks)
        self.sections: Sequence[Section] = ()

    @property
    def routes(self) -> list[Route]:
        return [(r"/", DemoHomeHandler, {"home": self})]

    def cards(self, address: str | None) -> str:
        """Return the cards for a client of this address, as HTML."""
        if not address or ip_address(address) not in self._networks:
            return f"<p>{_both(ELSEWHERE['en'], ELSEWHERE['zh-CN'])}</p>"
        return "\n".join(map(_section, self.sections))


class DemoHomeHandler(PageBase):
    """``/`` in the demo."""

    def initialize(self, site: Site, home: DemoHome) -> None:  # type: ignore[override]
        super().initialize(site)
        self.home = home

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPES[".html"])
        self.set_header("Cache-Control", "no-store")  # it has tokens
        self.finish(
            self.assets.render("demo/home.html", self.root, cards=self.home.cards(self.request.remote_ip))
        )

    head = get


def _section(section: Section) -> str:
    cards = "\n".join(f"<li>{_card(page)}</li>" for page in section.pages)
    return f'<h2>{_both(section.en, section.zh)}</h2>\n<ul class="people">\n{cards}\n</ul>'


def _card(page: DemoPage) -> str:
    return (
        f'<a class="person" href="{escape(page.address)}" target="_blank" rel="noopener">'
        f"<strong>{escape(page.name)}</strong>"
        f'<span class="part">{_both(page.part_en, page.part_zh)}</span>'
        f'<span class="try">{_both(page.try_en, page.try_zh)}</span></a>'
    )


def _both(en: str, zh: str) -> str:
    return f'<span lang="en">{escape(en)}</span><span lang="zh-CN">{escape(zh)}</span>'
