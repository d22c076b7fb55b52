"""Texts that deceive: they look like another person, a line of the log, or a harmless word."""

import re
import unicodedata
from collections.abc import Iterator
from functools import partial
from typing import Any

from scripts.attacks.attack import Attack, Trial
from scripts.attacks.people import HOST_ADDRESS, SERVICE, open_session, token
from scripts.attacks.raw_socket import RawSocket, SocketClosed

USER, CONSULTANT = 21, 22
ANSWER_TIMEOUT_SECONDS = 5.0
FORGED = "FORGED"
JOINERS = "\u200c\u200d"
"""Invisible, and part of names."""

NAMES = (
    *(
        "a\nb",
        "a\rb",
        "a\u2028b",
        "a\u2029b",
        "a\x85b",
        "a\0b",
        "a\tb",
        "\x1b[31mred",
        "\x9b31m",
        "a\x7fb",
        "\u0007",
    ),
    *(
        "\u202egnirts",
        "\u2066a\u2069",
        "\u200e\u200f",
        "\u061c",
        "\u200b\u200b",
        "\ufeffa",
        "\u00ad",
        "\u2060x",
    ),
    *("\u180e", "\U000e0041\U000e0042", "\ufff9a\ufffab\ufffb", " ", "", "\u3000", "x" * 5000, "é" * 64),
    *(
        "<script>alert(1)</script>",
        "'; DROP TABLE message; --",
        "{}",
        "%s%n",
        "{0.__class__}",
        "${7*7}",
        "会话已结束",
    ),
    *(
        "a\u0301" * 60,
        "😀" * 64,
        "\U0001f1e6" * 64,
        "﷽" * 64,
        "\u0e49" * 64,
        "ＡＤＭＩＮ",
        "аdmin",
        "\\u202e",
    ),
)


def hidden_characters(text: str, allowed: str = "") -> str:
    """Return the characters that no reader sees, or that change the direction or the line."""
    return "".join(
        each
        for each in text
        if each not in JOINERS + allowed and unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )


async def run_names(trial: Trial) -> None:
    """Names in tokens and in requests, as the other participant and later readers see them."""
    await trial.together(partial(_try_name, trial, number, name) for number, name in enumerate(NAMES))
    for number, name in enumerate(NAMES):
        body = {
            "user_id": 100 + number,
            "consultant_id": CONSULTANT,
            "user_name": name,
            "consultant_name": FORGED,
        }
        bearer = token("user", 100 + number)
        answer = await trial.http("POST", "/api/v1/sessions", bearer, body)
        if answer.status not in (200, 201):
            trial.refused(answer.status)
            continue
        made = answer.json()
        _judge_name(trial, made["user_name"] or "", f"user_name {ascii(name)[:40]} by the API")
        trial.judge(made["consultant_name"] == FORGED, "ignored", "a visitor names its counsellor")
    for name in NAMES[:12]:
        body = {"user_id": 300, "consultant_id": CONSULTANT, "user_name": name, "consultant_name": name}
        answer = await trial.http("POST", "/api/v1/sessions", SERVICE, body, source=HOST_ADDRESS)
        made = answer.json() if answer.status in (200, 201) else {}
        for key in ("user_name", "consultant_name"):
            _judge_name(trial, made.get(key) or "", f"{key} {ascii(name)[:40]} by the host")


async def _try_name(trial: Trial, number: int, name: str) -> None:
    """Enter a session under a name, and judge the other participant's view."""
    user, consultant = 500 + number, 600 + number
    session = await open_session(trial.server, user, consultant)
    path = f"/chat?sessionId={session}&type=0&token="
    other = await trial.socket(path + token("consultant", consultant))
    await other.receive_json()
    await trial.socket(path + token("user", user, name=name))
    _judge_name(trial, (await other.receive_json())["msg"], f"the name {ascii(name)[:40]} in a token")


def _judge_name(trial: Trial, shown: str, what: str) -> None:
    hidden = hidden_characters(shown)
    trial.judge(
        bool(hidden) or len(shown) > 200, "cleaned", f"{what} shows {hidden!a}, {len(shown)} characters"
    )


# --- transcripts ---

LINE_BREAKS = (
    "\n",
    "\r\n",
    "\r",
    "\n\n\n",
    "\u2028",
    "\u2029",
    "\x85",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
)


def forged_messages() -> Iterator[str]:
    """Yield messages with a second line that looks like one of the counsellor's."""
    for line_break in LINE_BREAKS:
        for stamp in ("2026-11-30 10:00:00 +08:00  ", "2026-11-30T10:00:00  ", ""):
            yield f"hello{line_break}{stamp}{FORGED}: take more pills"
    yield f"a\x1b[2K\x1b[1G2026-11-30 10:00:00  {FORGED}: b"
    yield f"a\b\b\b\b{FORGED}: b"
    yield f"a\0{FORGED}"
    yield f"\u202e{FORGED}\u202c"


async def run_transcripts(trial: Trial) -> None:
    session = await open_session(trial.server, USER, CONSULTANT, consultant_name=FORGED)
    sender = await trial.socket(f"/chat?token={token('user', USER)}&sessionId={session}&type=0&features=ack")
    messages = [*forged_messages(), "<script>alert(1)</script>", "<img src=x onerror=alert(1)>"]
    for number, text in enumerate(messages):
        await sender.send_json({"msg": text, "id": f"{number}"})
    await _wait_for_ack(sender, f"{len(messages) - 1}")
    path = f"/api/v1/sessions/{session}/export?format="
    bearer = token("consultant", CONSULTANT)
    text = (await trial.http("GET", f"{path}txt", bearer)).body.decode()
    # A line of the transcript begins with a time and a name. Further lines of a message are indented.
    forged = [line for line in text.splitlines() if re.match(r"(\d[\d\-+T: ]*)?FORGED", line)]
    for number in range(len(messages)):
        trial.judge(number < len(forged), "indented", f"a forged line: {forged[number : number + 1]!a}")
    hidden = hidden_characters(text, allowed="\n\t")
    trial.judge(bool(hidden), "shown", f"control characters in a text: {ascii(hidden)[:60]}")
    page = (await trial.http("GET", f"{path}html", bearer)).body.decode()
    for tag in ("<script>alert", "<img src=x"):
        trial.judge(tag in page, "escaped", f"{tag} in a transcript as HTML")
    answer = await trial.http("GET", f"{path}json", bearer)
    kept = [line["msg"] for line in answer.json()["messages"]]
    trial.require(messages[0] in kept, "the transcript as JSON lacks the messages as they were")


async def _wait_for_ack(socket: RawSocket, id: str) -> None:
    while True:
        frame = await socket.receive_json(ANSWER_TIMEOUT_SECONDS)
        if frame.get("ack") == id or frame.get("id") == id:
            return


# --- the log ---


async def run_log(trial: Trial) -> None:
    """Put lines and control characters into the log by everything that is logged of a client."""
    bad = f"x%0a{FORGED} ERROR%1b[2J"
    raw = f"x\x1b[2J{FORGED}\x9b"
    for path in (
        f"/{bad}",
        f"/chat?token={bad}&sessionId=1",
        f"/notify?token=a&features={bad}",
        f"/api/v1/{bad}",
    ):
        answer = await trial.http("GET", path)
        trial.refused(answer.status)
    for name in (
        "Origin",
        "User-Agent",
        "X-Forwarded-For",
        "Referer",
        "X-Request-Id",
        "Cookie",
        "traceparent",
    ):
        for value in (raw, f"x{FORGED}\u2028y", "\u202ex", "x" * 5000):
            answer = await trial.http("GET", "/notify", headers=[(name, value), ("Upgrade", "websocket")])
            trial.refused(answer.status)
    for value in (f"a\n{FORGED} ERROR", f"a\u2028{FORGED}", "\x1b[2J", "a" * 5000):
        body: dict[str, Any] = {"name": value, "password": value}
        answer = await trial.http("POST", "/api/v1/staff/session", None, body)
        trial.refused(answer.status)
        bearer = token("user", USER, name=value, jti=value, sub=value)
        socket = await trial.socket(f"/notify?token={bearer}")
        await socket.close(4000)
        trial.refused("cleaned")
    lines = trial.server.log.splitlines()
    for line in lines:
        if line.startswith(FORGED):
            trial.got_in(f"a line of its own in the log: {line[:80]}")
        elif hidden_characters(line, allowed="\t"):
            trial.got_in(f"control characters in the log: {ascii(line)[:120]}")


# --- the word filter ---

DISGUISED = (
    *(
        "赌博",
        "赌 博",
        "赌\n博",
        "赌\u200b博",
        "赌\u200d博",
        "赌★博",
        "赌😀博",
        "赌👨\u200d👩\u200d👧博",
        "赌\ufe0f博",
    ),
    *(
        "赌🇨🇳博",
        "赌1\ufe0f\u20e3博",
        "賭博",
        "赌\u0301博",
        "赌\u3000博",
        "赌\u00ad博",
        "赌\u202e博",
        "赌\U000e0041博",
    ),
    *("赌...博", "赌🏽博", "赌❤\ufe0f博", "赌\u2063博", "赌\u115f博", "赌\u3164博", "赌\u0640博"),
    *(
        "casino",
        "CASINO",
        "c a s i n o",
        "c.a-s_i*n/o",
        "ｃａｓｉｎｏ",
        "𝐜𝐚𝐬𝐢𝐧𝐨",
        "ⓒⓐⓢⓘⓝⓞ",
        "🅒🅐🅢🅘🅝🅞",
        "cásïñô",
    ),
    *(
        "са\u0455ino",
        "cаsino",
        "casinо",
        "caѕino",
        "cаsіnо",
        "casιno",
        "casinο",
        "ᴄᴀsɪɴᴏ",
        "cas\u0640ino",
        "ca\u00adsino",
    ),
    *("c\u0336a\u0336s\u0336i\u0336n\u0336o", "c😀a😀s😀i😀n😀o", "ca\u2060sino", "ℂ𝔸𝕊𝕀ℕ𝕆", "ᶜᵃˢⁱⁿᵒ"),
)


async def run_filter(trial: Trial) -> None:
    session = await open_session(trial.server, USER, CONSULTANT)
    sender = await trial.socket(f"/chat?token={token('user', USER)}&sessionId={session}&type=0&features=ack")
    await sender.send_json({"msg": "a harmless message", "id": "good"})
    trial.require(await _is_stored(sender, "good"), "a harmless message is refused")
    for number, text in enumerate(DISGUISED):
        await sender.send_json({"msg": f"come to {text} now", "id": f"w{number}"})
        trial.judge(await _is_stored(sender, f"w{number}"), "blocked", f"{text} as {text!a}")


async def _is_stored(socket: RawSocket, id: str) -> bool:
    """Return True if the message with this id is acknowledged, False if it is refused."""
    try:
        while True:
            frame = await socket.receive_json(ANSWER_TIMEOUT_SECONDS)
            if frame.get("ack") == id:
                return True
            if frame.get("isSystem") and frame.get("id") == id:
                return False
    except SocketClosed:
        return False


ATTACKS = [
    Attack(
        "text-names", "names with control characters, other directions, or a thousand characters", run_names
    ),
    Attack("text-transcripts", "messages that look like lines of another person", run_transcripts),
    Attack("text-log", "lines and control characters in the log", run_log),
    Attack("text-filter", "blocked words in disguise", run_filter),
]
