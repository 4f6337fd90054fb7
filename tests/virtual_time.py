"""Tests whose clock jumps: fifty seconds of a call take no time, and waiting for nothing is an error.

Only for code without sockets and without threads of its own; what goes to a thread is done at once.
"""

import asyncio
import functools
import gc
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class Deadlock(Exception):
    """Every task waits, and nothing is planned that could wake one."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to its next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._really_select = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._jump  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now

    def _jump(self, timeout: float | None) -> Any:
        events = self._really_select(0)
        if not events and timeout is None:
            raise Deadlock
        if not events and timeout:
            self._now += timeout
        return events

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as problem:
            done.set_exception(problem)
        return done


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in virtual time; fail it for tasks it leaves and exceptions nobody looked at."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        complaints: list[str] = []

        async def checked() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
            await test(*args, **kwargs)
            # What was cancelled gets its turn to end.
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks were left: {left}"

        with asyncio.Runner(debug=True, loop_factory=VirtualTimeLoop) as runner:
            runner.run(checked())
            gc.collect()
        assert not complaints, complaints

    return run
