"""The command ``export``: writes all data of one person into files."""

import os
import zipfile
from pathlib import Path

import click

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.cli.options import ConfigArguments, with_config
from tornado_chat.cli.output_files import OutputFiles, temporary_folder
from tornado_chat.cli.person_data import (
    open_person_data,
    person_options,
    require_known,
    unknown_tables,
    unknown_tables_text,
)
from tornado_chat.cli.progress import progress, sigterm_as_interrupt
from tornado_chat.core.types import Person, Role

SECTION_NOUNS = (
    ("sessions", "session"),
    ("supervisions", "supervision record"),
    ("conversations", "support conversation"),
)


@click.command()
@person_options
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder to create, or a file name that ends in .zip.",
)
@with_config
def export(config_arguments: ConfigArguments, id: str, role: str, output: Path) -> None:
    """Export all data of one person into files.

    person.html is for reading, person.json is for programs. Their contents are those that GDPR art. 15 and 20
    and PIPL art. 45 require: conversations with all their messages, ratings, notifications, receipts, and the
    data of plugins. Other people are named by their role only. The export is recorded.
    """
    from importlib.metadata import version

    from tornado_chat.cli.formatting import count_text
    from tornado_chat.data_management import person_files
    from tornado_chat.data_management.operation_log import OperationRecorder
    from tornado_chat.data_management.person_export import PersonData
    from tornado_chat.storage.database_copies import UNPACKED_EXPORT, remove_abandoned

    config = config_arguments.load()
    person = Person(Role(role), id)
    outputs = OutputFiles.beside_server(config)
    is_archive = output.suffix == ".zip"
    (outputs.check_new if is_archive else outputs.check_new_folder)(output)
    with open_person_data(config) as (database, keepers), sigterm_as_interrupt():
        require_known(database, keepers, person)
        parent = output.absolute().parent
        try:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in remove_abandoned(parent):
                click.echo(f"removed {left}: a command was killed that made it")
        except OSError as error:
            raise click.ClickException(f"{output} cannot be created: {error.strerror}") from error
        try:
            with temporary_folder(output) as folder:
                unfinished = folder / UNPACKED_EXPORT
                unfinished.mkdir(mode=0o700)
                with database.atomic():  # a consistent snapshot
                    person_data = PersonData(database, keepers, person, config.server.timezone)
                    with progress("exporting", person_data.counts.total()) as bar:
                        person_files.write(
                            person_data,
                            unfinished,
                            config.server.language,
                            version("tornado_chat"),
                            now_microseconds(),
                            bar.add,
                        )
                if keepers.failed:
                    raise click.ClickException(
                        f"nothing was exported: these plugins failed: {', '.join(sorted(keepers.failed))}"
                    )
                try:
                    OperationRecorder(database, keepers, "export", person).record_state(
                        "done", person_data.counts
                    )
                except ValueError as error:
                    raise click.ClickException(
                        f"nothing was exported: the operation cannot be recorded: {error}"
                    ) from error
                if is_archive:
                    outputs.publish_new(_pack(unfinished), output)
                else:
                    outputs.check_new_folder(output)
                    unfinished.rename(output)
        except OSError as error:
            raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
        unknown = unknown_tables(database, config)
    summary = ", ".join(
        count_text(person_data.counts[name], noun) for name, noun in SECTION_NOUNS if person_data.counts[name]
    )
    click.echo(f"{output}: all data of {role} {id}: {summary or 'no conversation'}")
    if unknown:
        click.echo(unknown_tables_text(unknown), err=True)


def _pack(folder: Path) -> Path:
    """Pack the files of a folder into an archive beside it, and return the archive's path."""
    from tornado_chat.storage.database_copies import PACKED_EXPORT

    packed = folder.parent / PACKED_EXPORT
    descriptor = os.open(packed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return packed
