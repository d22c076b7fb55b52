"""The people of whom the server has data: participants, owners of inboxes, and accounts.

Strategy: no table has all people. Each of the tables that name people has an index on them, so the next
person after a position is found by one seek in each, however many rows a person has.
"""

import peewee as pw

from tornado_chat.core.lists import KnownPerson, ListPage
from tornado_chat.core.types import Person, Role
from tornado_chat.storage import staff
from tornado_chat.storage.erasure import ERASED_ID_PREFIX
from tornado_chat.storage.raw_sql import fetch_rows
from tornado_chat.storage.retention import REMOVED_ID

_NEXT = (
    "SELECT MIN(person) FROM participant WHERE person > ? AND person < ?",
    "SELECT MIN(owner) FROM inbox WHERE owner > ? AND owner < ?",
)
_NAME = "SELECT name FROM participant WHERE person = ? AND name IS NOT NULL ORDER BY id DESC LIMIT 1"


def page_of_people(
    database: pw.Database, role: Role, after: str | None, limit: int
) -> ListPage[KnownPerson, str]:
    """Return people of a role in the order of their ids, without those who were removed or erased.

    :arg after: ``next`` of the page before, the id of its last person; None: the first page.
    """
    accounts = {
        account.person: account.shown_name
        for account in staff.accounts(database)
        if account.person.role is role
    }
    account_keys = sorted(person.key for person in accounts)
    end = f"{role.value};"  # the character after the colon
    position = f"{role.value}:{after or ''}"
    found: list[KnownPerson] = []
    while len(found) <= limit:
        following = [fetch_rows(database, sql, position, end)[0][0] for sql in _NEXT]
        following.append(next((key for key in account_keys if key > position), None))
        keys = [key for key in following if key is not None]
        if not keys:
            return ListPage(found, None)
        position = min(keys)
        person = Person.from_key(position)
        if person.id.startswith(ERASED_ID_PREFIX):
            position = f"{role.value}:{ERASED_ID_PREFIX}g"  # behind all of them, in one step
            continue
        if person.id != REMOVED_ID:
            found.append(KnownPerson(person, accounts.get(person) or _name_of(database, person)))
    return ListPage(found[:limit], found[limit - 1].person.id)


def _name_of(database: pw.Database, person: Person) -> str | None:
    rows = fetch_rows(database, _NAME, person.key)
    return rows[0][0] if rows else None
