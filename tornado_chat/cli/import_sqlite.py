"""``db import``: from SQLite to MySQL or MariaDB."""

from pathlib import Path

import click

from tornado_chat.cli.backup import read_only, verify_backup
from tornado_chat.cli.options import ConfigArguments, database_session, load_plugins, with_config
from tornado_chat.cli.person_data import confirm
from tornado_chat.cli.progress import progress, sigterm_as_interrupt

RETRY_HINT = "empty the database (DROP and CREATE it), mend that, and run this again; the file is as it was"


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_config
def import_(config_arguments: ConfigArguments, file: Path, yes: bool) -> None:
    """Take everything of the SQLite database FILE over into the configured, empty one.

    For those who move to MySQL or MariaDB: stop the server, name the new database in [storage] url, run
    this with the file that was the database, or a backup of it, and start the server. FILE is only read.
    """
    from tornado_chat.cli.formatting import count_text, number
    from tornado_chat.config.mysql_url import is_mysql
    from tornado_chat.storage.import_sqlite import IncompleteCopy, TargetNotEmpty, import_database

    config = config_arguments.load()
    if not is_mysql(config.storage.url):
        raise click.ClickException(
            "the configured database is a SQLite file: `tornado-chat restore` puts another in its place. To move "
            "to MySQL, name it in [storage] url first"
        )
    facts = verify_backup(file)
    if facts.missing or facts.unknown:
        raise click.ClickException(
            f"{file} has the schema of another version ({', '.join([*facts.missing, *facts.unknown])}): import a "
            "database of this one; `tornado-chat db upgrade` with the configuration that names it brings it up to date"
        )
    register = [getattr(each.plugin, "register_models", None) for each in load_plugins(config)]
    plugins = [model for each in register if each is not None for model in each()]
    known = {model._meta.table_name for model in plugins}
    left = [name for name, rows in facts.other_rows.items() if rows and name not in known]
    if left:
        click.echo(
            f"these tables are of plugins that do not run, and will be left out: {', '.join(left)}; "
            "name the plugins in [plugins] enabled to take them along",
            err=True,
        )
    confirm(f"Take {count_text(sum(facts.rows.values()), 'row')} over into {config.storage.url}?", yes)
    with database_session(config) as (database, schema):
        schema.upgrade(database)
        schema.create_missing_tables(database, plugins)
        source = read_only(file)
        try:
            with sigterm_as_interrupt(), progress("taking over", sum(facts.rows.values())) as bar:
                counts = import_database(source, database, plugins, bar.add)
        except TargetNotEmpty as error:
            raise click.ClickException(
                f"{config.storage.url} is not empty, there are rows in {error}: take one that is"
            ) from None
        except IncompleteCopy as error:
            raise click.ClickException(f"{error}; was a server running? {RETRY_HINT}") from None
        except KeyboardInterrupt:
            raise click.ClickException(f"stopped in the middle: {RETRY_HINT}") from None
        finally:
            source.close()
    for table, rows in sorted(counts.items()):
        if rows:
            click.echo(f"{number(rows):>12}  {table}")
    click.echo(f"{config.storage.url} has everything of {file}; keep the file until all is well")
