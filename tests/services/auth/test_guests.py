"""Guests: tokens for anonymous users, and their limits."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from tornado_chat import config
from tornado_chat.core.errors import Forbidden, TooFast
from tornado_chat.core.types import Identity, Person, Role
from tornado_chat.services.auth.client_limits import ClientLimits
from tornado_chat.services.auth.guests import Guest, Guests
from tornado_chat.services.auth.tokens import Authenticator

SECRET = b"s" * 48
AUTH = config.Auth(guests=True, guest_lifetime=600.0)


def make_guests(per_minute: int = 3, clock: Callable[[], float] = lambda: 0.0) -> Guests:
    limits = ClientLimits(config.Limits(guests_per_minute=per_minute), clock)
    return Guests(AUTH, SECRET, limits)


async def verify(guest: Guest) -> Identity:
    return await Authenticator(AUTH, SECRET, None).verify(guest.token)


@pytest.mark.gen_test
async def test_a_guest_is_a_user_whose_token_is_accepted() -> None:
    guest = make_guests().create_guest("192.0.2.1")
    assert (await verify(guest)).person == Person(Role.USER, guest.id)
    assert guest.expires_in == 600


def test_the_limit_is_per_address_and_refills_over_a_minute() -> None:
    now = [0.0]
    guests = make_guests(clock=lambda: now[0])
    ids = {guests.create_guest("192.0.2.1").id for _ in range(3)}
    assert len(ids) == 3
    with pytest.raises(TooFast):
        guests.create_guest("192.0.2.1")
    guests.create_guest("192.0.2.2")
    now[0] += 20
    guests.create_guest("192.0.2.1")
    with pytest.raises(TooFast):
        guests.create_guest("192.0.2.1")


@pytest.mark.gen_test
async def test_renewing_keeps_the_identity_and_does_not_count() -> None:
    guests = make_guests(1)
    guest = guests.create_guest("192.0.2.1")
    for _ in range(5):
        renewed = guests.renew_guest(await verify(guest))
        assert renewed.id == guest.id


def test_only_guests_are_renewed() -> None:
    guests = make_guests()
    for person in (Person(Role.USER, "1"), Person(Role.ADMIN, "1")):
        with pytest.raises(Forbidden) as refused:
            guests.renew_guest(Identity(person))
        assert refused.value.code == "no_guest"
    for role, claim in ((Role.ADMIN, True), (Role.USER, "yes")):
        with pytest.raises(Forbidden):
            guests.renew_guest(Identity(Person(role, "1"), claims={"guest": claim}))


def test_one_network_of_64_bits_counts_as_one_address() -> None:
    guests = make_guests()
    created = 0
    for n in range(199):
        with suppress(TooFast):
            guests.create_guest(f"2001:db8:1:2::{n:x}")
            created += 1
    assert created == 3
    guests.create_guest("2001:db8:1:3::1")
    with pytest.raises(TooFast) as refused:
        guests.create_guest("2001:db8:1:2:ffff:ffff:ffff:ffff")
    assert refused.value.retry_after == 20  # 3 a minute


def test_guests_can_be_switched_off_by_a_reload() -> None:
    guests = make_guests()
    assert guests.is_enabled
    guests.reconfigure(replace(AUTH, guests=False), None)
    assert not guests.is_enabled
    with pytest.raises(Forbidden) as refused:
        guests.create_guest("192.0.2.1")
    assert refused.value.code == "guests_off"
