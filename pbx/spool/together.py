"""Blocking work for several calls in one go: on a busy switch a turn of a thread costs more than the work."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class Together(Generic[A, R]):
    """Gathers what is asked for within `gather_s` and does it, one after the other, in one thread."""

    def __init__(self, work: Callable[[A], R], gather_s: float) -> None:
        self._work, self._gather_s = work, gather_s
        self._due: list[tuple[A, asyncio.Future[R]]] = []
        self._doing: set[asyncio.Task[None]] = set()

    async def do(self, what: A) -> R:
        """Give what the work gives for `what`; raises what it raises. Others' failures stay theirs."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._due.append((what, done))
        if len(self._due) == 1:
            doing = asyncio.create_task(self._do_all())
            self._doing.add(doing)
            doing.add_done_callback(self._doing.discard)
        return await done

    async def _do_all(self) -> None:
        await asyncio.sleep(self._gather_s)
        due, self._due = self._due, []
        outcomes = await asyncio.to_thread(self._one_by_one, [what for what, _ in due])
        for (_, done), (result, problem) in zip(due, outcomes, strict=True):
            if done.done():
                continue
            if problem is None:
                done.set_result(result)  # type: ignore[arg-type]
            else:
                done.set_exception(problem)

    def _one_by_one(self, whats: list[A]) -> list[tuple[R | None, Exception | None]]:
        return [self._outcome(what) for what in whats]

    def _outcome(self, what: A) -> tuple[R | None, Exception | None]:
        try:
            return self._work(what), None
        except Exception as problem:
            return None, problem
