"""Virtual time."""

import asyncio
import time

import pytest

from fivenines.simulation.loop import STARTS_AT, NothingWillHappen, VirtualLoop, run_virtually


def test_an_hour_costs_nothing():
    """Sleeping, timeouts and task groups take virtual time only, exactly as long as they say."""

    async def story():
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(asyncio.sleep(3600.0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.25):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run_virtually(story) == pytest.approx(STARTS_AT + 3600.25)
    assert time.monotonic() - began < 1.0


def test_timers_come_in_order():
    """What is due first happens first, and of what is due together that which was asked for first."""

    async def story():
        seen = []
        loop = asyncio.get_running_loop()
        for name, delay in (("b", 0.2), ("a", 0.1), ("c", 0.2)):
            loop.call_later(delay, seen.append, name)
        await asyncio.sleep(1.0)
        return seen

    assert run_virtually(story) == ["a", "b", "c"]


def test_a_loop_that_nobody_can_wake_says_so():
    """Waiting for what never comes is an error at once, not a hang."""

    async def story():
        await asyncio.Event().wait()

    with pytest.raises(NothingWillHappen):
        run_virtually(story)


def test_threads_are_refused():
    """Nothing real gets in by the executor."""

    async def story():
        with pytest.raises(RuntimeError, match="wants a thread"):
            await asyncio.to_thread(time.sleep, 0)

    run_virtually(story)


def test_a_cancelled_timer_does_not_happen():
    """What was taken back in time never comes, and costs no time."""

    async def story():
        loop = asyncio.get_running_loop()
        seen = []
        loop.call_later(5.0, seen.append, "late").cancel()
        timer = loop.call_later(1.0, seen.append, "never")
        loop.call_later(1.0, seen.append, "now")
        loop.call_later(0.5, timer.cancel)
        await asyncio.sleep(1.0)
        return seen, loop.time()

    assert run_virtually(story) == (["now"], STARTS_AT + 1.0)


def test_a_failure_in_a_callback_is_told():
    """A callback that raises is the exception handler's, as in any loop; the others go on."""
    loop, told = VirtualLoop(), []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    loop.call_soon(lambda: 1 / 0)
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()
    assert [type(error) for error in told] == [ZeroDivisionError]
