"""Where a storage node does its blocking work: one thread, so that the event loop never waits for a disk (shell)."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

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
    """The real one: a thread of its own. An executor of one thread would cost twice as much for each call."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """See :class:`Worker`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"disk-{self._name}", daemon=True)
            self._thread.start()
        self._jobs.put(_Job(work, loop, future))
        return await future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.do()

    async def close(self) -> None:
        """See :class:`Worker`."""
        await self.run(lambda: None)
        self._jobs.put(None)


class _Job(NamedTuple):
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"

    def do(self) -> None:
        """In the thread: do it, unless nobody waits for it any more, and tell the loop."""
        if self.future.cancelled():
            return
        result: Any = None
        error: BaseException | None = None
        try:
            result = self.work()
        except BaseException as raised:  # noqa: BLE001  # whoever waits gets it, whatever it is
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(self._told, result, error)

    def _told(self, result: Any, error: BaseException | None) -> None:
        if self.future.cancelled():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)
