"""Install pip into the virtual environment that runs this, when Python comes without ensurepip.

pip's own wheel can run and install itself. It is taken from the package index that pip would use:
``$PIP_INDEX_URL``, else the ``index-url`` of a pip.conf, else PyPI, in the JSON or the HTML form of
the simple repository API. Certificates are those of ``$PIP_CERT``, else the system's.
"""

import configparser
import hashlib
import html.parser
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

PYPI = "https://pypi.org/simple"
ACCEPTED = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
WHEEL = re.compile(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl")  # no release candidates


def main() -> None:
    certificates = ssl.create_default_context(cafile=setting("cert"))
    page = f"{(setting('index-url') or PYPI).rstrip('/')}/pip/"
    name, url, sha256 = newest(*fetch(page, certificates))
    wheel, _, _ = fetch(url, certificates)
    if sha256 and hashlib.sha256(wheel).hexdigest() != sha256:
        sys.exit(f"{url} has another SHA-256 than its index says: {sha256}")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, name)
        path.write_bytes(wheel)
        # Python runs what is in a zip file, and a wheel is one.
        command = [sys.executable, f"{path}/pip", "install", "--quiet", "--no-index", str(path)]
        sys.exit(subprocess.run(command, check=False).returncode)  # noqa: S603 - pip, of the index's hash


def setting(name: str) -> str | None:
    """pip's option ``name``, from its environment variable or one of its configuration files."""
    value = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
    config_home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    files = [
        os.environ.get("PIP_CONFIG_FILE", ""),
        f"{config_home}/pip/pip.conf",
        "~/.pip/pip.conf",
        "/etc/pip.conf",
    ]
    for file in files:
        parser = configparser.RawConfigParser()
        parser.read(os.path.expanduser(file), "utf-8")
        for section in ("install", "global"):
            value = value or parser.get(section, name, fallback=None)
    return value


def fetch(url: str, certificates: ssl.SSLContext) -> tuple[bytes, str, str]:
    """The content, its type, and the address that it came from in the end."""
    request = urllib.request.Request(url, headers={"Accept": ACCEPTED})  # noqa: S310 - the user's own index
    try:
        with urllib.request.urlopen(request, timeout=60, context=certificates) as answer:  # noqa: S310
            return answer.read(), answer.headers.get_content_type(), answer.geturl()
    except OSError as error:
        sys.exit(f"{url} cannot be fetched: {error}")


def newest(page: bytes, content_type: str, base: str) -> tuple[str, str, str | None]:
    """File name, URL and SHA-256 of pip's newest wheel on this page of the index."""
    if content_type.endswith("+json"):
        files = [
            (file["url"], file.get("hashes", {}).get("sha256"), file.get("requires-python"))
            for file in json.loads(page)["files"]
            if not file.get("yanked")
        ]
    else:
        links = Links()
        links.feed(page.decode())
        files = links.found
    wheels = []
    for link, sha256, requires in files:
        url, fragment = urllib.parse.urldefrag(urllib.parse.urljoin(base, link))
        name = urllib.parse.unquote(url.rpartition("/")[2])
        match = WHEEL.fullmatch(name)
        if match and runs_here(requires):
            version = tuple(map(int, match[1].split(".")))
            wheels.append(
                (version, name, url, sha256 or urllib.parse.parse_qs(fragment).get("sha256", [None])[0])
            )
    if not wheels:
        sys.exit(f"{base} lists no wheel of pip")
    return max(wheels)[1:]


def runs_here(requires: str | None) -> bool:
    """Whether ``>=3.9`` and the like is true of this Python."""
    match = re.search(r">=\s*(\d+)\.(\d+)", requires or "")
    return match is None or sys.version_info >= (int(match[1]), int(match[2]))


class Links(html.parser.HTMLParser):
    """The links of an HTML page, but for those that were yanked (PEP 503, PEP 592)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, None, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        link = attributes.get("href")
        if tag == "a" and link and "data-yanked" not in attributes:
            self.found.append((link, None, attributes.get("data-requires-python")))


if __name__ == "__main__":
    main()
