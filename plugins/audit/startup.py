"""The start of the chain and of its key, with the checks against a loss of either."""

import asyncio
from pathlib import Path

import peewee as pw

from tornado_chat.plugin_api import Context, Transaction

from . import chain, key_file, verification
from .seen_heads import HEAD_FILE, SeenHeads, load_head

FIRST_RECORD_SECONDS = 5.0  # how long another process gets to write the first record after it made the key
POLL_SECONDS = 0.25
ATTEMPTS = 5  # of the first record: another process may write it at the same time


async def open_key(context: Context, heads: SeenHeads) -> bytes:
    """Return the key, and see to it that the chain has a first record.

    A missing key is created only if there are no records. Empty tables get a "break" as the first record if
    the server has seen records, or has stored what every version of the plugin records.

    :raises OSError: the key cannot be read or written.
    :raises ValueError: the key is lost, not valid, or another one. The message says what to do.
    """
    path = context.state_dir / key_file.KEY_FILE
    is_empty = await context.read(chain.is_empty)
    is_new = await asyncio.to_thread(_prepare_key, path, is_empty)  # waits for the disk
    key = await asyncio.to_thread(key_file.load_key, path)
    if await context.read(lambda database: verification.is_other_key(database, key)):
        raise ValueError(key_file.other_text(path))
    if is_empty:
        made = key_file.made(path)
        is_first_start = heads.newest is None and (
            is_new or not await context.read(lambda database: verification.has_recorded_data(database, made))
        )
        if not is_first_start:
            await _wait_for_first_record(context)
        await _write_first_record(context, key, is_first_start, heads)
    return key


def find_start_problem(database: pw.Database, state_dir: Path) -> str:
    """Return a sentence about the key or the saved head that would prevent the start; empty: all is well."""
    path = state_dir / key_file.KEY_FILE
    try:
        load_head(state_dir / HEAD_FILE)
        key = key_file.load_key(path)
    except FileNotFoundError:
        return "" if chain.is_empty(database) else key_file.lost_text(path)
    except OSError as error:
        return f"{error.filename} cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error)
    is_other = verification.is_other_key(database, key)
    return key_file.other_text(path) if is_other else key_file.foreign_owner_text(path)


def _prepare_key(path: Path, is_empty: bool) -> bool:
    """Create the key if it is missing. Return True if this call has created it."""
    if is_empty:
        return key_file.create_key(path)
    if not path.exists():
        raise ValueError(key_file.lost_text(path))
    return False


async def _wait_for_first_record(context: Context) -> None:
    """Give another process, which has created the key just now, the time to write the first record."""
    deadline = asyncio.get_running_loop().time() + FIRST_RECORD_SECONDS
    while (  # noqa: ASYNC110 - the event is in another process
        await context.read(chain.is_empty) and asyncio.get_running_loop().time() < deadline
    ):
        await asyncio.sleep(POLL_SECONDS)


async def _write_first_record(context: Context, key: bytes, is_first_start: bool, heads: SeenHeads) -> None:
    def write(tx: Transaction) -> None:
        if not chain.is_empty(tx.database):  # another process was first
            return
        if is_first_start:
            chain.begin(tx.database, key, tx.now)
        else:
            chain.write_break(tx.database, key, tx.now, heads.newest)

    for attempt in range(ATTEMPTS):
        try:
            await context.write(write)
            return
        except Exception:
            if attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep(POLL_SECONDS)
