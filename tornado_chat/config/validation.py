"""Checks of option values beyond their types: values that depend on each other or on the machine.

Every check yields (section, option, message); the message names the mistake and a correct value.
``config/loader.py`` makes a ``Problem`` of each, with the file that sets the option.
"""

import ipaddress
import os
import re
import stat
import zoneinfo
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tornado_chat.config import mysql_url, redis_url
from tornado_chat.config.group_checks import check_groups

if TYPE_CHECKING:
    from tornado_chat.config.sections import Config, Storage

Findings = Iterator[tuple[str, str, str]]
"""Section, option and message of each mistake."""

SQLITE_PREFIX = "sqlite:///"
MAX_UNIX_PATH_BYTES = 107
"""The longest path of a unix socket, by the size of ``sun_path`` (unix(7))."""

MAX_PING_SECONDS = 3600
"""The longest interval of pings. Proxies and NAT devices drop a silent connection long before."""

RESERVED_CLAIMS = ("iss", "aud", "exp", "nbf", "iat", "jti")
"""Claims to which RFC 7519 gives another meaning. ``sub`` is not reserved, as it is an id."""

ORIGIN_PATTERN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/:?#@\s\[\]]+|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?"
)
BASE_PATH_PATTERN = re.compile(r"(/[\w.~-]+)+", re.ASCII)
REDIS_PREFIX_PATTERN = re.compile(r"[\w.:-]+", re.ASCII)
DEFAULT_PORTS = {"http": "80", "https": "443"}


def check_values(config: "Config", invalid_options: Collection[tuple[str, str]]) -> Findings:
    """Yield all mistakes in the values of ``config``.

    :arg invalid_options: (section, option) of the values that could not be converted. ``config`` holds the
        defaults of these options, and no mistakes are reported for them.
    """
    checks: list[Callable[[Config], Findings]] = [
        _check_server,
        _check_processes,
        _check_claims,
        _check_key_files,
        _check_storage,
        _check_cluster,
        _check_limits,
        _check_web,
        check_groups,
    ]
    if ("auth", "algorithms") not in invalid_options:
        checks.append(_check_algorithms)
    for each in checks:
        for section, option, message in each(config):
            if (section, option) not in invalid_options:
                yield section, option, message


def _check_server(config: "Config") -> Findings:
    server = config.server
    try:
        if server.timezone:
            zoneinfo.ZoneInfo(server.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(server.timezone, zoneinfo.available_timezones(), 1)
        advice = f'did you mean "{near[0]}"?' if near else "a name looks like Asia/Shanghai"
        yield "server", "timezone", f'"{server.timezone}" is no time zone; {advice}'
    yield from _networks("server", "trusted_proxies", server.trusted_proxies)
    if len(os.fsencode(server.unix_socket)) > MAX_UNIX_PATH_BYTES:
        message = f"a socket's path has at most {MAX_UNIX_PATH_BYTES} bytes; use a shorter path, as in /run"
        yield "server", "unix_socket", message


def _check_processes(config: "Config") -> Findings:
    """Several processes need a shared database and a shared bus."""
    processes = config.server.processes
    if processes == 1:
        return
    if not config.cluster.url:
        yield "server", "processes", f"{processes} needs Redis: set [cluster] url = redis://127.0.0.1:6379/0"
    if not mysql_url.is_mysql(config.storage.url):
        advice = "set [storage] url = mysql://user@host:3306/name"
        yield "server", "processes", f"{processes} needs a MySQL or MariaDB server, not SQLite: {advice}"


def _check_claims(config: "Config") -> Findings:
    auth = config.auth
    claims = {"id_claim": auth.id_claim, "role_claim": auth.role_claim, "name_claim": auth.name_claim}
    seen: dict[str, str] = {}
    for option, claim in claims.items():
        if not claim:
            yield "auth", option, "is empty; write the name of a claim"
        elif claim in RESERVED_CLAIMS:
            yield "auth", option, f'"{claim}" has a standard meaning (RFC 7519); use another claim'
        elif claim in seen:
            yield "auth", option, f'"{claim}" is the {seen[claim]} already; each needs a claim of its own'
        seen.setdefault(claim, option)


def _check_algorithms(config: "Config") -> Findings:
    """Each algorithm has a key of its kind, and each key an algorithm."""
    auth = config.auth
    shared = ", ".join(name for name in auth.algorithms if name.startswith("HS"))
    public = ", ".join(name for name in auth.algorithms if not name.startswith("HS"))
    if not auth.algorithms:
        yield (
            "auth",
            "algorithms",
            "is empty; use HS256 for a shared secret, or RS256 or others for a public key",
        )
        return
    if public and not (auth.public_key_file or auth.jwks_url):
        yield "auth", "algorithms", f"{public} needs a public key: set public_key_file or jwks_url"
    if public and shared and not auth.secret_file:
        # A generated secret is for installations without an issuer; a public key belongs to an issuer.
        message = f"{shared} beside {public} needs a secret_file; remove {shared} if no issuer uses it"
        yield "auth", "algorithms", message
    if not shared and auth.guests:
        yield (
            "auth",
            "guests",
            f"guests get tokens with a shared secret; add HS256 to {public}, or set it to off",
        )
    if not shared and auth.secret_file:
        yield "auth", "secret_file", f"{public} does not use it; add HS256 to algorithms, or leave it empty"
    for option in ("public_key_file", "jwks_url"):
        if not public and getattr(auth, option):
            yield "auth", option, f"{shared} does not use it; add the algorithm of the issuer to algorithms"


def _check_key_files(config: "Config") -> Findings:
    """Key files must be readable, and a public key must not be used as a shared secret or the reverse."""
    auth = config.auth
    if auth.public_key_file and auth.jwks_url:
        yield "auth", "jwks_url", "public_key_file is set too; leave one of the two empty"
    if auth.jwks_url and not _is_web_url(auth.jwks_url):
        advice = "it looks like https://example.org/.well-known/jwks.json"
        yield "auth", "jwks_url", f'"{auth.jwks_url}" is no web address; {advice}'
    for option in ("secret_file", "public_key_file"):
        name = getattr(auth, option)
        if not name:
            continue
        try:
            pem = b"-----BEGIN " in Path(name).read_bytes()
        except OSError as error:
            advice = "it has to be a file that this user may read"
            yield "auth", option, f'"{name}" cannot be read: {error.strerror}; {advice}'
            continue
        if pem and option == "secret_file":
            yield (
                "auth",
                option,
                f'"{name}" is a PEM file, no shared secret; name a public key in public_key_file',
            )
        if not pem and option == "public_key_file":
            yield (
                "auth",
                option,
                f'"{name}" is no PEM file; a PEM file begins with -----BEGIN PUBLIC KEY-----',
            )


def _is_web_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _check_storage(config: "Config") -> Findings:
    storage = config.storage
    url = storage.url
    if mysql_url.is_mysql(url):
        yield from _check_mysql(storage)
        return
    if not url.startswith(SQLITE_PREFIX) or url == SQLITE_PREFIX:
        # A URL with an @ may contain a password, so it is not shown.
        shown = f'"{url}"' if "@" not in url else "it"
        example = "sqlite:////var/lib/chat.sqlite3 or mysql://user@host:3306/name"
        yield "storage", "url", f"{shown} is no database that this version knows; it looks like {example}"
    elif url == SQLITE_PREFIX + ":memory:":
        yield "storage", "url", "each thread would have a database of its own; name a file"
    elif os.path.isdir(url.removeprefix(SQLITE_PREFIX)):
        yield "storage", "url", f"{url.removeprefix(SQLITE_PREFIX)} is a directory; name a file in it"
    elif missing := missing_folder_text(Path(url.removeprefix(SQLITE_PREFIX)), config.state_dir):
        yield "storage", "url", missing
    if storage.password_file:
        yield "storage", "password_file", "SQLite has no passwords; leave it empty, or set url to mysql://…"


def missing_folder_text(file: Path, state_dir: Path | None = None) -> str:
    """Return a sentence if the folder of a file does not exist and is not made; else an empty text.

    Only the state directory is made. Any other folder may be on a disk that is not mounted, and a new
    database in its place would be an empty service.
    """
    folder = file.absolute().parent
    if folder == state_dir or _may_exist(folder):
        return ""
    return f"the folder {folder} does not exist; mount its disk, or create it: install -d -m 700 {folder}"


def _may_exist(folder: Path) -> bool:
    """Return True for a folder, and for one that this user cannot look up: opening it has its own error."""
    try:
        return stat.S_ISDIR(folder.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _check_mysql(storage: "Storage") -> Findings:
    url = None
    try:
        url = mysql_url.parse(storage.url)
    except ValueError as error:
        yield "storage", "url", str(error)
    name = storage.password_file
    if not name:
        return
    if url is not None and url.option_file:
        yield "storage", "password_file", "the url has an option-file too; remove one of the two"
    yield from _check_password_file("storage", name)


def _check_password_file(section: str, name: str) -> Findings:
    try:
        password = Path(name).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        advice = "it has to be a file that this user may read"
        yield section, "password_file", f'"{name}" cannot be read: {error.strerror}; {advice}'
        return
    if not password or b"\n" in password:
        yield section, "password_file", f'"{name}" has to contain the password in a single line'


def _check_cluster(config: "Config") -> Findings:
    cluster = config.cluster
    if not REDIS_PREFIX_PATTERN.fullmatch(cluster.prefix):
        message = f'"{cluster.prefix}" is not made of letters, digits and _ . : - only; use a single word'
        yield "cluster", "prefix", message
    if not cluster.url:
        if cluster.password_file:
            yield "cluster", "password_file", "there is no Redis; leave it empty, or set url to redis://…"
        return
    url = None
    try:
        url = redis_url.parse(cluster.url)
    except ValueError as error:
        yield "cluster", "url", str(error)
    if cluster.password_file:
        if url is not None and url.password:
            yield "cluster", "password_file", "the url has a password too; remove one of the two"
        yield from _check_password_file("cluster", cluster.password_file)


def _check_limits(config: "Config") -> Findings:
    limits = config.limits
    if limits.outgoing_bytes < limits.frame_bytes:
        message = (
            f"{limits.outgoing_bytes} is less than one frame; set at least frame_bytes, {limits.frame_bytes}"
        )
        yield "limits", "outgoing_bytes", message
    for option in ("ping_interval", "ping_timeout"):
        if getattr(limits, option) > MAX_PING_SECONDS:
            message = f"a dead connection would go unnoticed for too long; set {MAX_PING_SECONDS} at most"
            yield "limits", option, message


def _check_web(config: "Config") -> Findings:
    for origin in config.web.origins:
        if origin == "*":
            continue
        match = ORIGIN_PATTERN.fullmatch(origin.lower())
        if match is None:
            expected = "* or scheme://host[:port] without a path, as https://example.org"
            yield "web", "origins", f'"{origin}" is not {expected}'
        elif match["port"] is not None and match["port"] == DEFAULT_PORTS.get(match["scheme"]):
            expected = origin.removesuffix(f":{match['port']}")
            yield (
                "web",
                "origins",
                f'"{origin}" never matches: browsers leave the default port out; write "{expected}"',
            )
    if config.web.base_path and not BASE_PATH_PATTERN.fullmatch(config.web.base_path):
        expected = "a path that begins with a slash and does not end with one, as /help/chat"
        yield "web", "base_path", f'"{config.web.base_path}" is not {expected}'
    found = ORIGIN_PATTERN.fullmatch(config.web.public_url.lower())
    if config.web.public_url and (found is None or found["scheme"] not in DEFAULT_PORTS):
        expected = "http:// or https:// with a host and without a path, as https://chat.example.org"
        yield "web", "public_url", f'"{config.web.public_url}" is not {expected}'
    yield from _networks("web", "ops_networks", config.web.ops_networks)


def _networks(section: str, option: str, texts: tuple[str, ...]) -> Findings:
    for text in texts:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            yield section, option, f'"{text}" is not a network, as 10.0.0.0/8, ::1/128 or 192.0.2.7'
            continue
        # 10.1.2.3/8 is more likely a typing error than a way to write 10.0.0.0/8.
        if ipaddress.ip_interface(text).ip != network.network_address:
            yield section, option, f'"{text}" is an address in a network; did you mean "{network}"?'
