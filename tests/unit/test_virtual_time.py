import asyncio
import time

import pytest

from tests.virtual_time import Deadlock, VirtualTimeLoop, in_virtual_time

pytestmark = pytest.mark.unit


@in_virtual_time
async def test_an_hour_takes_no_time() -> None:
    loop = asyncio.get_running_loop()
    really, virtually = time.monotonic(), loop.time()
    await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(1800))
    assert loop.time() - virtually == pytest.approx(3600)
    assert time.monotonic() - really < 5


@in_virtual_time
async def test_threads_are_done_at_once() -> None:
    assert await asyncio.to_thread(lambda: 7) == 7
    with pytest.raises(OSError, match="full"):
        await asyncio.to_thread(_fail)


def _fail() -> None:
    raise OSError("full")


def test_a_deadlock_is_an_error() -> None:
    async def wait_for_nothing() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock), asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(wait_for_nothing())


def test_a_task_that_is_left_is_an_error() -> None:
    @in_virtual_time
    async def forgetful() -> None:
        task = asyncio.ensure_future(asyncio.sleep(9))
        task.set_name("forgotten")

    with pytest.raises(AssertionError, match="forgotten"):
        forgetful()


def test_an_exception_nobody_looked_at_is_an_error() -> None:
    @in_virtual_time
    async def careless() -> None:
        asyncio.get_running_loop().create_future().set_exception(OSError("unseen"))

    with pytest.raises(AssertionError, match="unseen"):
        careless()
