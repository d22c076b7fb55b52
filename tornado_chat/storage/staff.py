"""Accounts of the server itself, and the browser sessions in which they are signed in.

Each change that ends the right to be signed in deletes the account's sessions in the same transaction. So
every stored session belongs to an account that may sign in, with its present password.
"""

from collections.abc import Sequence
from typing import Any

import peewee as pw

from tornado_chat.core.types import Person, Role, StaffAccount
from tornado_chat.storage import models

_ACCOUNT = models.StaffAccount
_SESSION = models.StaffSession
_FIELDS = (
    _ACCOUNT.name,
    _ACCOUNT.display_name,
    _ACCOUNT.role,
    _ACCOUNT.person_id,
    _ACCOUNT.created,
    _ACCOUNT.disabled,
    _ACCOUNT.signed_in,
    _ACCOUNT.group_names,
    _ACCOUNT.trainee,
)
_NOT_REMOVED = _ACCOUNT.removed.is_null()


# Accounts


def has_accounts(database: pw.Database) -> bool:
    """Return True if there is an account, disabled or not."""
    return _ACCOUNT.select(_ACCOUNT.id).where(_NOT_REMOVED).limit(1).scalar(database) is not None


def accounts(database: pw.Database) -> list[StaffAccount]:
    """Return all accounts, sorted by name."""
    query = _ACCOUNT.select(*_FIELDS).where(_NOT_REMOVED).order_by(_ACCOUNT.name).tuples()
    return [_account(row) for row in query.execute(database)]


def find_account(database: pw.Database, name: str) -> tuple[StaffAccount, str] | None:
    """Return the account ``name`` and its password hash."""
    query = (
        _ACCOUNT.select(*_FIELDS, _ACCOUNT.password).where((_ACCOUNT.name == name) & _NOT_REMOVED).tuples()
    )
    for row in query.execute(database):
        return _account(row[:-1]), row[-1]
    return None


def account_name_of(database: pw.Database, person: Person) -> str | None:
    """Return the name of the person's account, if there is one."""
    mine = (_ACCOUNT.role == person.role.value) & (_ACCOUNT.person_id == person.id)
    name: str | None = _ACCOUNT.select(_ACCOUNT.name).where(mine & _NOT_REMOVED).scalar(database)
    return name


def removed_person(database: pw.Database, name: str) -> Person | None:
    """Return the person of the removed account ``name``, if there is one."""
    removed = (_ACCOUNT.name == name) & ~_NOT_REMOVED
    query = _ACCOUNT.select(_ACCOUNT.role, _ACCOUNT.person_id).where(removed).tuples()
    for role, id in query.execute(database):
        return Person(Role(role), id)
    return None


def gone_people(database: pw.Database, now: int) -> set[Person]:
    """Return the people who cannot sign in: their accounts are disabled or removed, or all tokens revoked.

    A person who has another account, neither disabled nor removed, is not among them.
    """
    gone: set[Person] = set()
    present: set[Person] = set()
    query = _ACCOUNT.select(_ACCOUNT.role, _ACCOUNT.person_id, _ACCOUNT.disabled, _ACCOUNT.removed).tuples()
    for role, id, disabled, removed in query.execute(database):
        (gone if disabled or removed is not None else present).add(Person(Role(role), id))
    revocation = models.Revocation
    revoked = revocation.select(revocation.person).where(revocation.all_tokens & (revocation.until > now))
    return (gone - present) | {Person.from_key(key) for (key,) in revoked.tuples().execute(database)}


def add(database: pw.Database, account: StaffAccount, password: str) -> None:
    """Store a new account; it replaces a removed account of the same name.

    :arg password: the password hash.
    """
    values = {
        "display_name": account.display_name,
        "role": account.person.role.value,
        "person_id": account.person.id,
        "password": password,
        "disabled": account.disabled,
        "created": account.created,
        "signed_in": None,
        "removed": None,
        "group_names": ",".join(account.groups) or None,
        "trainee": account.trainee or None,
    }
    replaced = (
        _ACCOUNT.update(values).where((_ACCOUNT.name == account.name) & ~_NOT_REMOVED).execute(database)
    )
    if not replaced:
        _ACCOUNT.insert(name=account.name, **values).execute(database)


def set_password(database: pw.Database, name: str, password: str) -> bool:
    """Set an account's password hash and delete its sessions. Returns False if there is no such account."""
    return _change(database, name, {"password": password})


def rehash(database: pw.Database, name: str, old: str, new: str) -> None:
    """Replace the hash ``old`` of a password by another hash of the same password."""
    _ACCOUNT.update(password=new).where((_ACCOUNT.name == name) & (_ACCOUNT.password == old)).execute(
        database
    )


def set_disabled(database: pw.Database, name: str, disabled: bool) -> bool:
    """Disable or enable an account and delete its sessions. Returns False if there is no such account."""
    return _change(database, name, {"disabled": disabled})


def set_groups(database: pw.Database, name: str, groups: Sequence[str]) -> bool:
    """Set the groups of an account and delete its sessions. Returns False if there is no such account."""
    return _change(database, name, {"group_names": ",".join(groups) or None})


def set_trainee(database: pw.Database, name: str, trainee: bool) -> bool:
    """Mark the person of an account as a trainee, or end that, and delete the account's sessions.

    Returns False if there is no such account.
    """
    return _change(database, name, {"trainee": trainee or None})


def remove(database: pw.Database, name: str, now: int) -> bool:
    """Remove an account; its row keeps the person. Returns False if there is no such account."""
    return _change(database, name, {"removed": now, "password": ""})


def _change(database: pw.Database, name: str, values: dict[str, Any]) -> bool:
    account = _ACCOUNT.select(_ACCOUNT.id).where((_ACCOUNT.name == name) & _NOT_REMOVED).scalar(database)
    if account is None:
        return False
    _ACCOUNT.update(values).where(_ACCOUNT.id == account).execute(database)
    _SESSION.delete().where(_SESSION.account == account).execute(database)
    return True


# Sessions


def open_session(
    database: pw.Database, key: str, name: str, password: str, now: int, expires: int, forget: int
) -> bool:
    """Sign an account in. Returns False if the account has changed since its password hash was read.

    :arg password: the password hash that was read.
    :arg forget: sessions that expired before this time are deleted.
    """
    _SESSION.delete().where(_SESSION.expires < forget).execute(database)
    same = (_ACCOUNT.name == name) & (_ACCOUNT.password == password) & ~_ACCOUNT.disabled & _NOT_REMOVED
    account = _ACCOUNT.select(_ACCOUNT.id).where(same).scalar(database)
    if account is None:
        return False
    _ACCOUNT.update(signed_in=now).where(_ACCOUNT.id == account).execute(database)
    _SESSION.insert(key=key, account=account, created=now, used=now, expires=expires).execute(database)
    return True


def session(database: pw.Database, key: str, now: int, idle: int) -> tuple[StaffAccount, int] | None:
    """Return the account of a session and its expiry time.

    :return: None if the session does not exist, has expired, or was not used for ``idle`` microseconds.
    """
    valid = (_SESSION.key == key) & (_SESSION.expires > now) & (_SESSION.used > now - idle)
    query = _SESSION.select(*_FIELDS, _SESSION.expires).join(_ACCOUNT).where(valid).tuples()
    for row in query.execute(database):
        return _account(row[:-1]), row[-1]
    return None


def touch_sessions(database: pw.Database, keys: Sequence[str], now: int) -> None:
    """Record that these sessions are in use."""
    _SESSION.update(used=now).where(_SESSION.key.in_(keys)).execute(database)


def existing_sessions(database: pw.Database, keys: Sequence[str]) -> set[str]:
    """Return the keys of ``keys`` that belong to sessions, expired or not."""
    query = _SESSION.select(_SESSION.key).where(_SESSION.key.in_(keys)).tuples()
    return {key for (key,) in query.execute(database)}


def close_session(database: pw.Database, key: str) -> StaffAccount | None:
    """Delete a session. Returns its account, or None if there is no such session."""
    query = _SESSION.select(*_FIELDS).join(_ACCOUNT).where(_SESSION.key == key).tuples()
    found = [_account(row) for row in query.execute(database)]
    _SESSION.delete().where(_SESSION.key == key).execute(database)
    return found[0] if found else None


def _account(row: Sequence[Any]) -> StaffAccount:
    name, display_name, role, person_id, created, disabled, signed_in, groups, trainee = row
    return StaffAccount(
        name,
        display_name,
        Person(Role(role), person_id),
        created,
        bool(disabled),
        signed_in,
        tuple(groups.split(",")) if groups else (),
        bool(trainee),
    )
