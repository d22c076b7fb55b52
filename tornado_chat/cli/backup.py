"""The commands ``backup`` and ``restore``."""

import os
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tornado_chat import config as configuration
from tornado_chat.cli.options import ConfigArguments, missing_database_text, with_config
from tornado_chat.cli.output_files import OutputFiles, require_regular, temporary_folder
from tornado_chat.cli.person_data import confirm, mysql_arguments, sqlite_file
from tornado_chat.cli.progress import progress, sigterm_as_interrupt
from tornado_chat.cli.recording import record_if_possible
from tornado_chat.core.plain_text import escape_controls

if TYPE_CHECKING:
    from peewee import SqliteDatabase

    from tornado_chat.core.types import Person
    from tornado_chat.storage.database_info import DatabaseInfo

BACKUP_NAME = re.compile(r"tornado-chat-\d{8}T\d{6}Z\.sqlite3")
"""The name of a backup in a folder: it contains the time of the backup, and sorts by it."""

REQUIRED_SPACE_FACTOR = 1.05
"""The free space that a copy requires, as a multiple of the database's size."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Make no backup: check the backup FILE, and show its contents.")
@click.option("--force", is_flag=True, help="Replace FILE if it is a backup.")
@click.option(
    "--keep",
    type=click.IntRange(1),
    help="Remove all backups in the folder FILE except the newest N.",
    metavar="N",
)
@with_config
def backup(
    config_arguments: ConfigArguments, file: Path, verify: bool, force: bool, keep: int | None
) -> None:
    """Copy the database into FILE; the server may be running.

    The copy is a consistent snapshot that contains every message acknowledged before. It is verified before
    it gets the name FILE. If FILE is a folder, the copy in it is named after the time.

    A backup contains the database only. Back up the configuration and the other files of the state
    directory separately, see docs/data.md.
    """
    config = config_arguments.load()
    if verify:
        if keep or force:
            raise click.UsageError("--verify changes nothing: remove --keep and --force")
        _print_backup(config, file, verify_backup(file))
        return
    database = sqlite_file(
        config,
        "Make a backup with:\n    mariadb-dump --single-transaction --quick --routines "
        f"{mysql_arguments(config.storage.url)} > {file}",
    )
    missing = missing_database_text(config)
    if missing:
        raise click.ClickException(missing)
    is_folder = file.is_dir()
    if keep and not is_folder:
        raise click.UsageError("--keep requires an existing folder as FILE")
    target = file / f"tornado-chat-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.sqlite3" if is_folder else file
    outputs = OutputFiles.beside_server(config)
    outputs.check_backup(target, force=force)
    _remove_abandoned(target)
    _require_space(database, target.parent)
    with sigterm_as_interrupt(), temporary_folder(target) as folder:
        new = folder / target.name
        _copy_database(database, new, "copying")
        info = verify_backup(new, shown_path=database)
        record_if_possible(config, "backup", required=False)  # before the copy gets its name
        outputs.publish_backup(new, target, force=force)
    _print_backup(config, target, info)
    _print_other_files(config, database)
    for old in _backups_to_remove(file, keep, database) if keep else ():
        old.unlink()
        click.echo(f"removed {old}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--discard",
    is_flag=True,
    help="Restore nothing: remove the databases that earlier calls have replaced, and unfinished copies.",
)
@with_config
def restore(config_arguments: ConfigArguments, file: Path | None, yes: bool, discard: bool) -> None:
    """Replace the database by the backup FILE. Stop the server first.

    The present database is kept in the same folder under another name, for [storage] keep_replaced days or
    until --discard. FILE is not changed.
    """
    from tornado_chat.cli.formatting import count_text, database_summary
    from tornado_chat.storage import database_copies, sqlite_files

    config = config_arguments.load()
    if discard == (file is not None):
        raise click.UsageError("use either FILE or --discard")
    database = sqlite_file(
        config,
        "Stop the server and restore a dump with:\n    mariadb "
        f"{mysql_arguments(config.storage.url)} < {file}",
    )
    if file is None:
        _discard(database, yes)
        return
    if os.path.lexists(database):
        require_regular(
            database, f"name the file itself: --set storage.url=sqlite:///{database.resolve().absolute()}"
        )
    if not file.is_file():
        raise click.ClickException(f"{file} is not a file")
    if sqlite_files.is_in_use(database):
        raise click.ClickException(_in_use(database))
    if database.exists() and os.path.samefile(file, database):
        raise click.UsageError(f"{file} is the database itself")
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_abandoned(database)
    _require_space(file, database.parent)
    with sigterm_as_interrupt(), temporary_folder(database) as folder:
        new = folder / database.name
        _copy_database(file, new, "copying")
        info = verify_backup(new, shown_path=file)
        if info.unknown:
            raise click.ClickException(
                f"{file} comes from a newer version (it has {', '.join(info.unknown)}): install that "
                "version first"
            )
        click.echo(f"{file}: valid backup")
        for label, text in database_summary(info, config.server.timezone):
            click.echo(f"  {label:<14} {text}")
        before = _describe(database)
        if before is not None:
            click.echo(f"{database}: the present database, to be replaced")
            for label, text in database_summary(before, config.server.timezone):
                click.echo(f"  {label:<14} {text}")
        elif database.exists():
            click.echo(f"{database}: the present database, to be replaced, cannot be read")
        confirm("Replace the database?", yes)
        erased = _find_erased_since(database, new)
        _take_over_owner(new, database)
        kept_path = database_copies.unused_replaced_name(database)
        try:
            replaced = sqlite_files.replace_database(new, database, kept_path)
        except sqlite_files.DatabaseInUse:
            raise click.ClickException(_in_use(database)) from None
        except OSError as error:
            raise click.ClickException(f"{database} cannot be replaced: {error.strerror}") from error
    click.echo(f"{database} is restored")
    record_if_possible(config, "restore", required=False)
    if replaced:
        days = config.storage.keep_replaced
        click.echo(
            f"the former database is kept as {kept_path}"
            + (f" for {count_text(days, 'day')}" if days else "")
            + "; remove it by `tornado-chat restore --discard` when the server runs well"
        )
    if info.missing:
        click.echo(
            f"the database lacks {', '.join(info.missing)}: run `tornado-chat db upgrade` before the start"
        )
    if erased:
        click.echo("these people were erased after the backup, and their data are back; erase them again:")
        for person in erased:
            id = shlex.quote(escape_controls(person.id))
            click.echo(f"    tornado-chat erase --role {person.role.value} --user {id}")


def _discard(database: Path, yes: bool) -> None:
    """Remove the replaced databases and unfinished copies beside the database."""
    from tornado_chat.cli.formatting import size
    from tornado_chat.storage import database_copies

    copies = database_copies.find_copies(database) if database.parent.is_dir() else []
    if not copies:
        click.echo(f"there is no replaced database beside {database}")
        return
    for copy in copies:
        click.echo(f"{copy.path}: {size(copy.bytes)}")
    confirm("Remove these copies permanently?", yes)
    for copy in copies:
        try:
            database_copies.remove(copy)
        except OSError as error:
            raise click.ClickException(f"{copy.path} cannot be removed: {error.strerror}") from error
    click.echo("removed")


def _in_use(database: Path) -> str:
    return f"{database} is in use: stop the server first (systemctl stop tornado-chat.socket tornado-chat)"


def _copy_database(source: Path, new: Path, label: str) -> None:
    from tornado_chat.storage import sqlite_files

    try:
        with progress(label, 1) as bar:
            sqlite_files.copy_database(source, new, bar.set_done)
    except sqlite_files.CorruptDatabase as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{new.parent} cannot take the copy: {error.strerror}") from error


def verify_backup(path: Path, shown_path: Path | None = None) -> "DatabaseInfo":
    """Check every page of the database ``path``, and describe its contents.

    :arg shown_path: the file to name in errors; ``path`` by default.
    :raises ClickException: the file is missing, damaged, not a database of tornado-chat, or has triggers,
        views or other objects that tornado-chat did not create.
    """
    from tornado_chat.storage import sqlite_files

    shown_path = shown_path or path
    if not path.is_file():
        raise click.ClickException(f"the file {shown_path} does not exist")
    try:
        with progress("verifying") as bar:
            sqlite_files.check_integrity(path, bar.tick)
    except sqlite_files.CorruptDatabase as error:
        raise click.ClickException(str(error).replace(str(path), str(shown_path))) from error
    info = _describe(path)
    if info is None or not info.migrations:
        raise click.ClickException(f"{shown_path} is not a database of tornado-chat")
    if not info.unknown:  # a newer version may have further objects; restore refuses it
        _refuse_foreign_objects(path, shown_path)
    return info


def _refuse_foreign_objects(path: Path, shown_path: Path) -> None:
    from tornado_chat.storage.foreign_objects import find_foreign_objects

    database = read_only(path)
    try:
        found = find_foreign_objects(database)
    finally:
        database.close()
    if found:
        names = escape_controls(", ".join(found))
        raise click.ClickException(
            f"{shown_path} has what tornado-chat did not create: {names}. It could change or copy what the "
            "server stores. Find out who made it, remove it from the database with sqlite3 (DROP …), and "
            "make a new backup"
        )


def _describe(path: Path) -> "DatabaseInfo | None":
    """Describe the contents of a database file. Returns None if it cannot be read."""
    import peewee

    from tornado_chat.storage import database_info

    if not path.is_file():
        return None
    database = read_only(path)
    try:
        return database_info.describe(database)
    except peewee.PeeweeException:
        return None
    finally:
        database.close()


def read_only(path: Path) -> "SqliteDatabase":
    """Open a database file in read-only mode."""
    from peewee import SqliteDatabase

    return SqliteDatabase(f"file:{_quoted(path)}?mode=ro", uri=True)


def _find_erased_since(before: Path, restored: Path) -> list["Person"]:
    """Return the people whose erasure is recorded in ``before`` and not in ``restored``."""
    import peewee

    from tornado_chat.storage import operations

    found: list[set[tuple[int, Person]]] = []
    for path in (before, restored):
        database = read_only(path)
        try:
            found.append(operations.erasures(database))
        except peewee.PeeweeException:  # an older schema, a damaged file, or no database
            found.append(set())
        finally:
            database.close()
    return sorted({person for _, person in found[0] - found[1]})


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(os.fsencode(path.absolute()))


def _print_backup(config: configuration.Config, path: Path, info: "DatabaseInfo") -> None:
    from tornado_chat.cli.formatting import database_summary, size

    if info.unknown:
        schema = f"of a newer version ({', '.join(info.unknown)})"
    elif info.missing:
        schema = f"{info.migrations[-1]}; `db upgrade` will add {', '.join(info.missing)}"
    else:
        schema = f"{info.migrations[-1]}, current"
    click.echo(f"{path}: valid backup")
    lines = [
        ("size", size(path.stat().st_size)),
        ("schema", schema),
        *database_summary(info, config.server.timezone),
    ]
    for label, text in lines:
        click.echo(f"  {label:<14} {text}")


def _print_other_files(config: configuration.Config, database: Path) -> None:
    """Print the files of the state directory that are not in the backup, but needed to restore a server."""
    own = {database.name, *(f"{database.name}{end}" for end in ("-wal", "-shm", "-journal"))}
    others = sorted(
        str(path)
        for path in (config.state_dir.iterdir() if config.state_dir.is_dir() else ())
        if path.is_file()
        and path.suffix not in (".json", ".head")  # what running servers write again and again
        and path.name not in own
        and ".replaced-" not in path.name
        and not path.name.startswith(".")
    )
    if others:
        click.echo(f"not in the backup; copy these secrets to another place: {', '.join(others)}")


def _backups_to_remove(folder: Path, keep: int, database: Path) -> list[Path]:
    backups = sorted(
        path
        for path in folder.iterdir()
        if BACKUP_NAME.fullmatch(path.name)
        and path.is_file()
        and not path.is_symlink()
        and not path.samefile(database)
    )
    return backups[:-keep]


def _remove_abandoned(target: Path) -> None:
    """Remove what killed commands have left beside ``target``."""
    from tornado_chat.storage import database_copies

    folder = target.absolute().parent
    for left in database_copies.remove_abandoned(folder) if folder.is_dir() else ():
        click.echo(f"removed {left}: a command was killed that made it")


def _require_space(source: Path, folder: Path) -> None:
    """Check the free space. :raises ClickException: ``folder`` cannot take a copy of ``source``."""
    from tornado_chat.cli.formatting import size

    try:
        info = os.statvfs(folder)
        required = source.stat().st_size * REQUIRED_SPACE_FACTOR
    except FileNotFoundError as error:  # not created here: its disk may not be mounted
        raise click.ClickException(
            f"the folder {error.filename} does not exist; create it: install -d -m 700 {error.filename}"
        ) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be used: {error.strerror}") from error
    free = info.f_bavail * info.f_frsize
    if free < required:
        raise click.ClickException(
            f"{folder} has {size(free)} free, but {size(required)} are required: free space, or use another "
            "folder"
        )


def _take_over_owner(new: Path, database: Path) -> None:
    """Give ``new`` the owner of ``database``: the operator is often root, and the server is not."""
    owner = (database if database.exists() else database.parent).stat()
    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(new, owner.st_uid, owner.st_gid)
