"""Consents: who has accepted which version of a group's text in a conversation, and when."""

import peewee as pw

from tornado_chat.core.types import Consent, ConsentForm, Person, Thread
from tornado_chat.storage import models
from tornado_chat.storage.raw_sql import fetch_rows
from tornado_chat.storage.writer import Transaction

_ROWS = (
    "SELECT person, group_name, version, language, accepted FROM consent "
    "WHERE kind = ? AND number = ? ORDER BY id"
)


def of_thread(database: pw.Database, thread: Thread) -> list[Consent]:
    """Return the consents that were given in a conversation, oldest first."""
    rows = fetch_rows(database, _ROWS, thread.kind.value, thread.id)
    return [Consent(Person.from_key(person), *values) for person, *values in rows]


def accept(tx: Transaction, thread: Thread, person: Person, form: ConsentForm) -> None:
    """Store the acceptance of a form; nothing changes if its version is accepted already."""
    models.Consent.insert(
        kind=thread.kind.value,
        number=thread.id,
        person=person.key,
        group_name=form.group,
        version=form.version,
        language=form.language,
        accepted=tx.now,
    ).on_conflict_ignore().execute(tx.database)


def is_about(given: Consent, person: Person, form: ConsentForm) -> bool:
    """Return True if a consent is the person's acceptance of the version of a form, in any language."""
    return (given.person, given.group, given.version) == (person, form.group, form.version)
