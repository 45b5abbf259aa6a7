"""Group commit: one fsync for everything that waits for one, in the worker, so that the event loop never blocks (shell)."""

import asyncio
import errno
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from cluster.storage.records import WalRecord, encode_record
from cluster.storage.wal import Wal
from cluster.worker import Worker

T = TypeVar("T")

logger = logging.getLogger("cluster")

RETRY_SECONDS = 0.2
SLOW_FSYNC_SECONDS = 0.5


class GroupCommit:
    """Takes records, makes them durable in order, then calls back in order."""

    def __init__(self, wal: Wal, worker: Worker, *, took: Callable[[float], None], name: str) -> None:
        self._wal, self._worker, self._took, self._name = wal, worker, took, name
        self._records: list[bytes] = []
        self._callbacks: list[Callable[[], None]] = []
        self._compaction: dict[str, int] | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.failing: int | None = None
        """The errno with which the disk refuses, while it does."""

    @property
    def size(self) -> int:
        """Bytes in the newest segment."""
        return self._wal.size

    @property
    def full(self) -> bool:
        """Whether the disk has no space left."""
        return self.failing == errno.ENOSPC

    def add(self, record: WalRecord, then: Callable[[], None]) -> None:
        """Write ``record``; ``then`` is called in the event loop once it is durable."""
        self._records.append(encode_record(record))
        self._callbacks.append(then)
        self._wake.set()
        self._idle.clear()

    def compact(self, keep_after: dict[str, int]) -> None:
        """Soon rewrite the log without other groups, and without the entries up to each group's LSN."""
        self._compaction = keep_after
        self._wake.set()

    async def settled(self) -> None:
        """Wait until nothing waits to be durable."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._compaction is not None:
                keep_after, self._compaction = self._compaction, None
                await self._insist(partial(self._wal.compact, keep_after))
            if self._records:
                await self._commit()
            if not self._records:
                self._idle.set()

    async def _commit(self) -> None:
        records, self._records = b"".join(self._records), []
        callbacks, self._callbacks = self._callbacks, []
        seconds = await self._insist(partial(self._wal.append, records))
        self._took(seconds or 0.0)
        if (seconds or 0.0) > SLOW_FSYNC_SECONDS:
            logger.warning("%s: an fsync took %.2f s", self._name, seconds)
        for then in callbacks:
            then()

    async def _insist(self, work: Callable[[], float | None]) -> float | None:
        """Do it in the worker, again and again while the disk refuses: what waits keeps waiting, nothing is skipped."""
        while True:
            try:
                seconds = await self._worker.run(work)
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

    async def close(self) -> None:
        """Wait until the worker is done with the files; what has not been committed is gone."""
        await self._worker.run(lambda: None)
        self._worker.close()
