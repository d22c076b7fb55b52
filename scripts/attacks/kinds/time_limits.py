"""Sockets that outlive their right: the token has ended, or the host has shut the person out."""

import asyncio

from scripts.attacks.attack import CLOSE_TIMEOUT_SECONDS, Attack, Trial
from scripts.attacks.people import HOST_ADDRESS, SERVICE, open_session, token
from scripts.attacks.raw_socket import RawSocket, UpgradeRefused

TOKEN_SECONDS = 2  # the lifetime of the tokens
EXPIRY_GRACE_SECONDS = 2  # as in the options below
END_TIMEOUT_SECONDS = 20.0  # for the sockets to close behind lifetime, leeway and grace
SHUT_OUT_TIMEOUT_SECONDS = 8.0
USER, CONSULTANT, WAITER, SUPERVISOR = 21, 22, 24, 13


async def run_expiry(trial: Trial) -> None:
    session = await open_session(trial.server, USER, CONSULTANT)

    def short(role: str, id: int) -> str:
        return token(role, id, TOKEN_SECONDS)

    sockets = {
        "/notify": await trial.socket(f"/notify?token={short('user', USER)}"),
        "/observe": await trial.socket(
            f"/observe?token={short('supervisor', SUPERVISOR)}&sessionId={trial.world.session}"
        ),
        "a user without a conversation": await trial.support("user", short("user", 26)),
        "a waiter without a conversation": await trial.support("waiter", short("waiter", WAITER)),
    }
    taking_part = await trial.socket(f"/chat?token={short('user', USER)}&sessionId={session}&type=0")
    other = await trial.socket(f"/chat?token={token('consultant', CONSULTANT)}&sessionId={session}&type=0")
    await trial.hold(taking_part, other)
    codes = await asyncio.gather(*(each.wait_closed(END_TIMEOUT_SECONDS) for each in sockets.values()))
    for name, code in zip(sockets, codes, strict=True):
        trial.judge(
            code is None, str(code), f"{name}: goes on {END_TIMEOUT_SECONDS:g} s after its token's end"
        )
    if taking_part.close_code is not None:
        trial.harmed(f"a participant of a conversation was closed with {taking_part.close_code} by the clock")
    await _try_everywhere(trial, short("user", 27), "a token that has ended", wait=TOKEN_SECONDS + 1)


async def run_revocation(trial: Trial) -> None:
    session = await open_session(trial.server, USER, CONSULTANT)
    old = token("consultant", CONSULTANT)
    sockets = {
        "/notify": await trial.socket(f"/notify?token={old}"),
        "/chat": await trial.socket(f"/chat?token={old}&sessionId={session}&type=0"),
        "a waiter's": await trial.support("waiter", token("waiter", WAITER)),
        "a user's": await trial.support("user", token("user", 26)),
    }
    for role, id in (("consultant", CONSULTANT), ("waiter", WAITER), ("user", 26)):
        body = {"role": role, "id": id}
        answer = await trial.http("POST", "/api/v1/revocations", SERVICE, body, source=HOST_ADDRESS)
        if answer.status >= 300:
            trial.got_in(f"the host cannot shut out the {role}: {answer.status}")
    codes = await asyncio.gather(*(each.wait_closed(SHUT_OUT_TIMEOUT_SECONDS) for each in sockets.values()))
    for name, code in zip(sockets, codes, strict=True):
        trial.judge(code is None, str(code), f"{name} socket of a person that is shut out goes on")
    await _try_everywhere(trial, old, "the token of a person that is shut out")


async def _try_everywhere(trial: Trial, bearer: str, what: str, wait: float = 0.0) -> None:
    await asyncio.sleep(wait)
    await asyncio.sleep(LEEWAY_SECONDS if wait else 0)
    answer = await trial.http("GET", "/api/v1/notifications", bearer)
    trial.judge(answer.status == 200, answer.status, f"{what}, in a request")
    for path in (f"/notify?token={bearer}",):
        try:
            socket: RawSocket = await trial.socket(path)
        except UpgradeRefused as error:
            trial.refused(error.status)
            continue
        code = await socket.wait_closed(CLOSE_TIMEOUT_SECONDS)
        trial.judge(code is None, str(code), f"{what}, at {path.partition('?')[0]}")


LEEWAY_SECONDS = 1  # as in the options below

ATTACKS = [
    Attack(
        "time-expiry",
        "sockets that go on after the end of their token",
        run_expiry,
        options=(f"auth.leeway={LEEWAY_SECONDS}", f"auth.expiry_grace={EXPIRY_GRACE_SECONDS}"),
    ),
    Attack("time-shut-out", "sockets and tokens of a person that the host has shut out", run_revocation),
]
