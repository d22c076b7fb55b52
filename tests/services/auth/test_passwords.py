"""The rules for passwords, and the limits on computing their hashes."""

import asyncio

import pytest
from argon2 import PasswordHasher

from tests.helpers.accounts import CHEAP, HASH, PASSWORD
from tornado_chat.core.errors import Unavailable
from tornado_chat.services.auth import passwords
from tornado_chat.services.auth.passwords import (
    MAX_WAITING_HASHES,
    Passwords,
    WeakPassword,
    check_strength,
    generate,
)


@pytest.mark.parametrize(
    "password",
    ["correct horse", "密码要够长才行，十个字", "          x y z", "0" * 1021 + "abc", "aaaaaaaaa bcd"],
)
def test_any_password_of_sufficient_length_is_accepted(password: str) -> None:
    check_strength(password, "chen", None)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "at least 10"),
        ("密码要够长才行", "at least 10"),
        ("x" * 1000 + "abc" * 10, "at most 1024"),
        ("ChenXiaoMing", "the name itself"),
        ("陈小明老师陈小明老师", "the name itself"),
        ("abcabcabcabc", "fewer than 4"),
        ("Password123", "most common passwords"),
    ],
)
def test_short_and_easily_guessed_passwords_are_refused(password: str, reason: str) -> None:
    with pytest.raises(WeakPassword, match=reason):
        check_strength(password, "chenxiaoming", "陈小明老师陈小明老师")


def test_the_common_passwords_are_long_enough_and_case_folded() -> None:
    assert all(
        len(each) >= passwords.MIN_PASSWORD_CHARS and each == each.casefold()
        for each in passwords.COMMON_PASSWORDS
    )


def test_generated_passwords_are_accepted_and_differ() -> None:
    made = {generate() for _ in range(50)}
    assert len(made) == 50
    for each in made:
        check_strength(each)


@pytest.mark.gen_test
async def test_a_password_matches_its_own_hash_only() -> None:
    with_cheap = Passwords(CHEAP)
    assert await with_cheap.matches(PASSWORD, HASH)
    assert not await with_cheap.matches(PASSWORD + " ", HASH)
    assert not await with_cheap.matches(PASSWORD, None)
    assert not await with_cheap.matches(PASSWORD, "")  # of an account that was removed
    composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
    assert await with_cheap.matches(decomposed, await with_cheap.hash(composed))
    assert not with_cheap.needs_rehash(HASH)
    assert Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)).needs_rehash(HASH)
    with_cheap.close()


def test_the_parameters_are_those_of_rfc_9106() -> None:
    made = Passwords().hash_blocking(PASSWORD)
    assert made.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert made != Passwords().hash_blocking(PASSWORD)


@pytest.mark.gen_test
async def test_too_many_comparisons_are_refused_and_the_loop_stays_free() -> None:
    busy = Passwords(CHEAP)
    held = asyncio.Event()
    loop = asyncio.get_running_loop()
    blockers = [
        loop.run_in_executor(busy._pool, lambda: asyncio.run_coroutine_threadsafe(held.wait(), loop).result())
        for _ in range(passwords.THREADS)
    ]
    waiting = [asyncio.ensure_future(busy.matches(PASSWORD, HASH)) for _ in range(MAX_WAITING_HASHES)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await busy.matches(PASSWORD, HASH)
    held.set()
    assert all(await asyncio.gather(*waiting))
    await asyncio.gather(*blockers)
    assert await busy.matches(PASSWORD, HASH)
    busy.close()
