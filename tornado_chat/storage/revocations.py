"""Revocations: persons whose tokens are refused until a time."""

from typing import Any

import peewee as pw

from tornado_chat.core.types import Person, Revocation
from tornado_chat.storage import models

MAX_REVOCATIONS = 10_000
"""Revocations at a time; each process has all of them in memory."""

_TABLE = models.Revocation


def add(
    database: pw.Database, person: Person, now: int, until: int, all_tokens: bool, made_by: str
) -> Revocation | None:
    """Store a revocation, which replaces an earlier one of the person, and remove those that have ended.

    The account sessions of the person end, too: their cookies would get new tokens. Returns None, and stores
    nothing, if there are ``MAX_REVOCATIONS`` already.

    :arg now: tokens that were issued before this time are refused; microseconds since 1970, like ``until``.
    """
    remove_ended(database, now)
    if _TABLE.select().where(_TABLE.person != person.key).count(database) >= MAX_REVOCATIONS:
        return None
    # Not deleted and inserted: two processes may revoke the tokens of one person at the same time.
    values = {"since": now, "until": until, "all_tokens": all_tokens, "made_by": made_by[:80]}
    if not _TABLE.update(**values).where(_TABLE.person == person.key).execute(database):
        _TABLE.insert(person=person.key, **values).on_conflict_ignore().execute(database)
    account, session = models.StaffAccount, models.StaffSession
    mine = (account.role == person.role.value) & (account.person_id == person.id)
    accounts = [id for (id,) in account.select(account.id).where(mine).tuples().execute(database)]
    session.delete().where(session.account.in_(accounts)).execute(database)
    return find(database, person)


def find(database: pw.Database, person: Person) -> Revocation | None:
    """Return the revocation of the person, ended or not."""
    return next(iter(_fetch(database, _TABLE.person == person.key, 1)), None)


def remove(database: pw.Database, person: Person) -> bool:
    """Remove the revocation of the person. Returns False if there is none."""
    return bool(_TABLE.delete().where(_TABLE.person == person.key).execute(database))


def remove_ended(database: pw.Database, now: int) -> None:
    _TABLE.delete().where(_TABLE.until <= now).execute(database)


def after(database: pw.Database, id: int, limit: int = 2 * MAX_REVOCATIONS) -> list[Revocation]:
    """Return at most ``limit`` revocations with an id above ``id``, oldest first, ended ones too."""
    return _fetch(database, _TABLE.id > id, limit)


def _fetch(database: pw.Database, condition: Any, limit: int) -> list[Revocation]:
    columns = (_TABLE.id, _TABLE.person, _TABLE.since, _TABLE.until, _TABLE.all_tokens, _TABLE.made_by)
    query = _TABLE.select(*columns).where(condition).order_by(_TABLE.id).limit(limit).tuples()
    return [
        Revocation(id, Person.from_key(key), since, until, bool(all_tokens), made_by)
        for id, key, since, until, all_tokens, made_by in query.execute(database)
    ]
