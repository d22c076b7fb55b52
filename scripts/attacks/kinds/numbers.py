"""Numbers of sessions and records: chosen by callers that may not, and written in forms that do not exist."""

from typing import Any

from scripts.attacks.attack import Attack, Trial
from scripts.attacks.people import HOST_ADDRESS, SERVICE, open_session, token
from scripts.attacks.raw_socket import UpgradeRefused

CHOSEN: tuple[Any, ...] = (
    *(2**62, 2**62 - 1, 2**63 - 1, 2**63, 2**64, 10**18 - 1, 10**18, 2**53, 2**53 + 1, 2**31, 1000, 999_999),
    *(0, -1, 1.5, "1000", "4611686018427387904", True, [1000], 10**400),
)
HIGHEST = 2**63 - 1  # of the range that holds everywhere
USER, CONSULTANT = 21, 22


async def run(trial: Trial) -> None:
    guest = (await trial.http("POST", "/api/v1/guest")).json()
    people = (
        ("a user", token("user", USER), USER),
        ("a guest", guest["token"], guest["id"]),
    )
    for number in CHOSEN:
        for name, bearer, id in people:
            body = {"user_id": id, "consultant_id": CONSULTANT, "session_id": number}
            answer = await trial.http("POST", "/api/v1/sessions", bearer, body)
            got = answer.json().get("session_id") if answer.status in (200, 201) else None
            got_in = str(got) == str(number)  # the answers to people have texts
            trial.judge(got_in, answer.status, f"{name} opens the session {str(number)[:24]}")
            if answer.status >= 500:
                trial.harmed(f"the number {str(number)[:24]} is answered by {answer.status}")
    session = await open_session(trial.server, USER, CONSULTANT)
    for number in CHOSEN:
        body = {"supervisor_id": 23, "record_id": number}
        answer = await trial.http(
            "POST", f"/api/v1/sessions/{session}/supervision", token("consultant", CONSULTANT), body
        )
        got = answer.json().get("record_id") if answer.status in (200, 201) else None
        got_in = str(got) == str(number)
        trial.judge(got_in, answer.status, f"a consultant opens the record {str(number)[:24]}")
    await _check_reachable(trial, await open_session(trial.server, 31, 32), 31)
    await _check_hosts_numbers(trial)


async def _check_hosts_numbers(trial: Trial) -> None:
    """A host may choose any number of the range, and its choice does not push the server's own along."""
    for user, number in enumerate((1000, 10**18 - 1, 10**18, 2**62, HIGHEST), 41):
        body = {"user_id": user, "consultant_id": 32, "session_id": number}
        answer = await trial.http("POST", "/api/v1/sessions", SERVICE, body, source=HOST_ADDRESS)
        if answer.status == 201:
            await _check_reachable(trial, number, user)
            own = await open_session(trial.server, user + 100, 32)
            if own > number:
                trial.harmed(f"after the host's number {number} the server's own are above it: {own}")
            await _check_reachable(trial, own, user + 100)
        else:
            trial.harmed(f"the host cannot open the session {number}: {answer.status}")


async def _check_reachable(trial: Trial, session: int, user: int) -> None:
    bearer = token("user", user)
    answer = await trial.http("GET", f"/api/v1/sessions/{session}", bearer)
    if answer.status != 200:
        trial.harmed(f"the session {session} has no address: {answer.status}")
    try:
        socket = await trial.socket(f"/chat?token={bearer}&sessionId={session}&type=0")
    except UpgradeRefused as error:
        trial.harmed(f"the session {session} has no socket: {error.status}")
        return
    code = await socket.wait_closed(0.5)
    if code is not None:
        trial.harmed(f"the session {session} has no socket: it is closed with {code}")
    socket.abort()


WRITTEN = (
    *("9" * 18, "9" * 19, "9" * 400, "-1", "+4", "%2B4", "4.0", "4e0", "0x4", "%204", "4%20", "4%00", "4%0a"),
    *(
        "%D9%A4",
        "%EF%BC%94",
        "4/../4",
        "%2e%2e/4",
        "4;a=b",
        "null",
        "true",
        "[4]",
        "4,5",
        "18446744073709551620",
    ),
)


async def run_addresses(trial: Trial) -> None:
    stranger = token("user", USER)
    for text in WRITTEN:
        for path in (
            f"/api/v1/sessions/{text}",
            f"/api/v1/sessions/{text}/messages",
            f"/api/v1/sessions/{text}/export?format=json",
            f"/api/v1/supervisions/{text}/messages",
            f"/api/v1/support/conversations/{text}/messages",
            f"/api/v1/sessions/{trial.world.session}/messages?after={text}",
            f"/api/v1/sessions/{trial.world.session}/messages?limit={text}",
            f"/api/v1/notifications?after={text}",
        ):
            answer = await trial.http("GET", path, stranger)
            # A page of one's own inbox may be empty; all else belongs to others.
            is_in = answer.status < 400 and answer.status > 0 and "notifications" not in path
            trial.judge(is_in, answer.status, path)
            if answer.status >= 500:
                trial.harmed(f"{path} is answered by {answer.status}")


ATTACKS = [
    Attack("numbers-chosen", "people who choose the numbers of sessions and records", run),
    Attack("numbers-written", "numbers in addresses in forms that no number has", run_addresses),
]
