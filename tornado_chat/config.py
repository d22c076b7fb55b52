"""The configuration: one frozen dataclass per ini section; every default lives here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0)]
PositiveSeconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


def option(default: Any, doc: str) -> Any:
    """A field with its one-sentence manual; a tuple option is written comma-separated."""
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True)
class Server:
    host: str = option("127.0.0.1", "Address to listen on; empty listens on every interface.")
    port: Annotated[int, Meta(ge=0, le=65535)] = option(8080, "TCP port; 0 takes a free one and prints it.")
    unix_socket: str = option("", "Listen on this unix socket too, for a proxy on the same machine.")
    state_dir: str = option(
        "",
        "Where the database and the generated secret are kept; empty takes $STATE_DIRECTORY, "
        "else ~/.local/state/tornado-chat.",
    )
    timezone: str = option("", "IANA name of the zone of the times in frames; empty is the machine's.")
    language: Literal["zh_CN", "en"] = option(
        "zh_CN",
        "Language of system texts. Deployed counselling front ends match the zh_CN ones to the letter.",
    )
    drain_seconds: Seconds = option(5.0, "How long SIGTERM may spread the closing of sockets.")


@dataclass(frozen=True)
class Auth:
    algorithms: tuple[
        Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"],
        ...,
    ] = option(("HS256",), "Accepted signature algorithms. What a token says of itself never counts.")
    secret_file: str = option(
        "", "File with the shared secret of the HS algorithms; empty makes one in the state directory."
    )
    public_key_file: str = option("", "PEM file with the public key of the RS, ES or EdDSA algorithms.")
    jwks_url: str = option("", "URL of the key set (RFC 7517); keys are picked by `kid` and may rotate.")
    issuer: str = option("", "Required `iss`; empty accepts any.")
    audience: str = option("", "Required `aud`; empty accepts any.")
    id_claim: str = option("id", "The claim with the person's id.")
    role_claim: str = option("type", "The claim with the role.")
    name_claim: str = option("name", "The claim with the display name.")
    require_exp: bool = option(True, "Refuse tokens that never expire.")
    leeway: Seconds = option(10.0, "How far the clocks of the issuer and this machine may differ.")
    guests: bool = option(False, "Hand out tokens to anonymous users at POST /api/v1/guest.")
    guest_lifetime: PositiveSeconds = option(86400.0, "How long a guest's token is valid.")
    guests_per_minute: Count = option(10, "Guest tokens per client address and minute.")


@dataclass(frozen=True)
class Storage:
    url: str = option("", "sqlite:///path of the database; empty is a file in the state directory.")
    durability: Literal["full", "normal"] = option(
        "full",
        "full: what was acknowledged survives a power cut; normal: it survives a crash of the server.",
    )


@dataclass(frozen=True)
class Counselling:
    rejoin_grace: Seconds = option(
        120.0, "How long an active session waits for a participant whose last socket closed."
    )
    observe: Literal["assigned", "any"] = option(
        "assigned", "Who may listen in: supervisors with a record on the session, or any supervisor."
    )
    legacy_system_key: bool = option(
        True, "Repeat isSystem as `system`, which deployed front ends of the seed read."
    )


@dataclass(frozen=True)
class Support:
    auth_timeout: PositiveSeconds = option(10.0, "How long a new socket may take to authenticate.")
    rejoin_grace: Seconds = option(60.0, "How long a dropped user or waiter keeps place and conversations.")
    capacity: Count = option(5, "Users that one waiter serves at once.")
    queue_interval: PositiveSeconds = option(1.0, "A waiting user hears of a new place at most this often.")


@dataclass(frozen=True)
class Limits:
    frame_bytes: Annotated[int, Meta(ge=256, le=16 * 1024 * 1024)] = option(
        65536, "Largest frame or request body."
    )
    messages_per_second: Annotated[float, Meta(gt=0)] = option(
        100.0, "Frames per second that one socket may send on average."
    )
    burst: Count = option(1000, "Frames that one socket may send at once, before the average counts.")
    connections_per_identity: Count = option(50, "Sockets that one person may have open.")
    outgoing_bytes: Count = option(
        4 * 1024 * 1024, "Unsent bytes after which a socket counts as too slow and is dropped."
    )
    ping_interval: PositiveSeconds = option(30.0, "A socket that was silent for so long is pinged.")
    ping_timeout: PositiveSeconds = option(30.0, "A socket that leaves a ping unanswered so long is dropped.")


@dataclass(frozen=True)
class Logging:
    format: Literal["text", "json"] = option("text", "One event a line: key=value text, or JSON.")
    level: Literal["debug", "info", "warning", "error"] = option("info", "The least level that is written.")


@dataclass(frozen=True)
class Web:
    origins: tuple[str, ...] = option(
        (), "Origins of pages that may connect, as https://example.org; * is any; its own always may."
    )
    ops_networks: tuple[str, ...] = option(
        ("127.0.0.0/8", "::1/128"), "Networks that may ask /healthz and /readyz."
    )


@dataclass(frozen=True)
class Config:
    server: Server = Server()
    auth: Auth = Auth()
    storage: Storage = Storage()
    counselling: Counselling = Counselling()
    support: Support = Support()
    limits: Limits = Limits()
    logging: Logging = Logging()
    web: Web = Web()

    @property
    def state_dir(self) -> Path:
        raise NotImplementedError
