"""The command ``db import``: copies a SQLite database to MySQL or MariaDB."""

from pathlib import Path

import click

from tornado_chat.cli.backup import read_only, verify_backup
from tornado_chat.cli.options import (
    ConfigArguments,
    database_session,
    load_plugins,
    plugin_faults,
    with_config,
)
from tornado_chat.cli.person_data import confirm
from tornado_chat.cli.progress import progress, sigterm_as_interrupt

RETRY_HINT = "solve the problem, empty the database (DROP and CREATE it), and run the command again"


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_config
def import_(config_arguments: ConfigArguments, file: Path, yes: bool) -> None:
    """Copy a SQLite database into an empty MySQL database.

    To move to MySQL or MariaDB: stop the server, set [storage] url to the new, empty database, run this
    command with the former database file or a backup of it as FILE, and start the server. FILE is not
    changed.
    """
    from tornado_chat.cli.formatting import count_text, number
    from tornado_chat.config.mysql_url import is_mysql
    from tornado_chat.plugins.registration import collect_models
    from tornado_chat.storage.import_sqlite import IncompleteCopy, TargetNotEmpty, import_database

    config = config_arguments.load()
    if not is_mysql(config.storage.url):
        raise click.ClickException(
            "the configured database is a SQLite file: `tornado-chat restore` replaces it by a backup. To "
            "move to MySQL, first set [storage] url to the new database"
        )
    info = verify_backup(file)
    if info.missing or info.unknown:
        raise click.ClickException(
            f"{file} has the schema of another version ({', '.join([*info.missing, *info.unknown])}). "
            "Upgrade it with `tornado-chat db upgrade` and a [storage] url that names it, then import it"
        )
    with plugin_faults():
        plugin_models = collect_models(load_plugins(config))
    known = {model._meta.table_name for model in plugin_models}
    unknown = [name for name, rows in info.other_rows.items() if rows and name not in known]
    if unknown:
        click.echo(
            f"these tables belong to plugins that are not enabled, and are left out: {', '.join(unknown)}; "
            "add the plugins to [plugins] enabled to import their tables",
            err=True,
        )
    confirm(f"Import {count_text(sum(info.rows.values()), 'row')} into {config.storage.url}?", yes)
    with database_session(config) as (database, schema):
        schema.upgrade(database)
        schema.create_missing_tables(database, plugin_models)
        source = read_only(file)
        try:
            with sigterm_as_interrupt(), progress("importing", sum(info.rows.values())) as bar:
                counts = import_database(source, database, plugin_models, bar.add)
        except TargetNotEmpty as error:
            raise click.ClickException(
                f"{config.storage.url} is not empty, it has rows in {error}: use an empty database"
            ) from None
        except IncompleteCopy as error:
            raise click.ClickException(f"{error}; make sure that no server uses FILE: {RETRY_HINT}") from None
        except KeyboardInterrupt:
            raise click.ClickException(f"interrupted: {RETRY_HINT}") from None
        finally:
            source.close()
    for table, rows in sorted(counts.items()):
        if rows:
            click.echo(f"{number(rows):>12}  {table}")
    click.echo(f"{file} is imported into {config.storage.url}; keep the file until the server runs well")
