"""Many deadlines under one timer: each is kept, none early, and nobody else's cancellation is swallowed."""

import asyncio
from time import monotonic

import pytest

from canary.deadlines import Deadlines


async def attempt(deadlines: Deadlines, seconds: float, work: float) -> tuple[bool, float]:
    """Whether the deadline ended it, and how long it took."""
    began = monotonic()
    guard = deadlines.begin(began + seconds)
    try:
        await asyncio.sleep(work)
    except asyncio.CancelledError:
        if not guard.ran_out():
            raise
        return True, monotonic() - began
    finally:
        guard.end()
    return False, monotonic() - began


async def test_each_deadline_is_kept_and_none_is_early() -> None:
    """Whatever the order in which they began, short ones behind long ones too."""
    deadlines = Deadlines()
    wanted = [0.2, 0.05, 0.1, 0.01, 0.15]
    ended = await asyncio.gather(*(attempt(deadlines, seconds, 5.0) for seconds in wanted))
    assert all(late for late, _ in ended)
    assert all(seconds <= took < seconds + 0.3 for seconds, (_, took) in zip(wanted, ended, strict=True))


async def test_who_is_done_in_time_is_left_alone() -> None:
    """Ended attempts are forgotten, even those whose task goes on with other work."""
    deadlines = Deadlines()
    assert [late for late, _ in [await attempt(deadlines, 0.05, 0.0) for _ in range(3)]] == [False] * 3
    await asyncio.sleep(0.1)


async def test_a_deadline_that_has_passed_ends_the_first_wait() -> None:
    """An attempt that started too late is a timeout at once."""
    assert (await attempt(Deadlines(), -1.0, 5.0))[0]


async def test_a_cancellation_from_outside_is_not_ours() -> None:
    """Also when both come at the same moment: the task ends."""
    deadlines = Deadlines()
    task = asyncio.create_task(attempt(deadlines, 5.0, 5.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    both = asyncio.create_task(attempt(deadlines, 0.0, 5.0))
    await asyncio.sleep(0)
    both.cancel()
    deadlines._look()
    with pytest.raises(asyncio.CancelledError):
        await both


async def test_many_attempts_need_few_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand attempts that end in time set one timer."""
    deadlines, made = Deadlines(), []
    monkeypatch.setattr(deadlines, "_set", lambda deadline: (made.append(deadline), setattr(deadlines, "_timer", 1)))
    monkeypatch.setattr(deadlines, "_timer_at", -1.0)
    for _ in range(1000):
        await attempt(deadlines, 2.0, 0.0)
    assert len(made) == 1
