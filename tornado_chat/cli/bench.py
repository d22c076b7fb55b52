"""``tornado-chat bench``: how fast this installation is on this machine."""

import click

from tornado_chat.bench.jobs import JOBS, lines


@click.command()
@click.argument("jobs", nargs=-1, type=click.Choice(list(JOBS)))
@click.option("--rounds", default=3, show_default=True, help="Alternating rounds of each job.")
@click.option(
    "--storage",
    metavar="URL",
    default="",
    help="A MySQL database for relay to be measured on, too: mysql://…",
)
def bench(jobs: tuple[str, ...], rounds: int, storage: str) -> None:
    """Measure this installation beside plain Tornado, and print a table for each of JOBS.

    Servers of its own are started for it, on databases that are thrown away; what runs on this machine
    already is left alone, but slows it down. What is said in the database of --storage stays there: it should
    be one of its own. Ratios of one run compare, times of different machines do not.
    """
    for name in jobs or JOBS:
        more = {"storage": storage} if storage and name == "relay" else {}
        for line in lines(name, rounds, **more):
            click.echo(line)
        click.echo()
