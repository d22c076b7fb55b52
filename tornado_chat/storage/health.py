"""Whether the database takes writes."""

from tornado_chat.storage.models import Receipt
from tornado_chat.storage.writer import Transaction


def probe(tx: Transaction) -> None:
    """Really write something: only that tells a full disk from a healthy one."""
    query = Receipt.replace(kind=0, thread_id=0, reader="probe", seq=tx.now)  # type: ignore[no-untyped-call]
    query.execute(tx.database)
