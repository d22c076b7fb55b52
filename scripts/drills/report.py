"""The table of a run, and its last line."""

from collections.abc import Iterator, Sequence

from scripts.drills.drill import FAILED, NOT_RUN, Outcome


def heading() -> str:
    return f"{'drill':<26} {'result':<8} {'seconds':>7}  details"


def line(outcome: Outcome) -> str:
    """Return the line of one drill. Control characters of the server's texts are replaced."""
    text = "".join(each if each.isprintable() else " " for each in outcome.text)
    return f"{outcome.drill.text:<26} {outcome.state:<8} {outcome.seconds:>7.1f}  {text}"


def last_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the drills that did not run, and the result."""
    left_out = [outcome.drill.name for outcome in outcomes if outcome.state == NOT_RUN]
    if left_out:
        yield f"not run: {', '.join(left_out)}"
    failed = sum(1 for outcome in outcomes if outcome.state == FAILED)
    yield f"{len(outcomes) - len(left_out)} drills, {failed} failed"
