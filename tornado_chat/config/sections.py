"""The configuration: one frozen dataclass per ini section; every default lives here."""

import logging
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from msgspec import Meta

from tornado_chat.config.ini import ConfigError as ConfigError
from tornado_chat.config.ini import OptionEntry, describe_type, format_value
from tornado_chat.config.ini import Problem as Problem

log = logging.getLogger(__name__)

ETC_DIR = Path("/etc/tornado-chat")
"""Where the configuration of an installed server is."""

DATABASE_FILE_NAME = "tornado-chat.sqlite3"
"""The database's name in the state directory, unless ``[storage] url`` says otherwise."""

YEAR_SECONDS = 366 * 86400

Seconds = Annotated[float, Meta(ge=0, le=YEAR_SECONDS)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=YEAR_SECONDS)]
Count = Annotated[int, Meta(ge=1)]


def option(default: Any, doc: str) -> Any:
    """A field with its one-sentence manual; a tuple option is written comma-separated."""
    return field(default=default, metadata={"doc": doc})


def reloadable(default: Any, doc: str) -> Any:
    """An ``option`` whose new value a running server takes over (SIGHUP); any other waits for a restart."""
    return field(default=default, metadata={"doc": doc, "live": True})


def is_reloadable(option: "Field[Any]") -> bool:
    return bool(option.metadata.get("live"))


@dataclass(frozen=True)
class Server:
    """Where the server listens, unless systemd passes it sockets, and what it keeps where."""

    host: str = option("127.0.0.1", "Address to listen on; empty listens on every interface.")
    port: Annotated[int, Meta(ge=0, le=65535)] = option(8080, "TCP port; 0 takes a free one and prints it.")
    unix_socket: str = option("", "Listen on this unix socket too, for a proxy on the same machine.")
    state_dir: str = option(
        "",
        "Where the database and the generated secret are kept; empty takes $STATE_DIRECTORY, "
        "else $XDG_STATE_HOME/tornado-chat, else ~/.local/state/tornado-chat.",
    )
    timezone: str = option("", "IANA name of the zone of the times in frames; empty is the machine's.")
    language: Literal["zh_CN", "en"] = option(
        "zh_CN",
        "Language of system texts. Deployed counselling front ends match the zh_CN ones to the letter.",
    )
    trusted_proxies: tuple[str, ...] = reloadable(
        ("127.0.0.0/8", "::1/128"),
        "Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; who comes by a unix "
        "socket is one.",
    )
    drain_seconds: Seconds = reloadable(5.0, "How long SIGTERM may spread the closing of sockets.")
    processes: Annotated[int, Meta(ge=0, le=256)] = option(
        1,
        "Equal processes that share the work of this machine; 0 is one for each core. More than one need "
        "[cluster] url and a MySQL or MariaDB server.",
    )

    @property
    def process_count(self) -> int:
        """``processes`` as a number of this machine."""
        return self.processes or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Auth:
    """Whose tokens are accepted, and what their claims are called."""

    algorithms: tuple[
        Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"],
        ...,
    ] = reloadable(("HS256",), "Accepted signature algorithms. What a token says of itself never counts.")
    secret_file: str = reloadable(
        "", "File with the shared secret of the HS algorithms; empty makes one in the state directory."
    )
    public_key_file: str = reloadable("", "PEM file with the public key of the RS, ES or EdDSA algorithms.")
    jwks_url: str = reloadable("", "URL of the key set (RFC 7517); keys are picked by `kid` and may rotate.")
    issuer: str = reloadable("", "Required `iss`; empty accepts any.")
    audience: str = reloadable("", "Required `aud`; empty accepts any.")
    id_claim: str = reloadable("id", "The claim with the person's id.")
    role_claim: str = reloadable("type", "The claim with the role.")
    name_claim: str = reloadable("name", "The claim with the display name.")
    require_exp: bool = reloadable(True, "Refuse tokens that never expire.")
    leeway: Seconds = reloadable(10.0, "How far the clocks of the issuer and this machine may differ.")
    guests: bool = reloadable(False, "Hand out tokens to anonymous users at POST /api/v1/guest.")
    guest_lifetime: PositiveSeconds = reloadable(86400.0, "How long a guest's token is valid.")
    guests_per_minute: Count = reloadable(10, "Guest tokens per client address and minute.")


@dataclass(frozen=True)
class Staff:
    """People who sign in here, with accounts of `tornado-chat staff`, where no host system makes tokens."""

    enabled: bool = option(True, "Let accounts sign in at /signin. Without any account there is nothing to.")
    session_lifetime: PositiveSeconds = option(
        43200.0, "After how long somebody has to sign in again, whatever they did."
    )
    idle_timeout: PositiveSeconds = option(
        3600.0, "After how long without an open conversation or any request somebody has to sign in again."
    )


@dataclass(frozen=True)
class Storage:
    """The database."""

    url: str = option(
        "",
        "The database: sqlite:////var/lib/chat.sqlite3 (four slashes, it is sqlite:/// and an "
        "absolute path), or mysql://user@host:3306/name for MySQL and MariaDB (docs/mysql.md); empty is "
        "a file in the state directory.",
    )
    password_file: str = option(
        "",
        "File with the password of the MySQL user; empty logs in without one, as a unix socket allows.",
    )
    durability: Literal["full", "normal"] = option(
        "full",
        "full: what was acknowledged survives a power cut; normal: it survives a crash of the server. "
        "For MySQL it is the database server's to do: full warns if its settings do not.",
    )
    patience: Seconds = option(
        20.0,
        "MySQL: how long senders wait while the database does not answer, before they are told that "
        "nothing was stored.",
    )
    retention_days: Annotated[int, Meta(ge=0, le=36500)] = option(
        0,
        "Remove conversations so many days after their end, with all that was said in them, and "
        "notifications of that age that have arrived; 0 keeps everything.",
    )


@dataclass(frozen=True)
class Cluster:
    """Many processes, on one machine or several, that share the work over Redis."""

    url: str = option(
        "",
        "The Redis: redis://user:password@host:6379/0, rediss://… with TLS, unix:///run/redis/redis.sock, or "
        "sentinel://host1:26379,host2:26379/mymaster/0; empty is a server of one process, which needs none.",
    )
    password_file: str = option("", "File with the password of Redis, instead of one in url.")
    prefix: str = option(
        "tornado_chat", "What our names in Redis begin with; two installations on one Redis need two."
    )


@dataclass(frozen=True)
class Counselling:
    """Sessions of visitor and consultant: /chat, /observe and /notify."""

    rejoin_grace: Seconds = reloadable(
        120.0, "How long an active session waits for a participant whose last socket closed."
    )
    observe: Literal["assigned", "any"] = reloadable(
        "assigned", "Who may listen in: supervisors with a record on the session, or any supervisor."
    )
    legacy_system_key: bool = option(
        True, "Repeat isSystem as `system`, which deployed front ends of the seed read."
    )


@dataclass(frozen=True)
class Support:
    """The waiting line and the waiters: /v1/ws/user/connect and /v1/ws/waiter/connect."""

    auth_timeout: PositiveSeconds = reloadable(10.0, "How long a new socket may take to authenticate.")
    rejoin_grace: Seconds = reloadable(
        60.0, "How long a dropped user or waiter keeps place and conversations."
    )
    capacity: Count = reloadable(5, "Users that one waiter serves at once.")
    queue_claims: tuple[str, ...] = reloadable(
        ("priority", "skills"),
        "Claims of a user's token that the queue policy may go by; they are stored with its place.",
    )
    queue_interval: PositiveSeconds = reloadable(
        1.0, "A waiting user hears of a new place at most this often; the more are before it, the less."
    )


@dataclass(frozen=True)
class Limits:
    """What one client may ask for, so that the others get their share."""

    frame_bytes: Annotated[int, Meta(ge=256, le=16 * 1024 * 1024)] = reloadable(
        65536, "Largest frame or request body."
    )
    messages_per_second: Annotated[float, Meta(gt=0)] = reloadable(
        100.0, "Frames per second that one socket may send on average."
    )
    burst: Count = reloadable(1000, "Frames that one socket may send at once, before the average counts.")
    connections_per_identity: Count = reloadable(50, "Sockets that one person may have open.")
    outgoing_bytes: Count = reloadable(
        4 * 1024 * 1024, "Unsent bytes after which a socket counts as too slow and is dropped."
    )
    ping_interval: PositiveSeconds = reloadable(30.0, "A socket that was silent for so long is pinged.")
    ping_timeout: PositiveSeconds = reloadable(
        30.0, "A socket that leaves a ping unanswered so long is dropped."
    )


@dataclass(frozen=True)
class Logging:
    """The log, on standard error."""

    format: Literal["text", "json"] = reloadable("text", "One event a line: key=value text, or JSON.")
    level: Literal["debug", "info", "warning", "error"] = reloadable(
        "info", "The least level that is written."
    )


@dataclass(frozen=True)
class Web:
    """Who may connect from where."""

    origins: tuple[str, ...] = reloadable(
        (),
        "Origins of pages that may connect, or show the chat of /widget.js, as https://example.org; "
        "* is any; its own always may.",
    )
    pages: bool = option(
        True, "Serve the pages: /room, /console, /supervise, /admin, /widget.js, /signin, /docs."
    )
    ops_networks: tuple[str, ...] = reloadable(
        ("127.0.0.0/8", "::1/128"),
        "Networks that may ask /healthz, /readyz and /metrics, and directly also /api/v1/status without a token.",
    )


@dataclass(frozen=True)
class Plugins:
    """Which plugins run. Each has a section of its own, [plugin:NAME]; `tornado-chat plugins` shows all."""

    paths: tuple[str, ...] = option(
        (str(ETC_DIR / "plugins.d"),),
        "Folders with plugins: a .py file each, or a folder with an __init__.py.",
    )
    enabled: tuple[str, ...] = option(
        ("*",), "Names of those that run, in this order; * stands for all in the folders of paths."
    )
    disabled: tuple[str, ...] = option((), "Names of those that do not run, though they would.")


@dataclass(frozen=True)
class Config:
    """All sections. ``config_loading`` makes it from files; tests make it of sections."""

    server: Server = Server()
    auth: Auth = Auth()
    staff: Staff = Staff()
    storage: Storage = Storage()
    cluster: Cluster = Cluster()
    counselling: Counselling = Counselling()
    support: Support = Support()
    limits: Limits = Limits()
    logging: Logging = Logging()
    web: Web = Web()
    plugins: Plugins = Plugins()
    plugin_entries: Mapping[str, Sequence[OptionEntry]] = field(default_factory=dict, compare=False)
    """What the sections ``[plugin:NAME]`` say, by name, for the plugins to read."""
    option_sources: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)
    """Which file (or ``--set``) has the last word on (section, option)."""
    warnings: Sequence[str] = field(default_factory=tuple, compare=False)
    """Sentences about options that were read and have no effect."""

    @property
    def state_dir(self) -> Path:
        """Where the database and the generated secret are kept; loading has made it absolute."""
        return Path(self.server.state_dir)

    def log_warnings(self) -> None:
        for warning in self.warnings:
            log.warning("%s", warning)

    def with_state_dir(self, directory: Path) -> "Config":
        """This configuration with its state in ``directory``, the database included if it has no url."""
        directory = directory.expanduser().absolute()
        url = self.storage.url or f"sqlite:///{directory / DATABASE_FILE_NAME}"
        return replace(
            self,
            server=replace(self.server, state_dir=str(directory)),
            storage=replace(self.storage, url=url),
        )


SECTIONS: Mapping[str, type[Any]] = {
    each.name: type(each.default) for each in fields(Config) if each.default is not MISSING
}
"""The class of each section, in the order of the documentation."""


REMOVED: Mapping[str, Mapping[str, str]] = {"web": {"compression": "0.2.0"}}
"""Removed options by section, with the version since which they have no effect. They are accepted and ignored
with a warning, so that an ini of an older version still starts the server."""


def sample_ini() -> str:
    """An ini file with every option, its manual and its default: ``etc/tornado-chat.ini``."""
    lines = [
        "# tornado-chat: every option, commented out, with its default.",
        "# Switches take on and off, times are seconds, and lists are separated by commas.",
        "# `tornado-chat check-config` tells what is wrong with this file.",
        "# Options marked [reload] change with `systemctl reload tornado-chat` (SIGHUP), all others with a restart.",
    ]
    for name, section in SECTIONS.items():
        lines += ["", "", f"# {section.__doc__}", f"[{name}]"]
        hints = get_type_hints(section, include_extras=True)
        for each in fields(section):
            takes = describe_type(hints[each.name])
            # The first lines say it of switches and times.
            told = not takes or isinstance(each.default, bool | float)
            manual = each.metadata["doc"] + ("" if told else f" Takes {takes}.")
            manual += " [reload]" if is_reloadable(each) else ""
            lines += ["", *textwrap.wrap(manual, 96, initial_indent="# ", subsequent_indent="# ")]
            lines.append(f"#{each.name} = {format_value(each.default)}".rstrip())
    return "\n".join(lines) + "\n"
