"""Many requests share one timer, and each has its own deadline."""

import asyncio

import pytest

from cluster.api import patience
from cluster.api.patience import Patience


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Looks follow each other at once."""
    monkeypatch.setattr(patience, "_LOOK_SECONDS", 0.001)


async def served(limits, seconds, work):
    """As the front runs an operation."""
    task = limits.begin(seconds)
    try:
        return await work
    except asyncio.CancelledError:
        if limits.ran_out(task):
            raise TimeoutError from None
        raise
    finally:
        limits.end(task)


async def test_who_takes_too_long_is_told_so():
    """Past its deadline a request ends with TimeoutError, and its task goes on; others are left alone."""
    limits, released = Patience(), asyncio.Event()
    patient = asyncio.create_task(served(limits, 60.0, released.wait()))
    with pytest.raises(TimeoutError):
        await served(limits, 0.0, asyncio.Event().wait())
    assert asyncio.current_task().cancelling() == 0
    released.set()
    assert await patient


async def test_a_cancellation_by_another_is_passed_on():
    """A connection that is closed cancels its request, whatever its deadline says."""
    limits = Patience()
    task = asyncio.create_task(served(limits, 60.0, asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nobody_looks_when_nothing_is_asked():
    """With the last request the timer ends, and the next request starts it again."""
    limits = Patience()
    for _ in range(2):
        assert await served(limits, 60.0, asyncio.sleep(0, "done")) == "done"
        async with asyncio.timeout(5):
            while limits._looks:
                await asyncio.sleep(0.001)
