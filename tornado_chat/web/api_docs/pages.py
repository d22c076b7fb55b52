"""``/docs/http`` and ``/docs/sockets``: the OpenAPI and the AsyncAPI document as HTML pages."""

from typing import Any

from tornado.template import DictLoader

from tornado_chat.web.api_docs import reading
from tornado_chat.web.api_docs.handlers import ApiDocuments
from tornado_chat.web.api_docs.words import words
from tornado_chat.web.http.accept_language import choose_language
from tornado_chat.web.pages import CACHE_REVALIDATE, CONTENT_TYPES, PageBase, Site

FOLDER = "docs/"


class DocsPages:
    """The documentation pages of one server. Each is rendered once per language, on the first request."""

    def __init__(self, site: Site, descriptions: ApiDocuments) -> None:
        self.site = site
        self._api_documents = descriptions
        self._rendered: dict[tuple[str, str], bytes] = {}
        templates = {
            name.removeprefix(FOLDER): content.decode()
            for name, content in site.assets.files.items()
            if name.startswith(FOLDER) and name.endswith(".html")
        }
        self._loader = DictLoader(templates, whitespace="single")

    def reconfigure(self) -> None:
        """Drop the rendered pages after the documents have changed."""
        self._rendered.clear()

    def page(self, name: str, language: str) -> bytes:
        """Return a page as HTML.

        :arg name: ``http`` or ``sockets``.
        :arg language: ``zh-CN`` or ``en``.
        """
        if (name, language) not in self._rendered:
            document = self._api_documents.http if name == "http" else self._api_documents.sockets
            self._rendered[name, language] = self._loader.load(f"{name}.html").generate(
                page=name,
                document=document,
                schemas=document["components"]["schemas"],
                language=language,
                reading=reading,
                root=ROOT,
                static=ROOT + self.site.assets.address,
                words=words(language),
            )
        return self._rendered[name, language]


ROOT = "../"
"""The way from the pages, ``/docs/http`` and ``/docs/sockets``, to the root of the server."""


class DocsHandler(PageBase):
    """Serves one of the pages, in the language that the browser accepts."""

    def initialize(self, docs: DocsPages, page: str = "http") -> None:  # type: ignore[override]
        super().initialize(docs.site)
        self.docs = docs
        self.page = page

    def get(self, *path: str) -> None:
        self.set_header("Content-Type", CONTENT_TYPES[".html"])
        self.set_header("Cache-Control", CACHE_REVALIDATE)
        self.set_header("Vary", "Accept-Language")
        language = choose_language(self.request.headers.get("Accept-Language", ""))
        self.finish(self.docs.page(self.page, language))


class DocsIndexHandler(DocsHandler):
    """Redirects ``/docs`` to the first page."""

    def get(self, *path: str) -> None:
        self.redirect(f"{self.root}docs/http")


ROUTES: list[tuple[str, type[DocsHandler], dict[str, Any]]] = [
    (r"/docs/?", DocsIndexHandler, {}),
    (r"/docs/http", DocsHandler, {"page": "http"}),
    (r"/docs/sockets", DocsHandler, {"page": "sockets"}),
]
