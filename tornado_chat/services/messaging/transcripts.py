"""The messages of a thread in chunks, for transcripts."""

from collections.abc import AsyncIterator, Sequence

from tornado_chat.core.errors import NotFound
from tornado_chat.core.types import Kind, Message, Thread
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import messages

CHUNK_MESSAGES = 500  # messages of a transcript that are in memory at the same time, at most
CHUNK_BYTES = 64 * 1024  # their size, at which a chunk ends


async def chunks_of(store: Store, thread: Thread, last_seq: int) -> AsyncIterator[Sequence[Message]]:
    """Yield the messages up to ``last_seq`` in chunks, each of which is read when it is asked for.

    :raises NotFound: the messages were removed meanwhile.
    """
    seq = 0
    while seq < last_seq:
        page, _ = await store.read(messages.page_after, thread, seq, CHUNK_MESSAGES, CHUNK_BYTES)
        chunk = [message for message in page if message.seq <= last_seq]
        if not chunk:
            is_support = thread.kind is Kind.SUPPORT
            raise NotFound("no_such_conversation" if is_support else "no_such_session", id=thread.id)
        yield chunk
        seq = chunk[-1].seq
