"""What code of plugins raises stays contained, and the steps of coroutines are measured."""

import asyncio
import time
from typing import Any

import pytest

from tornado_chat.plugins.containment import UncaughtExit, contain, step_by_step
from tornado_chat.plugins.origins import find_origin, top_module


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), StopIteration()]
)
def test_errors_that_would_end_the_server_are_contained(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(UncaughtExit) as contained:
        contain(fail)
    assert contained.value.__cause__ is error


def test_other_errors_and_results_pass() -> None:
    assert contain(max, 1, 2) == 2
    with pytest.raises(ZeroDivisionError):
        contain(lambda: 1 / 0)


@pytest.mark.gen_test
async def test_a_coroutine_gets_results_and_errors_and_is_measured() -> None:
    seconds: list[float] = []

    async def work() -> str:
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "done")
        time.sleep(0.01)  # noqa: ASYNC251 - the step to measure
        return await future

    assert await step_by_step(work(), seconds.append) == "done"
    assert len(seconds) > 3
    assert max(seconds) >= 0.01


@pytest.mark.gen_test
async def test_an_exit_does_not_leave_the_loop() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise SystemExit(3)

    with pytest.raises(UncaughtExit):
        await asyncio.ensure_future(step_by_step(work(), lambda seconds: None))


@pytest.mark.gen_test
async def test_a_cancelled_coroutine_can_clean_up() -> None:
    cleaned: list[Any] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    task = asyncio.ensure_future(step_by_step(work(), lambda seconds: None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [True]


def raise_in(module: str) -> BaseException:
    """Return an error that was raised in a function of the module."""
    scope: dict[str, Any] = {"__name__": module}
    exec("def work():\n    raise ValueError", scope)
    try:
        scope["work"]()
    except ValueError as error:
        return error
    raise AssertionError


def test_an_error_belongs_to_the_plugin_whose_code_raised_it() -> None:
    names = {"tornado_chat_dropped.shop": "shop", "tornado_chat_plugins.audit": "audit", "acme": "chat_acme"}
    for module, name in (
        ("tornado_chat_dropped.shop", "shop"),
        ("tornado_chat_dropped.shop.pages", "shop"),
        ("tornado_chat_plugins.audit.chain", "audit"),
        ("acme.chat.plugin", "chat_acme"),
        ("tornado_chat_dropped.shopping", None),
        ("tornado_chat.storage.writer", None),
    ):
        assert find_origin(raise_in(module), names) == name


def test_the_cause_of_an_error_counts() -> None:
    error = ValueError()
    error.__cause__ = raise_in("acme")
    assert find_origin(error, {"acme": "acme"}) == "acme"


def test_the_module_of_a_plugin() -> None:
    for module, top in (
        ("tornado_chat_dropped.shop.pages", "tornado_chat_dropped.shop"),
        ("tornado_chat_plugins.audit", "tornado_chat_plugins.audit"),
        ("acme.chat", "acme"),
    ):
        assert top_module(type("Own", (), {"__module__": module})) == top
