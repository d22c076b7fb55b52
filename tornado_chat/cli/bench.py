"""The command ``bench``: measures this installation on this machine."""

import click

from tornado_chat.bench.jobs import JOBS, run_job


@click.command()
@click.argument("jobs", nargs=-1, type=click.Choice(list(JOBS)))
@click.option("--rounds", default=3, show_default=True, help="Alternating rounds of each job.")
@click.option(
    "--storage",
    metavar="URL",
    default="",
    help="Measure relay also on this MySQL database: mysql://…",
)
def bench(jobs: tuple[str, ...], rounds: int, storage: str) -> None:
    """Compare the speed of this server with plain Tornado.

    A table is printed for each of JOBS, by default for all. The servers that are measured are started for
    it, on temporary databases; other programs on this machine are not touched, but distort the results. The
    messages in the database of --storage stay there, so use an empty one. Compare ratios within one run,
    not times of different machines.
    """
    for name in jobs or JOBS:
        more = {"storage": storage} if storage and name == "relay" else {}
        for line in run_job(name, rounds, **more):
            click.echo(line)
        click.echo()
