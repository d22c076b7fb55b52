"""The data keepers of the bundled plugins: export, erasure and retention."""

from collections.abc import Iterator
from pathlib import Path

import peewee as pw
import pytest
from tornado_chat_plugins.audit import chain, key_file, verification
from tornado_chat_plugins.audit.key_file import KEY_FILE
from tornado_chat_plugins.keyword_filter.alert_queries import KeywordFilterAlert, KeywordFilterNotified

from tests.storage.conftest import NOW, database, database_file, transact
from tests.storage.people import CHEN, DAY, LIN, WU, build_sample
from tornado_chat.config.loader import load
from tornado_chat.data_management.erasure import Erasure
from tornado_chat.data_management.operation_log import OperationRecorder
from tornado_chat.data_management.pruning import prune
from tornado_chat.plugins import discovery
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.plugins.registration import collect_keepers
from tornado_chat.storage import schema
from tornado_chat.storage.deliveries import DEAD, WAITING
from tornado_chat.storage.models import PluginDelivery

__all__ = ["database", "database_file"]

LATER = NOW + 10 * DAY


@pytest.fixture
def keepers(database: pw.Database, tmp_path: Path) -> Iterator[DataKeepers]:
    loaded = discovery.load_plugins(
        load(None, ["plugins.enabled=audit, keyword_filter, notify, queue_policy"], {"HOME": "/"})
    )
    for each in loaded:
        register = getattr(each.plugin, "register_models", None)
        schema.create_missing_tables(database, list(register()) if register else [])
    keepers = collect_keepers(loaded, tmp_path)
    yield keepers
    assert keepers.failed == set()


@pytest.fixture
def key(tmp_path: Path, database: pw.Database, keepers: DataKeepers) -> bytes:
    key_file.create_key(tmp_path / KEY_FILE)
    key = key_file.load_key(tmp_path / KEY_FILE)
    chain.begin(database, key, NOW)
    return key


def erase(database: pw.Database, keepers: DataKeepers, person: object) -> Erasure:
    erasure = Erasure(database, keepers, person, "[erased]")  # type: ignore[arg-type]
    erasure.run(lambda done, total: None)
    return erasure


def alert(database: pw.Database, thread: object, person: object) -> None:
    kind, id = thread  # type: ignore[misc]
    new = KeywordFilterAlert.insert(
        kind=kind, thread_id=id, seq=1, list="crisis.txt", created=NOW, stage="admin"
    ).execute(database)
    KeywordFilterNotified.insert(alert=new, notification=1, person=person.key).execute(database)  # type: ignore[attr-defined]


def delivery(database: pw.Database, recipient: object, state: str, id: int) -> None:
    PluginDelivery.insert(
        plugin="gone", outbox="o", target="t", item=id, order_key="", shown="https://x", event_id="e",
        recipient=recipient.key,  # type: ignore[attr-defined]
        body="{}", state=state, next_at=NOW, since=NOW, created=NOW,
    ).execute(database)  # fmt: skip


def test_alerts(database: pw.Database, keepers: DataKeepers) -> None:
    sample = build_sample(database)
    alert(database, sample.session, WU)
    assert keepers.of_person(database, LIN)["keyword_filter"] == {
        "keyword_filter_alert": [
            {
                "kind": 1,
                "thread_id": sample.session.id,
                "seq": 1,
                "list": "crisis.txt",
                "created": NOW,
                "acknowledged": None,
            }
        ]
    }
    assert list(keepers.of_person(database, WU)["keyword_filter"]) == ["keyword_filter_notified"]
    assert erase(database, keepers, LIN).kept == {}, "an alert must not be linked to the erased sender"
    assert KeywordFilterAlert.select().count(database) == 1
    erase(database, keepers, WU)
    assert KeywordFilterNotified.select().count(database) == 0
    alert(database, sample.record, WU)
    counts = prune(database, keepers, LATER, lambda: None)
    assert (counts["keyword_filter_alert"], counts["keyword_filter_notified"]) == (2, 1)
    assert KeywordFilterAlert.select().count(database) == 0


def test_deliveries(database: pw.Database, keepers: DataKeepers) -> None:
    build_sample(database)
    for id, (person, state) in enumerate(((LIN, WAITING), (LIN, DEAD), (CHEN, DEAD), (CHEN, WAITING))):
        delivery(database, person, state, id)
    assert len(keepers.of_person(database, LIN)["deliveries"]["plugin_delivery"]) == 2
    erase(database, keepers, LIN)
    assert PluginDelivery.select().count(database) == 2
    assert prune(database, keepers, NOW, lambda: None)["plugin_delivery"] == 0
    assert prune(database, keepers, LATER, lambda: None)["plugin_delivery"] == 1
    assert PluginDelivery.select().count(database) == 1, "a waiting delivery stays"


def test_the_audit_keeps_its_records_and_chains_the_operations(
    database: pw.Database, keepers: DataKeepers, key: bytes
) -> None:
    sample = build_sample(database)
    chain.append(database, key, chain.AuditEntry(LIN.key, "joined", 1, sample.session.id), NOW)
    recorder = OperationRecorder(database, keepers, "erase", LIN)
    recorder.record_state("begun")
    erasure = erase(database, keepers, LIN)
    assert erasure.kept == {"audit_record": 1}
    recorder.record_state("done", {"message": 3})
    assert verification.verify(database, key) is None
    records = list(chain.AuditRecord.select().order_by(chain.AuditRecord.number).execute(database))
    assert [record.action for record in records[1:]] == ["joined", "erase begun", "erase done"]
    assert records[2].actor == recorder.operator


def test_the_export_has_audit_records_that_name_the_person(
    database: pw.Database, keepers: DataKeepers, key: bytes
) -> None:
    for detail in (f"{LIN.key} with {CHEN.key}", f"{LIN.key}9 with {CHEN.key}"):
        entry = chain.AuditEntry("admin:9", "opened session", 1, 4)
        chain.append(database, key, entry, NOW, detail)
    found = keepers.of_person(database, LIN)["audit"]["audit_detail"]
    assert [row["text"] for row in found] == [f"{LIN.key} with {CHEN.key}"]


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE data_operation SET person = 'user:9'",
        "UPDATE data_operation SET counts = '{}' WHERE id = 2",
        "DELETE FROM data_operation WHERE id = 2",
    ],
)
def test_an_operation_cannot_be_changed_unnoticed(
    database: pw.Database, keepers: DataKeepers, key: bytes, tampering: str
) -> None:
    recorder = OperationRecorder(database, keepers, "export", LIN)
    recorder.record_state("begun")
    recorder.record_state("done", {"sessions": 1})
    assert verification.verify(database, key) is None
    database.execute_sql(tampering)
    assert verification.verify(database, key) is not None


def test_an_operation_that_cannot_be_recorded_is_not_done(
    database: pw.Database, keepers: DataKeepers, tmp_path: Path
) -> None:
    recorder = OperationRecorder(database, keepers, "erase", LIN)
    with pytest.raises(ValueError, match="start the server with the plugin once"):
        recorder.record_state("begun")
    assert not (tmp_path / KEY_FILE).exists(), "the server could not read a key created by root"
    assert (
        transact(
            database, lambda tx: tx.database.execute_sql("SELECT count(*) FROM data_operation").fetchone()[0]
        )[0]
        == 0
    )
