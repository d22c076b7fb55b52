"""Contains what the code of plugins raises, and measures the steps of coroutines.

Strategy: a coroutine runs step by step, from one ``await`` that waits to the next, and each step blocks the
loop. asyncio does not say how long a step took (except in its debug mode), so ``step_by_step`` drives the
coroutine itself, between the task and the coroutine.
"""

import time
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any


class UncaughtExit(Exception):
    """Code of a plugin raised an error that would end more than its own call; it is the cause."""


def contain(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``function``.

    :raises Exception: as ``function``.
    :raises UncaughtExit: it raised an error that is no ``Exception``, such as ``SystemExit``; or
        ``StopIteration``, which cannot be the error of a future.
    """
    try:
        return function(*arguments)
    except StopIteration as error:
        raise UncaughtExit from error
    except Exception:
        raise
    except BaseException as error:
        raise UncaughtExit from error


async def step_by_step(awaitable: Awaitable[Any], measure: Callable[[float], None]) -> Any:
    """Await ``awaitable``, and call ``measure`` with the seconds of each of its steps.

    :raises UncaughtExit: it raised ``SystemExit`` or ``KeyboardInterrupt``, which would leave the loop.
    """
    try:
        return await _steps(awaitable.__await__(), measure)
    except (SystemExit, KeyboardInterrupt) as error:
        raise UncaughtExit from error


@types.coroutine
def _steps(steps: Generator[Any, Any, Any], measure: Callable[[float], None]) -> Generator[Any, Any, Any]:
    resume: Callable[[Any], Any] = steps.send
    argument: Any = None
    while True:
        started = time.perf_counter()
        try:
            waits_for = resume(argument)
        except StopIteration as end:
            return end.value
        finally:
            measure(time.perf_counter() - started)
        try:
            argument = yield waits_for
            resume = steps.send
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:
            resume, argument = steps.throw, error
