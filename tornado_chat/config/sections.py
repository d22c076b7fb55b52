"""The option sections: a frozen dataclass for each ini section, with all defaults and descriptions."""

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
"""The directory of the configuration of an installed server."""

DATABASE_FILE_NAME = "tornado-chat.sqlite3"
"""The database file in the state directory, if ``[storage] url`` is empty."""

YEAR_SECONDS = 366 * 86400

Seconds = Annotated[float, Meta(ge=0, le=YEAR_SECONDS)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=YEAR_SECONDS)]
Count = Annotated[int, Meta(ge=1)]


def option(default: Any, doc: str) -> Any:
    """Return a dataclass field for an option with a description; a tuple is written comma-separated."""
    return field(default=default, metadata={"doc": doc})


def reloadable(default: Any, doc: str) -> Any:
    """Return an ``option`` whose value a running server changes on SIGHUP; others need a restart."""
    return field(default=default, metadata={"doc": doc, "live": True})


def is_reloadable(option: "Field[Any]") -> bool:
    return bool(option.metadata.get("live"))


@dataclass(frozen=True)
class Server:
    """Listening addresses (unless systemd passes sockets), state directory, language and processes."""

    host: str = option("127.0.0.1", "Address to listen on; empty listens on every interface.")
    port: Annotated[int, Meta(ge=0, le=65535)] = option(
        8080, "TCP port; 0 takes a free port and prints its number."
    )
    unix_socket: str = option(
        "", "Path of a unix socket to listen on as well, for a proxy on the same machine."
    )
    state_dir: str = option(
        "",
        "Directory of the database and the generated secret; empty takes $STATE_DIRECTORY, "
        "else $XDG_STATE_HOME/tornado-chat, else ~/.local/state/tornado-chat.",
    )
    timezone: str = option(
        "", "IANA name of the time zone of the times in frames; empty takes the time zone of the machine."
    )
    language: Literal["zh_CN", "en"] = option(
        "zh_CN",
        "Language of system texts. Deployed counselling front ends compare the zh_CN texts literally.",
    )
    trusted_proxies: tuple[str, ...] = reloadable(
        ("127.0.0.0/8", "::1/128"),
        "Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted. A connection by the "
        "unix socket is always trusted.",
    )
    drain_seconds: Seconds = reloadable(
        5.0, "Time over which the server spreads the closing of its sockets after SIGTERM."
    )
    handover: bool = reloadable(
        True,
        "Let a restart by SIGUSR2 keep the open sockets: the new program takes them over, and clients notice "
        "a pause only.",
    )
    offer_timeout: PositiveSeconds = reloadable(
        60.0,
        "Time in which an agent to whom a conversation is offered may accept it. Then it is offered to the "
        "next one that the offer names, or stays with its agent.",
    )
    processes: Annotated[int, Meta(ge=0, le=256)] = option(
        1,
        "Number of equal processes that share the work of this machine; 0 is one for each core. More than "
        "one process needs [cluster] url and a MySQL or MariaDB server.",
    )

    @property
    def process_count(self) -> int:
        """The number of processes, with 0 replaced by the number of cores."""
        return self.processes or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Auth:
    """Accepted tokens: their algorithms, keys and claims."""

    algorithms: tuple[
        Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"],
        ...,
    ] = reloadable(
        ("HS256",), "Accepted signature algorithms, whatever algorithm the header of a token names."
    )
    secret_file: str = reloadable(
        "",
        "File with the shared secret of the HS algorithms; empty generates a secret in the state directory.",
    )
    public_key_file: str = reloadable("", "PEM file with the public key of the RS, ES or EdDSA algorithms.")
    jwks_url: str = reloadable("", "URL of the key set (RFC 7517); keys are chosen by `kid` and may rotate.")
    issuer: str = reloadable("", "Required value of the claim `iss`; empty accepts any issuer.")
    audience: str = reloadable("", "Required value of the claim `aud`; empty accepts any audience.")
    id_claim: str = reloadable("id", "Name of the claim with the id of the person.")
    role_claim: str = reloadable("type", "Name of the claim with the role.")
    name_claim: str = reloadable("name", "Name of the claim with the display name.")
    require_exp: bool = reloadable(True, "Refuse tokens without an expiry time (claim `exp`).")
    leeway: Seconds = reloadable(
        10.0, "Accepted difference between the clocks of the issuer and of this machine."
    )
    guests: bool = reloadable(False, "Issue tokens to anonymous users at POST /api/v1/guest.")
    guest_lifetime: PositiveSeconds = reloadable(86400.0, "Lifetime of the token of an anonymous user.")
    expiry_grace: Seconds = reloadable(
        60.0,
        "Time after the end of a token (`exp`) after which its socket is closed with 4401. A participant of "
        "an unfinished conversation stays until the conversation has ended, or until longest_socket.",
    )
    longest_socket: Seconds = reloadable(
        43200.0,
        "Time since its opening after which the socket of a participant of an unfinished conversation is "
        "closed, too, if its token has ended; 0 lets it stay until the conversation has ended.",
    )


@dataclass(frozen=True)
class Staff:
    """Accounts of `tornado-chat staff`, for installations without a host system that issues tokens."""

    enabled: bool = option(
        True, "Let accounts sign in at /signin. Has no effect while there are no accounts."
    )
    session_lifetime: PositiveSeconds = option(
        43200.0, "Time after which an account has to sign in again, even if it was active."
    )
    idle_timeout: PositiveSeconds = option(
        3600.0,
        "Time without a request and without an open conversation after which an account has to sign in "
        "again.",
    )


@dataclass(frozen=True)
class Storage:
    """The database."""

    url: str = option(
        "",
        "URL of the database: sqlite:////var/lib/chat.sqlite3 (four slashes: sqlite:/// and an "
        "absolute path, whose folder has to exist), or mysql://user@host:3306/name for MySQL and MariaDB "
        "(docs/mysql.md); empty is an SQLite file in the state directory.",
    )
    password_file: str = option(
        "",
        "File with the password of the MySQL user; empty logs in without a password, as a unix socket "
        "allows.",
    )
    durability: Literal["full", "normal"] = option(
        "full",
        "full: acknowledged messages survive a power failure; normal: they survive a crash of the server "
        "process. With MySQL, durability is a setting of the database server: full logs a warning if that "
        "setting is lower.",
    )
    patience: Seconds = option(
        20.0,
        "MySQL: time that senders wait while the database does not answer, before they get the error that "
        "their message was not stored.",
    )
    retention_days: Annotated[int, Meta(ge=0, le=36500)] = option(
        0,
        "Days after the end of a conversation after which the conversation and its messages are removed. "
        "Delivered notifications are removed at the same age. 0 keeps all data.",
    )
    keep_replaced: Annotated[int, Meta(ge=0, le=36500)] = option(
        30,
        "Days after which the server removes the databases that `tornado-chat restore` has replaced: they "
        "still have the data of people who were erased later. 0 keeps them until "
        "`tornado-chat restore --discard`.",
    )


@dataclass(frozen=True)
class Cluster:
    """Several processes, on one machine or several, that share the work and communicate over Redis."""

    url: str = option(
        "",
        "URL of Redis: redis://user:password@host:6379/0, rediss://… with TLS, unix:///run/redis/redis.sock, "
        "or sentinel://host1:26379,host2:26379/mymaster/0; empty for a single process, which needs no Redis.",
    )
    password_file: str = option("", "File with the password of Redis, instead of a password in url.")
    prefix: str = option(
        "tornado_chat",
        "Prefix of all names in Redis; two installations on one Redis need different prefixes.",
    )


@dataclass(frozen=True)
class Counselling:
    """Counselling sessions of a visitor and a consultant: /chat, /observe and /notify."""

    rejoin_grace: Seconds = reloadable(
        120.0, "Time that an active session waits for the return of a participant whose last socket closed."
    )
    observe: Literal["assigned", "any"] = reloadable(
        "assigned",
        "Supervisors that may observe a session: those with a supervision record on it (assigned), or all.",
    )
    legacy_system_key: bool = option(
        True, "Send the key `system` in addition to isSystem, for deployed front ends of the seed."
    )
    first_number: Annotated[int, Meta(ge=1, le=10**15)] = option(
        1,
        "The server's own numbers of sessions and supervision records begin here, or behind the last one "
        "that it gave. If a host system chooses numbers (`session_id`), begin above the host's numbers.",
    )
    leave_grace: Seconds = reloadable(
        10.0,
        "The time of rejoin_grace for a participant whose client asked for no feature and closed the socket "
        "itself (1000, 1001 or no code): such clients leave, and reload, without another sign. At most "
        "rejoin_grace.",
    )
    ready_grace: Seconds = reloadable(
        300.0,
        "Time that a session that has not started waits for the return of its visitor, whose last socket "
        "closed. Then it is cancelled.",
    )
    longest_grace: Seconds = reloadable(
        900.0,
        "Time to which a participant may extend the wait for the other one, counted from the close of the "
        "other one's last socket.",
    )

    def grace(self, *, has_left: bool) -> float:
        """Return the seconds to wait for a participant of an active session, as in ``Support``."""
        return min(self.leave_grace, self.rejoin_grace) if has_left else self.rejoin_grace


@dataclass(frozen=True)
class Support:
    """Support: the queue of users and the waiters, at /v1/ws/user/connect and /v1/ws/waiter/connect."""

    auth_timeout: PositiveSeconds = reloadable(10.0, "Time in which a new socket has to authenticate.")
    rejoin_grace: Seconds = reloadable(
        60.0,
        "Time for which a disconnected user keeps the queue position, and a disconnected user or waiter the "
        "conversations.",
    )
    capacity: Count = reloadable(5, "Users that one waiter serves at the same time.")
    queue_claims: tuple[str, ...] = reloadable(
        ("priority", "skills"),
        "Claims of a user's token that the queue policy may use; they are stored with the conversation.",
    )
    queue_interval: PositiveSeconds = reloadable(
        1.0,
        "Shortest interval of the frames that report the queue position to a waiting user; the interval "
        "grows with the number of users ahead.",
    )
    legacy_auth_success: bool = reloadable(
        False,
        "Answer every auth by auth_success, also without the feature ack: deployed front ends of one "
        "generation wait for it before they send connect or ready.",
    )
    leave_grace: Seconds = reloadable(
        10.0,
        "The time of rejoin_grace for a user or waiter whose client asked for no feature and closed the "
        "socket itself (1000, 1001 or no code): such clients leave, and reload, without another sign. At "
        "most rejoin_grace.",
    )

    accept_timeout: Seconds = reloadable(
        0.0,
        "Time in which a waiter has to confirm a new user, by writing, typing or the frame accept. Else the "
        "user goes back to the head of the queue and gets another waiter, if there is one; a waiter that "
        "misses two users in a row is paused. 0: no confirmation is needed.",
    )
    early_messages: Annotated[int, Meta(ge=0, le=1000)] = reloadable(
        20,
        "Messages that a user may send while waiting for the first agent, if its client asks for the feature "
        "early; 0: none.",
    )
    early_bytes: Annotated[int, Meta(ge=1, le=16 * 1024 * 1024)] = reloadable(
        65536, "Size of the texts of these messages in bytes."
    )
    early_words: Literal["keep", "discard"] = reloadable(
        "keep",
        "What becomes of these messages if the user gives up before an agent comes. keep: they stay as a "
        "left message, which agents of the group find in /console. discard: they are deleted.",
    )

    def grace(self, *, has_left: bool) -> float:
        """Return the seconds to wait for a person; ``has_left``: the client left, no connection was lost."""
        return min(self.leave_grace, self.rejoin_grace) if has_left else self.rejoin_grace


@dataclass(frozen=True)
class Group:
    """A group of agents with its own queue, [group:NAME]: a user may choose it, see docs/groups.md."""

    title: str = reloadable("", "The name that users see; empty: NAME. Also title_zh_CN and title_en.")
    title_zh_cn: str = reloadable("", "The title in Chinese; empty: title.")
    title_en: str = reloadable("", "The title in English; empty: title.")
    text: str = reloadable("", "A sentence for users about the group. Also text_zh_CN and text_en.")
    text_zh_cn: str = reloadable("", "The sentence in Chinese; empty: text.")
    text_en: str = reloadable("", "The sentence in English; empty: text.")
    public: bool = reloadable(
        True,
        "Let every user choose the group. A group that is not public is for users whose token names it in "
        "the claim `groups`.",
    )
    roles: tuple[Literal["waiter", "consultant"], ...] = reloadable(
        ("waiter",),
        "Roles of the agents that serve the group. An agent whose token has the claim `groups` serves only "
        "the groups that it names there.",
    )
    members: tuple[str, ...] = reloadable(
        (),
        "Agents that serve the group whatever their role and claims, as waiter:7, consultant:8. With "
        "members, all other agents need the claim `groups` to serve it.",
    )
    supervisors: tuple[str, ...] = reloadable(
        (),
        "Supervisors who may follow, read, join and take over all conversations of the group, as "
        "supervisor:3. So may a supervisor whose token names the group in the claim `groups`.",
    )
    tell_observing: bool = reloadable(
        False, "Tell the participants of a conversation of the group when an observer comes and goes."
    )
    capacity: Annotated[int, Meta(ge=0, le=1000)] = reloadable(
        0,
        "An agent gets a user of this group while it serves fewer users than this, of all groups; 0 takes "
        "[support] capacity. The claim `capacity` of the agent's token overrides it.",
    )
    priority: Annotated[int, Meta(ge=0, le=100)] = reloadable(
        0,
        "An agent of several groups gets the waiting users of the group with the highest priority first; "
        "with equal priority, users of all groups are in one order.",
    )
    fallback: str = reloadable(
        "", "Another group whose agents serve a user of this group, too, after fallback_after."
    )
    fallback_after: Seconds = reloadable(
        120.0, "Time that a user has waited before the agents of the group fallback serve it, too."
    )
    approval: bool = reloadable(
        False,
        "Hold each message of an agent in a conversation of the group until a supervisor approves, edits or "
        "refuses it. Off: only messages of agents whose token has the claim `trainee` (true) are held.",
    )
    approval_timeout: Seconds = reloadable(
        120.0, "Time for the decision of a supervisor on a held message; 0: a message is held without end."
    )
    approval_expired: Literal["refuse", "send"] = reloadable(
        "refuse", "What happens to a held message after approval_timeout: refuse it, or send it as it is."
    )

    early_words: Literal["default", "keep", "discard"] = reloadable(
        "default", "As [support] early_words, for the users of this group; default takes that."
    )
    consent: str = reloadable(
        "",
        "A text that users have to accept before their first message, see docs/groups.md: one line, or "
        "@/path with the path of a UTF-8 file. Also consent_zh_CN and consent_en.",
    )
    consent_zh_cn: str = reloadable("", "The consent text in Chinese; empty: consent.")
    consent_en: str = reloadable("", "The consent text in English; empty: consent.")
    consent_version: str = reloadable(
        "", "The version of the consent text. Users who have accepted another version are asked again."
    )
    consent_required: bool = reloadable(
        False,
        "Refuse users whose client cannot show the consent text (it has no feature `consent`). Off: they are "
        "not asked.",
    )

    def title_in(self, language: str, name: str) -> str:
        """Return the title in ``zh_CN`` or ``en``. :arg name: the name of the group."""
        return (self.title_zh_cn if language == "zh_CN" else self.title_en) or self.title or name

    def text_in(self, language: str) -> str:
        """Return the sentence about the group in ``zh_CN`` or ``en``."""
        return (self.text_zh_cn if language == "zh_CN" else self.text_en) or self.text

    def consent_in(self, language: str) -> str:
        """Return the consent text in ``zh_CN`` or ``en``, empty if there is none."""
        return (self.consent_zh_cn if language == "zh_CN" else self.consent_en) or self.consent


@dataclass(frozen=True)
class Notifications:
    """Notifications: the pop-ups of /notify."""

    repeat: Annotated[int, Meta(ge=0, le=100)] = reloadable(
        3,
        "Times that a client without features gets an unread notification again, each on a later connect: a "
        "receipt proves that the browser has it, not that its page has shown it. 0: never again.",
    )


@dataclass(frozen=True)
class Limits:
    """Limits for each client, so that no client uses the share of the others."""

    frame_bytes: Annotated[int, Meta(ge=256, le=16 * 1024 * 1024)] = reloadable(
        65536, "Largest frame or request body in bytes."
    )
    messages_per_second: Annotated[float, Meta(gt=0)] = reloadable(
        100.0,
        "Frames per second that one socket may send on average. Messages, fragments, pings and unasked pongs "
        "count; the pongs that answer the server's pings do not.",
    )
    burst: Count = reloadable(
        1000, "Frames that one socket may send in a burst, before the average limits the rate."
    )
    connections_per_identity: Count = reloadable(50, "Sockets that one person may have open.")
    outgoing_bytes: Count = reloadable(
        4 * 1024 * 1024,
        "Unsent bytes above which a socket is too slow and is closed. While a fourth of them is unsent, the "
        "server handles no frame of that socket. A page of history ends when its texts have an eighth of "
        "them.",
    )
    ping_interval: PositiveSeconds = reloadable(
        30.0, "Time without data from a socket after which the server sends a ping."
    )
    ping_timeout: PositiveSeconds = reloadable(
        30.0, "Time without an answer to a ping after which the socket is closed."
    )
    header_timeout: PositiveSeconds = reloadable(
        20.0,
        "Time in which the head of an HTTP request has to arrive, from its first byte or the connection.",
    )
    body_timeout: PositiveSeconds = reloadable(
        30.0, "Time in which the body of an HTTP request has to arrive."
    )
    idle_timeout: PositiveSeconds = reloadable(
        75.0,
        "Time after which an HTTP connection without a further request is closed. It should be longer than "
        "the time for which a proxy keeps its idle connections to this server (nginx: 60 s).",
    )
    answer_timeout: PositiveSeconds = reloadable(
        30.0, "Time in which a client takes no byte of an HTTP answer, after which its connection is aborted."
    )
    answers_per_person: Count = reloadable(
        8,
        "Large HTTP answers (exports, long lists) that one person may have under way in each process; for "
        "callers without a person, one client address or IPv6 /64.",
    )
    anonymous_connections: Count = reloadable(
        2000,
        "Connections of each process whose client has not authenticated yet: HTTP connections, and "
        "WebSockets before their token; at most half of the file descriptors. Above it, only requests with "
        "a valid token are served.",
    )
    anonymous_connections_per_address: Count = reloadable(
        100,
        "As anonymous_connections, for one client address or IPv6 /64. Networks of [server] trusted_proxies "
        "and [web] ops_networks are not counted.",
    )
    guests_per_minute: Count = reloadable(
        10,
        "Guest tokens that one client network (an IPv4 address, or an IPv6 network of 64 bits) may request "
        "at once, and then per minute.",
    )
    sockets_per_minute: Count = reloadable(
        300, "Sockets that one person may open at once, and then per minute."
    )
    requests_per_minute: Count = reloadable(
        600,
        "Requests of the HTTP API that write, by one person at once, and then per minute; four times as many "
        "that read.",
    )
    sessions_per_hour: Count = reloadable(
        60,
        "Sessions and support conversations that one person may open at once, and then per hour. Hosts "
        "(the roles service and admin) have none of the limits from sockets_per_minute to bytes_burst.",
    )
    supervisions_per_hour: Count = reloadable(
        60, "Supervision records that one person may open at once, and then per hour."
    )
    notifications_per_hour: Count = reloadable(
        30,
        "Notifications that one person may cause in the inbox of one other person at once, and then per "
        "hour, by sessions and supervision records.",
    )
    bytes_per_second: Annotated[int, Meta(ge=1024)] = reloadable(
        64 * 1024,
        "Bytes per second that one person may send on average, in frames and request bodies. Sockets above "
        "it are read more slowly; requests are refused. At least a frame_bytes in five seconds.",
    )
    bytes_burst: Annotated[int, Meta(ge=1024)] = reloadable(
        4 * 1024 * 1024,
        "Bytes that one person may send at once, before the average limits the rate. At least frame_bytes.",
    )
    network_factor: Count = reloadable(
        10,
        "All guests, and all callers without a token, of one client network have together this many times "
        "the limits of one person, from sockets_per_minute to bytes_burst.",
    )
    sign_in_failures: Annotated[int, Meta(ge=1, le=1000)] = reloadable(
        5,
        "Failed attempts to sign in to one account from one client network before each further failure "
        "causes a wait. Ten times as many are allowed to one client network for all accounts, and to one "
        "account from all networks.",
    )
    filter_share: Annotated[float, Meta(gt=0, le=1)] = reloadable(
        0.1,
        "Share of the time of a process that plugins may use to filter the messages of one person; further "
        "messages of that person wait. The long messages of all people have three times as much together.",
    )


@dataclass(frozen=True)
class Logging:
    """The log, which is written to standard error."""

    format: Literal["text", "json"] = reloadable(
        "text", "Format of the log, one event per line: text with key=value, or JSON."
    )
    level: Literal["debug", "info", "warning", "error"] = reloadable(
        "info", "Lowest level of the events that are logged."
    )


@dataclass(frozen=True)
class Web:
    """Pages, and the origins and networks that have access."""

    origins: tuple[str, ...] = reloadable(
        (),
        "Origins of pages that may connect or embed the chat of /widget.js, as https://example.org; "
        "* allows all origins. The origin of the server itself is always allowed.",
    )
    pages: bool = option(
        True, "Serve the pages: /room, /desk, /console, /supervise, /admin, /widget.js, /signin, /docs."
    )
    base_path: str = option(
        "", "Path below which the server is on its host, as /help/chat; the proxy may remove it or not."
    )
    public_url: str = option(
        "",
        "Address at which people reach the server, as https://chat.example.org, without base_path: for the "
        "links that plugins make; empty: they make links without a host.",
    )
    organisation: str = reloadable(
        "", "The name that the start page / shows, if the server has no accounts; empty: the host's name."
    )
    ops_networks: tuple[str, ...] = reloadable(
        ("127.0.0.0/8", "::1/128"),
        "Networks that may request /healthz, /readyz and /metrics, and, without a proxy in between, also "
        "/api/v1/status without a token.",
    )


@dataclass(frozen=True)
class Plugins:
    """Plugins. Each has its own section, [plugin:NAME]; `tornado-chat plugins` lists all plugins."""

    paths: tuple[str, ...] = option(
        (str(ETC_DIR / "plugins.d"),),
        "Directories of plugins; a plugin is a .py file or a directory with an __init__.py. All have to "
        "exist, except the default.",
    )
    enabled: tuple[str, ...] = option(
        ("*",),
        "Names of the plugins that run, in this order; * stands for all plugins in the directories of paths.",
    )
    disabled: tuple[str, ...] = option((), "Names of plugins that do not run, even if enabled contains them.")


@dataclass(frozen=True)
class Config:
    """All sections. ``config/loader.py`` makes it from files; tests make it from sections."""

    server: Server = Server()
    auth: Auth = Auth()
    staff: Staff = Staff()
    storage: Storage = Storage()
    cluster: Cluster = Cluster()
    counselling: Counselling = Counselling()
    support: Support = Support()
    notifications: Notifications = Notifications()
    limits: Limits = Limits()
    logging: Logging = Logging()
    web: Web = Web()
    plugins: Plugins = Plugins()
    groups: Mapping[str, Group] = field(default_factory=dict)
    """The sections ``[group:NAME]``, by the name of the group."""
    plugin_entries: Mapping[str, Sequence[OptionEntry]] = field(default_factory=dict, compare=False)
    """The options of the sections ``[plugin:NAME]``, by the name of the plugin, which parses them."""
    option_sources: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)
    """The file (or ``--set``) that determines the value, by (section, option)."""
    warnings: Sequence[str] = field(default_factory=tuple, compare=False)
    """Warnings about options that were read and have no effect."""

    @property
    def state_dir(self) -> Path:
        """The directory of the database and the generated secret; absolute after loading."""
        return Path(self.server.state_dir)

    def log_warnings(self) -> None:
        for warning in self.warnings:
            log.warning("%s", warning)

    def with_state_dir(self, directory: Path) -> "Config":
        """Return this configuration with the state directory ``directory``.

        The database is a file in this directory if ``[storage] url`` is empty.
        """
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


GROUP_SECTION = "group:NAME"
"""The title of a section of a group in the documentation."""


REMOVED: Mapping[str, Mapping[str, str]] = {"web": {"compression": "0.2.0"}}
"""Removed options by section, with the version since which they have no effect.

They are accepted and ignored with a warning, so that the server still starts with an ini of an older version.
"""


MOVED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("auth", "guests_per_minute"): ("limits", "guests_per_minute"),
}
"""Options that have moved, by their old section and name, with their new section and name.

The old place is still accepted.
"""


def sample_ini() -> str:
    """Return the text of ``etc/tornado-chat.ini``: every option with its description and its default."""
    lines = [
        "# tornado-chat: all options, commented out, with their defaults.",
        "# Switches are on or off, times are in seconds, and items of lists are separated by commas.",
        "# `tornado-chat check-config` reports the mistakes in this file.",
        "# Changes of options marked [reload] take effect with `systemctl reload tornado-chat` (SIGHUP),",
        "# changes of other options with a restart.",
    ]
    # The title of a group's section is commented out, as the section alone makes a group.
    sections: dict[str, type[Any]] = {f"[{name}]": section for name, section in SECTIONS.items()}
    sections[f"#[{GROUP_SECTION}]"] = Group
    for title, section in sections.items():
        lines += ["", "", f"# {section.__doc__}", title]
        hints = get_type_hints(section, include_extras=True)
        for each in fields(section):
            values = describe_type(hints[each.name])
            # The first lines of the file describe the values of switches and times.
            omit_values = not values or isinstance(each.default, bool | float)
            doc = each.metadata["doc"] + ("" if omit_values else f" Takes {values}.")
            doc += " [reload]" if is_reloadable(each) else ""
            lines += ["", *textwrap.wrap(doc, 96, initial_indent="# ", subsequent_indent="# ")]
            lines.append(f"#{each.name} = {format_value(each.default)}".rstrip())
    return "\n".join(lines) + "\n"
