"""Where a storage node does its blocking work: one thread, so that the event loop never waits for a disk (shell)."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Worker(Protocol):
    """Runs blocking work for one node, in the order of the calls, off the event loop."""

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns (or raises), once everything asked for earlier is done."""
        ...

    async def close(self) -> None:
        """Take no more work, and wait until what runs has ended."""
        ...


class ThreadWorker:
    """The real one: a thread of its own."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"disk-{name}")

    async def run(self, work: Callable[[], T]) -> T:
        """See :class:`Worker`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """See :class:`Worker`."""
        await self.run(lambda: None)
        self._thread.shutdown(wait=False)
