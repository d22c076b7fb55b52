"""The table of a run, for a terminal, and its last line."""

from collections import Counter
from collections.abc import Iterator, Sequence

from scripts.attacks.runner import Outcome

MAX_SENTENCES = 4  # of each kind below the line of an attack, unless all are wanted
MAX_REFUSALS = 3  # ways of refusing in the line of an attack
MAX_SENTENCE_CHARACTERS = 200


def heading() -> Iterator[str]:
    yield f"{'':<18} {'':>9}  {'':<36} {'neighbour p99, ms':>17}  {'memory, MiB':>15}   other"
    titles = f"{'before':>8} {'during':>8}  {'before':>7} {'after':>7}    load"
    yield f"{'attack':<18} {'tries':>9}  {'refused by':<36} {titles}"


def lines(outcome: Outcome, max_sentences: int | None) -> Iterator[str]:
    """Yield the line of an attack, and a sentence below it for each success of the attack.

    :arg max_sentences: at most so many of each kind; None: all.
    """
    tally, (before, _, after) = outcome.tally, outcome.memory
    busy = ", busy" if outcome.is_machine_busy else ""
    yield (
        f"{outcome.attack.name:<18} {tally.tries:>9,}  {_refusals(tally.refused):<36} "
        f"{outcome.before.p99 * 1e3:>8,.0f} {outcome.during.p99 * 1e3:>8,.0f}  "
        f"{before / 2**20:>7,.0f} {after / 2**20:>7,.0f}  {outcome.during.load:>6.0%}{busy}"
    )
    yield from _sentences("got in", tally.got_in, max_sentences)
    yield from _sentences("harm", outcome.harm, max_sentences)
    if outcome.failure:
        yield f"    could not be carried out: {outcome.failure}"


def remarks(outcomes: Sequence[Outcome], seconds: float) -> Iterator[str]:
    """Yield what the last line does not say."""
    yield f"{seconds:.0f} seconds"
    failed = [outcome.attack.name for outcome in outcomes if outcome.failure]
    if failed:
        yield f"not carried out: {', '.join(failed)}"
    busy = sum(1 for outcome in outcomes if outcome.is_machine_busy)
    if busy:
        yield f"delays of {busy} attacks not judged: other programs kept the machine busy"


def last_line(outcomes: Sequence[Outcome]) -> str:
    tries = sum(outcome.tally.tries for outcome in outcomes)
    got_in = sum(len(outcome.tally.got_in) for outcome in outcomes)
    harmful = sum(1 for outcome in outcomes if outcome.harm)
    return f"{tries} tries, {got_in} got in, {harmful} did harm"


def _refusals(refused: Counter[str]) -> str:
    shown = [f"{how} ×{count}" for how, count in refused.most_common(MAX_REFUSALS)]
    if len(refused) > MAX_REFUSALS:
        shown.append("…")
    text = ", ".join(shown)
    return text if len(text) <= 36 else f"{text[:35]}…"


def _sentences(label: str, sentences: Sequence[str], max_sentences: int | None) -> Iterator[str]:
    for sentence in sentences[:max_sentences]:
        printable = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in sentence)
        shown = printable if max_sentences is None else printable[:MAX_SENTENCE_CHARACTERS]
        yield f"    {label}: {shown}"
    if max_sentences is not None and len(sentences) > max_sentences:
        yield f"    {label}: and {len(sentences) - max_sentences} more (-v shows all)"
