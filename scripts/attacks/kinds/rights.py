"""The matrix of rights: every call of the HTTP API, by every kind of caller, on the victims' conversations.

The calls come from the server's own OpenAPI document, so that a new call is tried by itself. ``RIGHTS`` names
the callers that may. A call that is not listed there may be used by the roles that its description names, or
else by the victims themselves, the host and administrators: a call that is to allow more has to be listed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from scripts.attacks.attack import ATTACKER_ADDRESS, Attack, Trial
from scripts.attacks.people import (
    CANARY,
    COUNSELLOR,
    CUSTOMER,
    HOST_ADDRESS,
    SUPERVISOR,
    VICTIM,
    Caller,
    callers,
)
from scripts.attacks.raw_http import Answer

VERBS = ("get", "post", "put", "patch", "delete")
HOSTS = frozenset({"an admin", "the host"})
ALL_CALLERS = frozenset({"all callers"})
SIGNED_IN = frozenset({"signed in"})
OWNERS = frozenset({"the user", "the consultant", "the supervisor", "the waiter"})
READERS = HOSTS | {"the user", "the consultant", "the supervisor"}
RECORD_READERS = HOSTS | {"the consultant", "the supervisor"}

RIGHTS: Mapping[str, frozenset[str]] = {
    "open_session": HOSTS | {"the user"},
    "list_sessions": HOSTS | {"the user", "the consultant"},
    "get_session": READERS,
    "list_session_messages": READERS,
    "export_session": READERS,
    "get_supervision": RECORD_READERS,
    "list_supervision_messages": RECORD_READERS,
    "export_supervision": RECORD_READERS,
    "call_supervisor": HOSTS | {"the consultant"},
    "end_session": HOSTS | {"the user", "the consultant"},
    "rate_session": frozenset({"the user"}),
    "notify": HOSTS,
    "list_groups": SIGNED_IN,
    # Each supervisor gets the messages of its own conversations; there is none here.
    "list_approvals": frozenset({"an admin", "the supervisor", "another supervisor"}),
    "list_notifications": SIGNED_IN,
    "read_notification": frozenset({"the user"}),
    "get_support_status": HOSTS | {"the waiter", "another waiter", "the supervisor", "another supervisor"},
    "list_left_messages": HOSTS | {"the waiter", "another waiter", "the supervisor", "another supervisor"},
    "list_conversations": HOSTS | {"the waiter", "the supervisor", "another supervisor"},
    "get_conversation": HOSTS | {"the waiter"},
    "export_conversation": HOSTS | {"the waiter"},
    "call_supervisor_to_conversation": HOSTS | {"the waiter"},
    "prioritise_conversation": HOSTS,
    "list_conversation_messages": HOSTS | {"the waiter"},
    "join_session": frozenset({"an admin", "the supervisor"}),
    "take_over_session": frozenset({"an admin", "the supervisor"}),
    "join_conversation": frozenset({"an admin"}),
    "take_over_conversation": frozenset({"an admin"}),
    # For callers that take no part in it, leaving has no effect.
    "leave_session": SIGNED_IN,
    "leave_conversation": SIGNED_IN,
    "offer_session": HOSTS | {"the consultant"},
    "get_session_offer": HOSTS | {"the consultant"},
    "withdraw_session_offer": HOSTS | {"the consultant"},
    "accept_session_offer": frozenset(),  # only the person to whom it is offered
    "decline_session_offer": frozenset(),
    "offer_conversation": HOSTS | {"the waiter"},
    "get_conversation_offer": HOSTS | {"the waiter"},
    "withdraw_conversation_offer": HOSTS | {"the waiter"},
    "accept_conversation_offer": frozenset(),
    "decline_conversation_offer": frozenset(),
    "admit_guest": frozenset({"no token", "a guest"}),
    "get_status": HOSTS,
    # From an address that is not an operator's, as all attackers'.
    "get_health": frozenset(),
    "get_readiness": frozenset(),
    "get_metrics": frozenset(),
    # By a session cookie, which no caller here has.
    "make_own_token": frozenset(),
    "sign_in": frozenset(),
}
"""The callers that a call allows, by its ``operationId``."""

BODIES: Mapping[str, Any] = {
    "open_session": {"user_id": VICTIM, "consultant_id": COUNSELLOR},
    "call_supervisor": {"supervisor_id": SUPERVISOR},
    "call_supervisor_to_conversation": {"supervisor_id": "nobody"},
    "offer_session": {"to": [{"role": "consultant", "id": 22}]},
    "offer_conversation": {"to": [{"role": "waiter", "id": 24}]},
    "notify": {"role": "consultant", "id": COUNSELLOR, "type": 0, "msg": "fishing"},
    "rate_session": {"rate": 1},
    "sign_in": {"name": "grace", "password": "guessed"},
}
"""Bodies that fit the victims; the other calls get the example of their description."""

QUERIES = {
    "list_sessions": f"?user_id={VICTIM}&consultant_id={COUNSELLOR}",
    "list_conversations": f"?user={CUSTOMER}",
}
DESTRUCTIVE = (
    *("join_session", "leave_session", "join_conversation", "leave_conversation"),
    *("take_over_session", "take_over_conversation", "end_session", "read_notification"),
)
"""Calls that change what the others need, so they are tried last."""
FIRST = ("offer_session", "offer_conversation")
"""Calls that make what others ask for, so they are tried first."""
ORDERED = (*FIRST, *DESTRUCTIVE)


class Call(NamedTuple):
    """A call of the API on the victims' objects.

    :ivar allowed: the names of the callers that may.
    """

    id: str
    method: str
    path: str
    body: Any
    allowed: frozenset[str]
    described: bool

    def allows(self, caller: Caller) -> bool:
        return (
            self.allowed == ALL_CALLERS
            or (self.allowed == SIGNED_IN and caller.token is not None)
            or caller.name in self.allowed
        )


def calls(
    document: Mapping[str, Any], numbers: Mapping[str, int], all_callers: Mapping[str, Caller]
) -> Iterator[Call]:
    """Yield the calls of an OpenAPI document.

    :arg numbers: the victims' numbers, by the name of the path parameter.
    """
    for path, verbs in document["paths"].items():
        address = re.sub(r"\{(\w+)\}", lambda found: str(numbers.get(found[1], numbers["session_id"])), path)
        for verb, described in verbs.items():
            if verb not in VERBS:
                continue
            id = described["operationId"]
            content = described.get("requestBody", {}).get("content", {})
            body = BODIES.get(id, next(iter(content.values()))["example"] if content else None)
            allowed = RIGHTS.get(id)
            if allowed is None:
                allowed = _default_rights(described, all_callers)
            yield Call(id, verb.upper(), address + QUERIES.get(id, ""), body, allowed, id in RIGHTS)


def _default_rights(described: Mapping[str, Any], all_callers: Mapping[str, Caller]) -> frozenset[str]:
    """Return who may use a call that ``RIGHTS`` does not list."""
    if not described.get("security"):
        return ALL_CALLERS
    roles = described.get("x-roles")
    if roles:
        return frozenset(name for name, caller in all_callers.items() if caller.role in roles)
    return HOSTS | OWNERS


async def run(trial: Trial) -> None:
    document = (await trial.http("GET", "/api/v1/openapi.json")).json()
    guest = (await trial.http("POST", "/api/v1/guest")).json()["token"]
    all_callers = callers(guest)
    world = trial.world
    numbers = {
        "session_id": world.session,
        "record_id": world.record,
        "conversation_id": world.conversation,
        "notification_id": world.notification,
    }
    found = sorted(
        calls(document, numbers, all_callers),
        key=lambda call: ORDERED.index(call.id) - len(FIRST) if call.id in ORDERED else -0.5,
    )
    trial.require(len(found) > 20, f"the server describes {len(found)} calls only")
    await trial.together(
        partial(_try, trial, call, caller)
        for call in found
        for caller in all_callers.values()
        if not call.allows(caller)
    )
    for call in found:
        await _check_allowed(trial, call, all_callers)
    await _other_verbs(trial, document, numbers, all_callers["another user"])


async def _try(trial: Trial, call: Call, caller: Caller) -> None:
    answer = await trial.http(call.method, call.path, caller.token, call.body)
    is_in = 200 <= answer.status < 400 or CANARY.encode() in answer.body
    trial.judge(is_in, answer.status, f"{call.id} by {caller.name}")
    if answer.status >= 500:
        trial.harmed(f"{call.id} by {caller.name}: {answer.status}")


async def _check_allowed(trial: Trial, call: Call, all_callers: Mapping[str, Caller]) -> None:
    """Check that a caller that may use a call is served, so that the request of the others was complete."""
    if call.allowed == SIGNED_IN:
        for caller in all_callers.values():
            if caller.token is not None and not caller.owns and caller.name not in HOSTS:
                own = await trial.http(call.method, call.path, caller.token, call.body)
                trial.judge(CANARY.encode() in own.body, f"{own.status}, own", f"{call.id} by {caller.name}")
        return
    names = [name for name in all_callers if name in call.allowed]
    if not names or not call.described:
        return
    # The last one: of the hosts and the people themselves, the host changes the least.
    answer: Answer = await trial.http(call.method, call.path, all_callers[names[-1]].token, call.body)
    trial.require(answer.status < 400, f"{call.id} by {names[-1]}: {answer.status} {answer.body[:200]!r}")


async def _other_verbs(
    trial: Trial, document: Mapping[str, Any], numbers: Mapping[str, int], caller: Caller
) -> None:
    """Try the verbs that no description names."""
    for path, verbs in document["paths"].items():
        address = re.sub(r"\{(\w+)\}", lambda found: str(numbers.get(found[1], numbers["session_id"])), path)
        for verb in (*VERBS, "head", "trace", "connect", "propfind"):
            if verb not in verbs:
                answer = await trial.http(verb.upper(), address, caller.token)
                trial.judge(
                    200 <= answer.status < 400, answer.status, f"{verb.upper()} {path} by {caller.name}"
                )


# --- the operators' addresses ---

OPS_PATHS = ("/metrics", "/readyz", "/healthz", "/api/v1/status")

PRETENDED: Sequence[tuple[str, str]] = (
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-For", "::1"),
    ("X-Forwarded-For", "127.0.0.1, 127.0.0.1"),
    ("X-Real-IP", "127.0.0.1"),
    ("X-Real-Ip", "127.0.0.1"),
    ("Forwarded", "for=127.0.0.1"),
    ("X-Client-IP", "127.0.0.1"),
    ("True-Client-IP", "127.0.0.1"),
    ("X-Forwarded-Host", "localhost"),
    ("X-Original-URL", "/metrics"),
    ("Host", "localhost"),
)
"""Headers by which a client pretends to be at an operator's address."""

PASSED_ON: Sequence[tuple[str, str]] = (
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-For", "127.0.0.1, 203.0.113.9"),
    ("X-Real-IP", "203.0.113.9"),
    ("Forwarded", "for=203.0.113.9;proto=https"),
    ("Forwarded", 'for="[2001:db8::9]:4711"'),
)
"""Headers by which a proxy on an operator's address says that the client is elsewhere."""


async def run_operators(trial: Trial) -> None:
    for path in OPS_PATHS[:3]:
        answer = await trial.http("GET", path, source=HOST_ADDRESS)
        trial.require(answer.status == 200, f"{path} from an operator's address: {answer.status}")
    for source, headers in ((ATTACKER_ADDRESS, PRETENDED), (HOST_ADDRESS, PASSED_ON)):
        for path in OPS_PATHS:
            for header in headers:
                answer = await trial.http("GET", path, source=source, headers=(header,))
                trial.judge(answer.status == 200, answer.status, f"{path} with {header[0]}: {header[1]}")


ATTACKS = [
    Attack("rights-calls", "every call of the API, by every role, on what belongs to others", run),
    Attack(
        "rights-operators", "metrics and readiness, with headers that name another address", run_operators
    ),
]
