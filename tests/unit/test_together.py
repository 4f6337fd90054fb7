"""Blocking work that is done for several at once."""

import asyncio
import threading

import pytest

from pbx.spool.together import Together

pytestmark = pytest.mark.unit


async def test_what_is_asked_for_in_one_moment_is_done_in_one_thread() -> None:
    threads: list[int] = []

    def halve(number: int) -> float:
        threads.append(threading.get_ident())
        return number / 2

    halving = Together(halve, 0.01)
    assert await asyncio.gather(*(halving.do(number) for number in (2, 4, 6))) == [1, 2, 3]
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    assert await halving.do(8) == 4


async def test_a_failure_is_its_own() -> None:
    dividing: Together[int, float] = Together(lambda number: 1 / number, 0.01)
    first, second, third = await asyncio.gather(
        *(dividing.do(number) for number in (1, 0, 2)), return_exceptions=True
    )
    assert (first, third) == (1, 0.5)
    assert isinstance(second, ZeroDivisionError)


async def test_one_that_waits_no_more_costs_the_others_nothing() -> None:
    doubling: Together[int, int] = Together(lambda number: 2 * number, 0.02)
    impatient = asyncio.ensure_future(doubling.do(1))
    patient = asyncio.ensure_future(doubling.do(2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == 4
    with pytest.raises(asyncio.CancelledError):
        await impatient
