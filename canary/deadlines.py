"""The deadlines of many attempts under one timer (shell): a timer for each, set and cancelled, would cost more than the signature.

Exact, and never early: the timer is set for the earliest deadline that was there when it was set. Attempts that have ended in
time stay in the heap until it fires; with deadlines of the same length that is once a deadline, not once an attempt.
"""

import asyncio
import heapq
from time import monotonic
from typing import Any


class Guard:
    """One attempt's deadline. Call :meth:`end` when it is over, whatever came of it."""

    __slots__ = ("fired", "task")

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self.task = task
        self.fired = False

    def end(self) -> None:
        """No longer needed."""
        self.task = None

    def fire(self) -> bool:
        """Cancel the attempt, if it still goes on."""
        task, self.task = self.task, None
        if task is None:
            return False
        self.fired = True
        return task.cancel()

    def ran_out(self) -> bool:
        """Whether a cancellation that the running task has caught was the deadline's alone; then it is taken back."""
        task = asyncio.current_task()
        return self.fired and task is not None and task.uncancel() <= 0


class Deadlines:
    """All deadlines of one event loop, in monotonic seconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Guard]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def begin(self, deadline: float) -> Guard:
        """The running task is cancelled at ``deadline`` unless the guard is ended before."""
        guard = Guard(asyncio.current_task())
        self._number += 1
        heapq.heappush(self._heap, (deadline, self._number, guard))
        if self._timer is None or deadline < self._timer_at:
            self._set(deadline)
        return guard

    def _set(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - monotonic()) + 0.0005, self._look)

    def _look(self) -> None:
        """Cancel what is late, forget what has ended."""
        self._timer = None
        heap, now = self._heap, monotonic()
        while heap and (heap[0][0] <= now or heap[0][2].task is None):
            heapq.heappop(heap)[2].fire()
        if heap:
            self._set(heap[0][0])
