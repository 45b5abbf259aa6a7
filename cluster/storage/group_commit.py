"""Group commit: one fsync for everything that waits for one, in the worker, so that the event loop never blocks (shell)."""

import asyncio
import contextlib
import errno
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from cluster.storage.records import WalRecord
from cluster.storage.wal import Wal
from cluster.worker import Worker

T = TypeVar("T")

logger = logging.getLogger("cluster")

RETRY_SECONDS = 0.2
SLOW_FSYNC_SECONDS = 0.5
SEAL_SECONDS = 0.5
"""A log that rests for so long is sealed: damage to its last batch can be told from a torn tail from then on."""
GRID_SECONDS = 0.004
"""A log whose records come in company begins its fsyncs on a grid of this width, so that more share one.

The grid is that of the loop's clock, the same for all nodes of a process: what they have to say then leaves together, too.
"""
COMPANY = 0.3
"""So many further records a batch must have had of late. One client that waits for each answer is never kept waiting by this."""
_NEWEST_SHARE = 0.1
"""Of the newest batch, in the mean."""


class GroupCommit:
    """Takes records, makes them durable in order, then calls back in order."""

    def __init__(self, wal: Wal, worker: Worker, *, took: Callable[[float], None], name: str) -> None:
        self._wal, self._worker, self._took, self._name = wal, worker, took, name
        self._records: list[WalRecord] = []
        self._callbacks: list[Callable[[], None]] = []
        self._compaction: dict[str, int] | None = None
        self._waker: asyncio.Future[None] | None = None
        self._seal_timer: asyncio.TimerHandle | None = None
        self._rested = 0.0
        self._company = 0.0
        """How many further records a batch had, of late."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._sealed = self._seal_due = False
        self.failing: int | None = None
        """The errno with which the disk refuses, while it does."""

    @property
    def size(self) -> int:
        """Bytes in the log."""
        return self._wal.size

    @property
    def full(self) -> bool:
        """Whether the disk has no space left."""
        return self.failing == errno.ENOSPC

    @property
    def gathers(self) -> bool:
        """Whether a record is kept waiting for others, because they have come together of late."""
        return self._company > COMPANY

    def add(self, record: WalRecord, then: Callable[[], None]) -> None:
        """Write ``record``; ``then`` is called in the event loop once it is durable."""
        self._records.append(record)
        self._callbacks.append(then)
        self._wake()

    def compact(self, keep_after: dict[str, int]) -> None:
        """Soon forget other groups and the entries up to each group's LSN, and give their space back."""
        self._compaction = keep_after
        self._wake()

    def _wake(self) -> None:
        self._idle.clear()
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    async def settled(self) -> None:
        """Wait until nothing waits to be durable."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                if self._compaction is not None:
                    await self._compact()
                elif self._records:
                    await self._gather(loop)
                    await self._commit()
                else:
                    self._idle.set()
                    await self._rest(loop)
        finally:
            if self._seal_timer is not None:
                self._seal_timer.cancel()

    async def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """When records come in company, wait for the next line of the grid."""
        if self.gathers:
            await asyncio.sleep(GRID_SECONDS - loop.time() % GRID_SECONDS)
        self._company += (len(self._records) - 1 - self._company) * _NEWEST_SHARE

    async def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until there is something to do; what has rested for long is sealed meanwhile. One timer serves many rests."""
        self._rested = loop.time()
        if not self._sealed and self._seal_timer is None:
            self._seal_timer = loop.call_later(SEAL_SECONDS, self._look, loop)
        self._waker = loop.create_future()
        await self._waker
        self._waker = None
        if self._seal_due and not self._records:
            self._sealed = True
            # A seal that cannot be written is no loss: the next batch is evidence too.
            with contextlib.suppress(OSError):
                await self._worker.run(self._wal.seal)
        self._seal_due = False

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._seal_timer = None
        if self._waker is None or self._sealed:
            return
        left = self._rested + SEAL_SECONDS - loop.time()
        if left > 0:
            self._seal_timer = loop.call_later(left, self._look, loop)
        elif not self._waker.done():
            self._seal_due = True
            self._waker.set_result(None)

    async def _compact(self) -> None:
        keep_after, self._compaction = self._compaction or {}, None
        try:
            await self._worker.run(partial(self._wal.compact, keep_after))
        except OSError as error:
            logger.warning("%s cannot compact its log: %s", self._name, error)

    async def _commit(self) -> None:
        records, self._records = self._records, []
        callbacks, self._callbacks = self._callbacks, []
        seconds = await self._append(records)
        self._sealed = False
        self._took(seconds)
        if seconds > SLOW_FSYNC_SECONDS:
            logger.warning("%s: an fsync took %.2f s", self._name, seconds)
        for then in callbacks:
            then()

    async def _append(self, records: list[WalRecord]) -> float:
        """Again and again while the disk refuses: what waits keeps waiting, nothing is skipped."""
        while True:
            try:
                seconds = await self._worker.run(partial(self._wal.append, records))
            except OSError as error:
                if self.failing is None:
                    logger.warning("%s: the disk refuses: %s", self._name, error)
                self.failing = error.errno
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.failing = None
                return seconds

    async def in_worker(self, work: Callable[[], T]) -> T:
        """Do other blocking work on this disk, in turn."""
        return await self._worker.run(work)

    async def close(self, *, crash: bool = False) -> None:
        """Wait until the worker is done with the files; what has not been committed is gone."""
        if not crash:
            with contextlib.suppress(OSError):
                await self._worker.run(self._wal.seal)
        await self._worker.close()
