"""Virtual time: an asyncio event loop that never waits (shell).

The selector is asked to wait until the next timer is due; instead of waiting it advances a counter, and the loop's clock is
that counter. An hour of sleeping costs nothing, and the same program runs the same way every time. Nothing real may get in:
threads are refused, and a loop in which nothing can ever happen again says so instead of hanging.
"""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any, Never

STARTS_AT = 1000.0
"""Virtual seconds at which a loop begins: zero is what careless code takes for "never"."""
_LONGEST_JUMP_SECONDS = 3600.0


class NothingWillHappen(Exception):
    """Every task waits for something that nobody can bring about."""


class _Counter(selectors.BaseSelector):
    """A selector without files: what it is asked to wait is added to ``now``."""

    def __init__(self) -> None:
        self.now = STARTS_AT
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, 0, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileobj]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappen(f"at {self.now:.3f} s nothing is due, and nobody else is there to wake anyone")
        if timeout > 0:
            self.now += min(timeout, _LONGEST_JUMP_SECONDS)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a counter; ``loop.time()`` is virtual seconds."""

    def __init__(self) -> None:
        self._counter = _Counter()
        super().__init__(self._counter)
        # Two timers a rounding error apart are due together; the default is as coarse as the machine's clock.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds since an arbitrary beginning."""
        return self._counter.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Never:  # type: ignore[override]  # noqa: ARG002
        """Refused: a thread would bring real time in."""
        raise RuntimeError(f"{func!r} wants a thread; a simulation has none (give the node a simulated Worker)")


def run_virtually(main: Callable[[], Any]) -> Any:
    """Run the coroutine that ``main`` makes to its end on a loop of its own; its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
