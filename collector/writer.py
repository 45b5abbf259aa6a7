"""One thread that writes: batches that wait at the same time share one transaction, and one fsync (shell)."""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from collector.ingest import RefusedError
from collector.ledger import Ledger
from collector.ledger_file import LedgerError
from collector.submission import Answer, Counted, HandedIn, Stored, Submission

logger = logging.getLogger("collector")

GROUP_MAX = 256
WAITING_MAX = 1024
WAITING_BYTES_MAX = 64 * 1024 * 1024

T = TypeVar("T")


class BusyError(Exception):
    """Too much is waiting to be written already."""


class StorageUnavailableError(Exception):
    """The ledger could not be written (disk full, not writable, …): nothing of the group was kept."""


@dataclass(slots=True)
class _Job:
    """A submission, or (``work``) something else to do on the writer's thread."""

    future: asyncio.Future[Any]
    submission: HandedIn | None = None
    work: Callable[[Ledger], Any] | None = None
    size: int = 0


@dataclass(slots=True)
class WriterFigures:
    """What the writer tells about itself; ``healthy`` is False from a failed write to the next that succeeds."""

    healthy: bool = True
    problem: str = ""
    newest: int = 0
    received_at: float = 0.0
    on_commit: Callable[[float, int], None] = field(default=lambda _seconds, _batches: None)
    """Called on the loop after each commit with its seconds and the number of its submissions."""
    on_stored: Callable[[Submission, float], None] = field(default=lambda _submission, _received_at: None)
    """Called on the loop for each submission that is durable for the first time, with the feed's newest time."""


class Writer:
    """Owns the ledger's write side. Make it on the loop; :meth:`close` waits for what was submitted."""

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = 0
        self._waiting_bytes = 0
        self._grown = asyncio.Event()
        self._broken = False
        self.figures = WriterFigures(newest=ledger.newest, received_at=ledger.received_at)
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    async def submit(self, submission: HandedIn, *, size: int = 0) -> Answer:
        """Durable on return. Raises :class:`BusyError` or :class:`StorageUnavailableError`; ``size``: its bytes, for the limit."""
        if self._waiting >= WAITING_MAX or self._waiting_bytes + size > WAITING_BYTES_MAX:
            raise BusyError
        job = _Job(self._loop.create_future(), submission=submission, size=size)
        return cast("Answer", await self._put(job))

    async def work(self, work: Callable[[Ledger], T]) -> T:
        """Run ``work`` between two groups, on the writer's thread; raises :class:`StorageUnavailableError`."""
        return cast("T", await self._put(_Job(self._loop.create_future(), work=work)))

    async def mend(self) -> None:
        """Try whether the ledger can be written again; raises :class:`StorageUnavailableError` when not."""
        await self.work(Ledger.probe)
        self._note(None)

    async def grown(self, after: int) -> None:
        """Return as soon as the feed has an entry after the cursor ``after``."""
        while self.figures.newest <= after:
            await self._grown.wait()

    async def close(self) -> None:
        """Write what waits, then stop the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _put(self, job: _Job) -> Any:
        self._waiting += 1
        self._waiting_bytes += job.size
        job.future.add_done_callback(lambda _: self._left(job))
        self._jobs.put(job)
        return await job.future

    def _left(self, job: _Job) -> None:
        self._waiting -= 1
        self._waiting_bytes -= job.size

    # --- on the writer's thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs = [first]
            with contextlib.suppress(queue.Empty):
                while len(jobs) < GROUP_MAX and jobs[-1] is not None:
                    jobs.append(cast("_Job", self._jobs.get_nowait()))
            stop = jobs[-1] is None
            self._carry_out([job for job in jobs if job is not None])
            if stop:
                return

    def _carry_out(self, jobs: list[_Job]) -> None:
        batches = [job for job in jobs if job.submission is not None]
        if batches:
            self._write(batches)
        for job in jobs:
            if job.work is not None:
                self._do(job, job.work)

    def _write(self, jobs: list[_Job]) -> None:
        """One transaction for all; when something other than storage is wrong, one for each, so that only its cause suffers."""
        begin = time.perf_counter()
        try:
            self._mend()
            answers = self._ledger.apply([cast("HandedIn", job.submission) for job in jobs], at=self._clock())
        except Exception as error:
            self._broken = True
            if _is_storage(error):
                self._failed(jobs, error)
            elif len(jobs) == 1:
                logger.exception("a batch could not be written")
                self._tell(jobs, [error])
            else:
                for job in jobs:
                    self._write([job])
        else:
            self._tell(jobs, answers, seconds=time.perf_counter() - begin)

    def _do(self, job: _Job, work: Callable[[Ledger], Any]) -> None:
        try:
            self._mend()
            result = work(self._ledger)
        except Exception as error:  # noqa: BLE001 (handed to whoever asked for the work)
            self._broken = True
            if _is_storage(error):
                self._failed([job], error)
            else:
                self._tell([job], [error])
        else:
            self._tell([job], [result])

    def _mend(self) -> None:
        """Reopen after a failure: what was in memory may be ahead of what is durable."""
        if self._broken:
            self._ledger.recover()
            self._broken = False

    def _failed(self, jobs: list[_Job], error: Exception) -> None:
        unavailable = StorageUnavailableError(str(error))
        self._loop.call_soon_threadsafe(self._resolve, jobs, [unavailable] * len(jobs), None, str(error))

    def _tell(self, jobs: list[_Job], results: list[Any], *, seconds: float | None = None) -> None:
        newest, received_at = self._ledger.newest, self._ledger.received_at  # read here: the thread goes on
        self._loop.call_soon_threadsafe(self._resolve, jobs, results, seconds, None)
        if seconds is not None:
            self._loop.call_soon_threadsafe(self._wake, newest, received_at)

    # --- on the loop ------------------------------------------------------------------------------------------------------

    def _resolve(self, jobs: list[_Job], results: list[Any], seconds: float | None, problem: str | None) -> None:
        if problem is not None or not all(job.work for job in jobs):
            self._note(problem)  # housekeeping that succeeds may have written nothing: no proof of health
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, Stored) and job.submission is not None:
                one = job.submission.batch if isinstance(job.submission, Counted) else job.submission
                self.figures.on_stored(one, self._ledger.received_at)
            if job.future.done():
                continue
            if isinstance(result, Exception) and not isinstance(result, RefusedError):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)
        if seconds is not None:
            self.figures.on_commit(seconds, len(jobs))

    def _note(self, problem: str | None) -> None:
        if problem is not None and self.figures.healthy:
            logger.error("ledger not writable, batches are answered 503 until it is: %s", problem)
        if problem is None and not self.figures.healthy:
            logger.warning("ledger writable again")
        self.figures.healthy, self.figures.problem = problem is None, problem or ""

    def _wake(self, newest: int, received_at: float) -> None:
        self.figures.newest, self.figures.received_at = newest, received_at
        self._grown.set()
        self._grown = asyncio.Event()


_OURS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.InterfaceError)


def _is_storage(error: Exception) -> bool:
    """Whether the disk or the file is to blame, so that the same batch may succeed later."""
    return isinstance(error, (sqlite3.Error, LedgerError, OSError)) and not isinstance(error, _OURS)
