"""Blocking work is done off the event loop, in order."""

import asyncio
import threading

import pytest

from cluster.worker import ThreadWorker


async def test_work_is_done_in_order_in_one_other_thread():
    """Each call gets its own result, in the order of the calls, from a thread that is not the loop's."""
    worker, done = ThreadWorker("n"), []

    def work(number):
        done.append(number)
        return number, threading.get_ident()

    results = await asyncio.gather(*(worker.run(lambda number=n: work(number)) for n in range(20)))
    assert done == [number for number, _ in results] == list(range(20))
    assert len({thread for _, thread in results} | {threading.get_ident()}) == 2
    await worker.close()


async def test_what_work_raises_is_raised_to_who_waits():
    """An exception reaches the caller, and the worker goes on."""
    worker = ThreadWorker("n")

    def refuse():
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        await worker.run(refuse)
    assert await worker.run(lambda: "on") == "on"
    await worker.close()


async def test_work_that_nobody_waits_for_is_not_begun():
    """What is cancelled while it waits for its turn is never done."""
    worker, gate, done = ThreadWorker("n"), threading.Event(), []
    first = asyncio.create_task(worker.run(gate.wait))
    second = asyncio.create_task(worker.run(lambda: done.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await first
    await worker.close()
    assert not done


async def test_closing_ends_the_thread():
    """After closing, and everything asked for before, the thread is gone."""
    worker, done = ThreadWorker("n"), []
    running = asyncio.create_task(worker.run(lambda: done.append(1)))
    await asyncio.sleep(0)
    await worker.close()
    await running
    worker._thread.join(5)
    assert done == [1]
    assert not worker._thread.is_alive()
