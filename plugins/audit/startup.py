"""The start of the chain and of its key, with the checks against a loss of either."""

import asyncio
from pathlib import Path

import peewee as pw

from tornado_chat.plugin_api import Context, Transaction, models

from . import chain, key_file, verification

PLUGIN_NAME = "audit"
FIRST_RECORD_SECONDS = 5.0  # how long another process gets to write the first record after it made the key
POLL_SECONDS = 0.25
ATTEMPTS = 5  # of the first record: another process may write it at the same time


async def open_key(context: Context) -> bytes:
    """Return the key, and see to it that the chain has a first record.

    A missing key is created only if there are no records. Empty tables get a "break" as the first record if
    the plugin had run before, and the server has data.

    :raises ValueError: the key is lost or not valid. The message says what to do.
    """
    path = context.state_dir / key_file.KEY_FILE
    is_empty = await context.read(chain.is_empty)
    is_new = await asyncio.to_thread(_prepare_key, path, is_empty)  # waits for the disk
    key = await asyncio.to_thread(key_file.load_key, path)
    if is_empty:
        is_first_start = not await context.read(_has_run) and (
            is_new or not await context.read(verification.has_data)
        )
        if not is_first_start:
            await _wait_for_first_record(context)
        await _write_first_record(context, key, is_first_start)
    return key


def _prepare_key(path: Path, is_empty: bool) -> bool:
    """Create the key if it is missing. Return True if this call has created it."""
    if is_empty:
        return key_file.create_key(path)
    if not path.exists():
        raise ValueError(key_file.lost_text(path))
    return False


async def _wait_for_first_record(context: Context) -> None:
    """Give another process, which has created the key just now, the time to write the first record."""
    if await context.read(_has_run):
        return
    deadline = asyncio.get_running_loop().time() + FIRST_RECORD_SECONDS
    while (  # noqa: ASYNC110 - the event is in another process
        await context.read(chain.is_empty) and asyncio.get_running_loop().time() < deadline
    ):
        await asyncio.sleep(POLL_SECONDS)


async def _write_first_record(context: Context, key: bytes, is_first_start: bool) -> None:
    def write(tx: Transaction) -> None:
        if not chain.is_empty(tx.database):  # another process was first
            return
        if is_first_start or not verification.has_data(tx.database):
            chain.begin(tx.database, key, tx.now)
        else:
            chain.write_break(tx.database, key, tx.now)

    for attempt in range(ATTEMPTS):
        try:
            await context.write(write)
            return
        except Exception:
            if attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep(POLL_SECONDS)


def _has_run(database: pw.Database) -> bool:
    """Return True if the server has delivered events to the plugin before."""
    table = models.PluginCursor
    return table.select().where(table.plugin == PLUGIN_NAME).exists(database)
