"""The export document of a person's data.

It is produced conversation by conversation, so that the export of a waiter with many conversations needs
little memory. ``docs/data.md`` describes the format; ``FORMAT_VERSION`` is raised when it changes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import peewee as pw

from tornado_chat.core.types import DEFAULT_GROUP, Conversation, Kind, Message, Person, Role, Room, Thread
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.storage import handovers, left_messages, messages, operations, person_data

FORMAT_NAME = "tornado-chat-person"
FORMAT_VERSION = 1

CHUNK_MESSAGES = 1000  # messages that are read by one query

SECTIONS: Mapping[Kind, str] = {
    Kind.SESSION: "sessions",
    Kind.RECORD: "supervisions",
    Kind.SUPPORT: "conversations",
}
"""The lists of conversations in the document, in their order."""

SELF_LABEL = "you"


class PersonData:
    """A person's data. Read them inside one transaction, so that they are consistent.

    :arg zone: IANA name of the time zone; empty for the machine's.
    :ivar counts: numbers of conversations by section.
    """

    def __init__(self, database: pw.Database, keepers: DataKeepers, person: Person, zone: str) -> None:
        self._database = database
        self._keepers = keepers
        self.person = person
        self._zone: tzinfo | None = ZoneInfo(zone) if zone else None
        self._threads = person_data.threads(database, person)
        self._marks = person_data.received_and_read(database, person)
        self._stays = person_data.stays(database, person)
        self._consents = person_data.given_consents(database, person)
        self.counts = Counter(SECTIONS[thread.kind] for thread in self._threads)

    def head(self, version: str, now: int) -> dict[str, Any]:
        """Return the first members of the document. :arg version: the server's version."""
        return {
            "format": FORMAT_NAME,
            "version": FORMAT_VERSION,
            "made": self.time(now),
            "made_by": f"tornado_chat {version}",
            "person": {"role": self.person.role.value, "id": self.person.id, "names": self._names()},
        }

    def conversations(self, kind: Kind) -> Iterator[dict[str, Any]]:
        """Yield each conversation with all its messages; other participants appear with their role only."""
        for thread in self._threads:
            if thread.kind is kind:
                yield self._conversation(thread)

    def listened(self) -> list[dict[str, Any]]:
        """Return the conversations of others that the person has observed."""
        own = set(self._threads)
        return [
            {"kind": thread.kind.name.lower(), "id": thread.id, **marks}
            for thread, marks in sorted(self._marks.items())
            if thread not in own and thread.kind is not Kind.INBOX
        ]

    def accounts(self) -> list[dict[str, Any]]:
        """Return the person's accounts on this server with their signed-in browsers, without secrets."""
        found = person_data.accounts(self._database, self.person)
        for account in found:
            for name in ("created", "signed_in", "removed"):
                account[name] = self.time(account[name])
            account["browsers"] = [
                {name: self.time(time) for name, time in browser.items()} for browser in account["browsers"]
            ]
        return found

    def handled_messages(self) -> list[dict[str, Any]]:
        """Return the left messages that the person has marked as handled."""
        return [
            {**row, "handled": self.time(row["handled"])}
            for row in person_data.handled_messages(self._database, self.person)
        ]

    def revocations(self) -> list[dict[str, Any]]:
        """Return the revocation of the person's tokens, if there is one."""
        return [
            {**row, "since": self.time(row["since"]), "until": self.time(row["until"])}
            for row in person_data.revocations(self._database, self.person)
        ]

    def handovers(self) -> list[dict[str, Any]]:
        """Return the offers of conversations by and to the person, with its own notes and those for it."""
        return [
            {
                "kind": SECTIONS[offer.thread.kind],
                "id": offer.thread.id,
                "state": offer.state.value,
                "created": self.time(offer.created),
                "settled": self.time(offer.settled),
                "by_you": self.person in (offer.source, offer.offered_by),
                "note": offer.note if self.person in (offer.source, offer.offered_by, offer.target) else None,
            }
            for offer in handovers.naming(self._database, self.person)
        ]

    def notifications(self) -> Iterator[dict[str, Any]]:
        for row in person_data.notifications(self._database, self.person):
            data = row["data"]
            yield {
                **row,
                "time": self.time(row["time"]),
                "read": self.time(row["read"]),
                "data": None if data is None else msgspec.json.decode(data),
            }

    def held_messages(self) -> list[dict[str, Any]]:
        """Return the person's messages that were held for an approval, with the decisions."""
        return [self._held(row) for row in person_data.held_messages(self._database, self.person)]

    def approvals(self) -> list[dict[str, Any]]:
        """Return the person's decisions on held messages of agents."""
        return [self._held(row) for row in person_data.approvals(self._database, self.person)]

    def _held(self, row: dict[str, Any]) -> dict[str, Any]:
        times: dict[str, Any] = {name: self.time(row[name]) for name in ("created", "decided") if name in row}
        return {**row, **times, "kind": Kind(row["kind"]).name.lower()}

    def plugins(self) -> dict[str, Mapping[str, Sequence[Mapping[str, Any]]]]:
        """Return the rows of plugins, by plugin and table."""
        return self._keepers.of_person(self._database, self.person)

    def operations(self) -> list[dict[str, Any]]:
        """Return the times of exports and erasures of the person's data."""
        return [
            {"time": self.time(each.time), "action": each.action, "state": each.state}
            for each in operations.for_person(self._database, self.person)
        ]

    def time(self, microseconds: int | None) -> str | None:
        """Return a time in ISO 8601 with milliseconds and the zone's offset."""
        if microseconds is None:
            return None
        moment = datetime.fromtimestamp(microseconds / 1_000_000, self._zone)
        return moment.astimezone(self._zone).isoformat(timespec="milliseconds")

    # --- inside ---

    def _conversation(self, thread: Thread) -> dict[str, Any]:
        found = person_data.conversation(self._database, thread)
        others = (
            []
            if found is None
            else [person for person, _ in person_data.participants_of(found) if person != self.person]
        )
        return {
            "id": thread.id,
            "others": [person.role.value for person in others],
            **({} if found is None else self._facts(found)),
            "stays": [
                {"part": stay.part.value, "joined": self.time(stay.joined), "left": self.time(stay.left)}
                for stay in self._stays.get(thread, ())
            ],
            **self._given_consents(thread),
            "received": self._marks.get(thread, {}).get("received"),
            "read": self._marks.get(thread, {}).get("read"),
            "messages": [self._message(message) for message in self._messages(thread)],
        }

    def _facts(self, found: Room | Conversation) -> dict[str, Any]:
        facts: dict[str, Any] = {"state": found.state.value, "created": self.time(found.created)}
        if isinstance(found, Room):
            if found.thread.kind is Kind.RECORD:
                facts["session" if found.about.kind is Kind.SESSION else "conversation"] = found.about.id
            facts["started"] = self.time(found.started)
        else:
            facts["assigned"] = self.time(found.assigned)
        facts["ended"] = self.time(found.ended)
        asker = found.asker if isinstance(found, Room) else found.user
        if asker.role is Role.USER:
            facts |= {"rate": found.rate, "feedback": found.feedback}
        if isinstance(found, Room) and found.appointment_id is not None:
            facts["appointment"] = found.appointment_id
        if isinstance(found, Conversation) and found.user == self.person and found.claims:
            facts["claims"] = dict(found.claims)
        if found.group != DEFAULT_GROUP:
            facts["group"] = found.group
        if isinstance(found, Conversation) and found.user == self.person:
            left = left_messages.find(self._database, found.id)
            if left is not None:
                facts["left_message"] = {"time": self.time(left.time), "handled": self.time(left.handled)}
        return facts

    def _given_consents(self, thread: Thread) -> dict[str, Any]:
        """Return the consents that the person has given in a conversation, if there are any."""
        given = [
            {
                "group": each.group,
                "version": each.version,
                "language": each.language,
                "accepted": self.time(each.accepted),
            }
            for each in self._consents.get(thread, ())
        ]
        return {"consents": given} if given else {}

    def _messages(self, thread: Thread) -> Iterator[Message]:
        last = 0
        while page := messages.after(self._database, thread, last, CHUNK_MESSAGES):
            yield from page
            last = page[-1].seq

    def _message(self, message: Message) -> dict[str, Any]:
        sender = SELF_LABEL if message.sender == self.person else message.sender.role.value
        return {
            "seq": message.seq,
            "time": self.time(message.time),
            "from": sender,
            "media": message.media,
            "text": message.text,
        }

    def _names(self) -> list[str]:
        """Return the names that the person had in conversations, without duplicates."""
        names: dict[str, None] = {}
        for thread in self._threads:
            found = person_data.conversation(self._database, thread)
            for person, name in person_data.participants_of(found) if found is not None else ():
                if person == self.person and name:
                    names[name] = None
            names |= {stay.name: None for stay in self._stays.get(thread, ()) if stay.name}
        return list(names)
