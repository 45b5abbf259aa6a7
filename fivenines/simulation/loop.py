"""Virtual time: an asyncio event loop that never waits (shell).

When nothing is ready, the clock jumps to the next timer: an hour of sleeping costs nothing, and the same program runs the same
way every time, timers that are due together in the order in which they were asked for. Nothing real may get in: threads and
sockets are refused, and a loop in which nothing can ever happen again says so instead of hanging.

Of asyncio's loop the core is replaced (``call_soon``, ``call_at``, one turn), because half of a run's time is spent in it: a heap
of plain tuples instead of handles that are compared in Python, no selector, no debugging.
"""

import asyncio
import contextvars
import itertools
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Never

STARTS_AT = 1000.0
"""Virtual seconds at which a loop begins: zero is what careless code takes for "never"."""


class NothingWillHappen(Exception):
    """Every task waits for something that nobody can bring about."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop on a counter; ``loop.time()`` is virtual seconds."""

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now = STARTS_AT
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Virtual seconds since an arbitrary beginning."""
        return self._now

    def call_soon(  # type: ignore[override]  # its arguments are not checked here
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """See asyncio."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is dropped when its time comes."""

    def _run_once(self) -> None:
        """One turn: what is ready; or else what is due next, whenever that is."""
        ready, timers = self._ready, self._timers
        if not ready and not self._stopping:
            self._jump()
        while timers and timers[0][0] <= self._now:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if not timers:
            raise NothingWillHappen(f"at {self._now:.3f} s nothing is due, and nobody else is there to wake anyone")
        self._now = max(self._now, timers[0][0])

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken (asked for by an interrupt from the keyboard)."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Never:  # type: ignore[override]  # noqa: ARG002
        """Refused: a thread would bring real time in."""
        raise RuntimeError(f"{func!r} wants a thread; a simulation has none (give the node a simulated Worker)")


def run_virtually(main: Callable[[], Any]) -> Any:
    """Run the coroutine that ``main`` makes to its end on a loop of its own; its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
