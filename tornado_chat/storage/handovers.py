"""Offers of hand-overs: who offers a conversation to whom, and what has become of it.

A conversation has at most one open offer. Changes are made on the row of the offer as long as it is open and
at the same candidate; each change is published.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import peewee as pw

from tornado_chat.core.errors import Conflict, NotFound
from tornado_chat.core.events import OfferChanged
from tornado_chat.core.types import Candidate, Kind, Offer, OfferState, Part, Person, Role, Thread
from tornado_chat.storage import models, participants
from tornado_chat.storage.writer import Transaction

_table = models.Handover

MAX_NOTES = 50  # the last accepted offers of an agent, among which those of its conversations are looked up


def create(
    tx: Transaction,
    thread: Thread,
    source: Person,
    offered_by: Person,
    candidates: Sequence[Candidate],
    *,
    timeout: int,
    group: str | None = None,
    note: str | None = None,
) -> Offer:
    """Offer a conversation to the first candidate, or with ``group`` to the next agent of its line.

    The caller has locked the conversation's row.

    :arg timeout: microseconds for each candidate.
    :raises Conflict: there is an open offer already.
    """
    if find_open(tx.database, thread) is not None:
        raise Conflict("handover_open")
    target = candidates[0].person if candidates else None
    number = _insert(
        tx,
        thread,
        source,
        offered_by,
        candidates,
        state=OfferState.OFFERED.value,
        target=None if target is None else target.key,
        deadline=None if target is None else tx.now + timeout,
        timeout=timeout,
        group_name=group,
        note=note,
    )
    return _publish(tx, get(tx.database, number))


def record(tx: Transaction, thread: Thread, source: Person, target: Person, note: str | None) -> Offer:
    """Record a hand-over that needed no acceptance, for its note."""
    number = _insert(
        tx,
        thread,
        source,
        source,
        [Candidate(target)],
        state=OfferState.ACCEPTED.value,
        target=target.key,
        timeout=0,
        settled=tx.now,
        note=note,
    )
    return _publish(tx, get(tx.database, number))


def _insert(
    tx: Transaction,
    thread: Thread,
    source: Person,
    offered_by: Person,
    candidates: Sequence[Candidate],
    **values: Any,
) -> int:
    targets = [[candidate.person.key, candidate.name] for candidate in candidates]
    number: int = _table.insert(
        kind=thread.kind.value,
        number=thread.id,
        source=source.key,
        offered_by=offered_by.key,
        targets=msgspec.json.encode(targets).decode(),
        place=0,
        created=tx.now,
        **values,
    ).execute(tx.database)
    return number


def accept(tx: Transaction, offer_id: int, person: Person) -> Offer:
    """Accept an offer; the caller gives the conversation to ``person`` in the same transaction.

    :raises Conflict: it is not offered to ``person`` now.
    """
    offer = get(tx.database, offer_id)
    if offer.target != person or not _change(
        tx, offer, state=OfferState.ACCEPTED.value, settled=tx.now, deadline=None
    ):
        raise Conflict("no_offer")
    return _publish(tx, get(tx.database, offer_id))


def advance(tx: Transaction, offer: Offer, answer: OfferState) -> Offer:
    """Offer a conversation to the next candidate, as the present one has declined or was too slow.

    After the last candidate, the offer has the state ``answer``. If the offer has changed since ``offer`` was
    read, it stays as it is.
    """
    place = offer.place + 1
    if place < len(offer.candidates):
        target = offer.candidates[place].person
        changes = {"place": place, "target": target.key, "deadline": tx.now + offer.timeout}
    else:
        changes = {"state": answer.value, "settled": tx.now, "deadline": None}
    if not _change(tx, offer, **changes):
        return get(tx.database, offer.id)
    return _publish(tx, get(tx.database, offer.id), former=offer.target, answer=answer)


def withdraw(tx: Transaction, offer: Offer) -> Offer:
    """Withdraw an open offer. :raises Conflict: it is not open any more."""
    if not _change(tx, offer, state=OfferState.WITHDRAWN.value, settled=tx.now, deadline=None):
        raise Conflict("no_offer")
    return _publish(tx, get(tx.database, offer.id))


def settle(tx: Transaction, thread: Thread) -> None:
    """End the open offer of a conversation that has ended, or has another agent."""
    offer = find_open(tx.database, thread)
    if offer is not None and _change(tx, offer, state=OfferState.ENDED.value, settled=tx.now, deadline=None):
        _publish(tx, get(tx.database, offer.id))


def note_assigned(tx: Transaction, thread: Thread, agent: Person) -> None:
    """Note that the line of a group has assigned a conversation that was handed to the group."""
    offer = find_open(tx.database, thread)
    if offer is not None and offer.group is not None:
        _change(tx, offer, state=OfferState.ACCEPTED.value, target=agent.key, settled=tx.now)
        _publish(tx, get(tx.database, offer.id))


# --- reading ---


def get(database: pw.Database, offer_id: int) -> Offer:
    """Return an offer. :raises NotFound: there is no such."""
    row = _table.select().where(_table.id == offer_id).dicts().first(database)
    if row is None:
        raise NotFound("no_handover")
    return _offer(row)


def find_open(database: pw.Database, thread: Thread) -> Offer | None:
    """Return the open offer of a conversation."""
    query = _table.select().where(_in_thread(thread) & (_table.state == OfferState.OFFERED.value))
    row = query.dicts().first(database)
    return None if row is None else _offer(row)


def latest(database: pw.Database, thread: Thread) -> Offer | None:
    """Return the last offer of a conversation, in whichever state it is."""
    row = _table.select().where(_in_thread(thread)).order_by(_table.id.desc()).dicts().first(database)
    return None if row is None else _offer(row)


def open_offers(database: pw.Database) -> list[Offer]:
    """Return all open offers, oldest first."""
    query = _table.select().where(_table.state == OfferState.OFFERED.value).order_by(_table.id)
    return [_offer(row) for row in query.dicts().execute(database)]


def of_person(database: pw.Database, person: Person) -> list[OfferChanged]:
    """Return the open offers to and of a person, and the last ones that the person has accepted."""
    is_open = _table.state == OfferState.OFFERED.value
    mine = (_table.target == person.key) | (_table.source == person.key) | (_table.offered_by == person.key)
    query = _table.select().where(is_open & mine).order_by(_table.id)
    accepted = (_table.state == OfferState.ACCEPTED.value) & (_table.target == person.key)
    notes = _table.select().where(accepted & _table.note.is_null(False)).order_by(_table.id.desc())
    rows = [*notes.limit(MAX_NOTES).dicts().execute(database), *query.dicts().execute(database)]
    return [shown(database, _offer(row)) for row in rows]


def shown(
    database: pw.Database,
    offer: Offer,
    *,
    time: int = 0,
    former: Person | None = None,
    answer: OfferState | None = None,
) -> OfferChanged:
    """Return an offer with the names of the people that it names, as the event of its change."""
    people = participants.of_thread(database, offer.thread)
    names = participants.names(people)
    client = next((each.person for each in people if each.part is Part.CLIENT), offer.source)
    candidates = {candidate.person: candidate.name for candidate in offer.candidates}
    found = {
        person.key: names.get(person) or candidates.get(person)
        for person in (client, offer.source, offer.offered_by, offer.target, former)
        if person is not None
    }
    return OfferChanged(offer, client, found, time, former, answer)


# --- data of a person ---


def naming(database: pw.Database, person: Person) -> list[Offer]:
    """Return all offers that name a person as an agent or candidate, oldest first."""
    key = msgspec.json.encode(person.key).decode()
    names = (_table.source == person.key) | (_table.offered_by == person.key) | _table.targets.contains(key)
    return [_offer(row) for row in _table.select().where(names).order_by(_table.id).dicts().execute(database)]


def erase(tx: Transaction, person: Person, anonymous_key: Callable[[Role], str]) -> int:
    """Replace a person in all offers, and remove their notes. Returns the number of offers.

    :arg anonymous_key: makes the key that takes the place of the person's, another one for each offer.
    """
    found = naming(tx.database, person)
    for offer in found:
        other = anonymous_key(person.role)
        keys = {person.key: other}
        targets = [
            [other, None] if candidate.person == person else [candidate.person.key, candidate.name]
            for candidate in offer.candidates
        ]
        target = None if offer.target is None else offer.target.key
        _table.update(
            source=keys.get(offer.source.key, offer.source.key),
            offered_by=keys.get(offer.offered_by.key, offer.offered_by.key),
            target=None if target is None else keys.get(target, target),
            targets=msgspec.json.encode(targets).decode(),
            note=None,
        ).where(_table.id == offer.id).execute(tx.database)
    return len(found)


# --- inside ---


def _publish(
    tx: Transaction, offer: Offer, *, former: Person | None = None, answer: OfferState | None = None
) -> Offer:
    tx.emit(shown(tx.database, offer, time=tx.now, former=former, answer=answer))
    return offer


def _change(tx: Transaction, offer: Offer, **changes: Any) -> bool:
    """Change an open offer. Returns False if it is not open, or at another candidate, any more."""
    changed: int = (
        _table.update(**changes)
        .where(
            (_table.id == offer.id)
            & (_table.state == OfferState.OFFERED.value)
            & (_table.place == offer.place)
        )
        .execute(tx.database)
    )
    return bool(changed)


def _in_thread(thread: Thread) -> Any:
    return (_table.kind == thread.kind.value) & (_table.number == thread.id)


def _offer(row: dict[str, Any]) -> Offer:
    candidates = tuple(
        Candidate(Person.from_key(key), name) for key, name in msgspec.json.decode(row["targets"])
    )
    return Offer(
        row["id"],
        Thread(Kind(row["kind"]), row["number"]),
        Person.from_key(row["source"]),
        Person.from_key(row["offered_by"]),
        candidates,
        row["group_name"],
        row["note"],
        OfferState(row["state"]),
        row["place"],
        None if row["target"] is None else Person.from_key(row["target"]),
        row["deadline"],
        row["timeout"],
        row["created"],
        row["settled"],
    )
