"""The table of revocations, and a database from before it."""

import peewee as pw

from tests.storage.test_schema import FILES
from tornado_chat.core.types import Person, Role, StaffAccount
from tornado_chat.storage import revocations, schema, staff

CHEN, WU = Person(Role.CONSULTANT, "2"), Person(Role.SUPERVISOR, "3")
NOW, HOUR = 1_700_000_000_000_000, 3_600_000_000


def test_a_revocation_replaces_the_last_one_and_removes_those_that_have_ended(database: pw.Database) -> None:
    assert revocations.add(database, WU, NOW, NOW + HOUR, False, "root") is not None
    first = revocations.add(database, CHEN, NOW, NOW + 3 * HOUR, False, "root")
    second = revocations.add(database, CHEN, NOW + HOUR, NOW + 2 * HOUR, True, "x" * 90)
    assert second is not None
    assert revocations.after(database, 0) == [second]
    assert (second.since, second.until, second.all_tokens, len(second.made_by)) == (
        NOW + HOUR,
        NOW + 2 * HOUR,
        True,
        80,
    )
    assert first is not None
    assert revocations.find(database, CHEN) == second
    assert revocations.remove(database, CHEN)
    assert not revocations.remove(database, CHEN)
    assert revocations.find(database, CHEN) is None


def test_a_revocation_signs_the_account_of_the_person_out(database: pw.Database) -> None:
    for name, person in (("chen", CHEN), ("wu", WU)):
        staff.add(database, StaffAccount(name, None, person, NOW), "hash")
        assert staff.open_session(database, f"key of {name}", name, "hash", NOW, NOW + HOUR, 0)
    revocations.add(database, CHEN, NOW, NOW + HOUR, False, "root")
    assert staff.existing_sessions(database, ["key of chen", "key of wu"]) == {"key of wu"}


def test_a_database_from_before_the_table_keeps_its_rows(database: pw.Database) -> None:
    staff.add(database, StaffAccount("chen", None, CHEN, NOW), "hash")
    database.execute_sql("DROP TABLE revocation")
    migration = next(name for name in FILES if name.endswith("_revocations"))
    database.execute_sql(f"DELETE FROM {schema.HISTORY_TABLE} WHERE name = '{migration}'")
    assert schema.upgrade(database) == [migration]
    assert [each.name for each in staff.accounts(database)] == ["chen"]
    assert revocations.add(database, CHEN, NOW, NOW + HOUR, False, "root") is not None
