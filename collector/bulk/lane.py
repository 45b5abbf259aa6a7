"""One thread that takes counters: bodies that wait at the same time share one fsync; beside it, sealing and checkpoints (shell)."""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from collector.bulk.books import OPEN_INTERVALS_MAX, Decision, Limits
from collector.bulk.refusals import BulkRefusal, BulkRefusedError
from collector.bulk.store import CounterStore
from collector.interval import INTERVAL_SECONDS
from collector.ledger_file import LedgerError

logger = logging.getLogger("collector")

GROUP_MAX = 64
GROUP_BYTES_MAX = 64 * 1024 * 1024
WAITING_BYTES_MAX = 128 * 1024 * 1024
ROUND_SECONDS = 2.0
FORGET_SECONDS = 3600.0
RESEAL_SECONDS = 60.0
"""Late counts are gathered for this long before they make a version."""
CHECKPOINT_BYTES = 1024 * 1024 * 1024
"""So much of the log at most has to be read again at a restart; at more a checkpoint is made before the next interval ends."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    """What the configuration says. Seconds, bytes."""

    seal_after_seconds: float = 600.0
    late_seconds: float = 7 * 86400.0
    interval_retention_seconds: float = 400 * 86400.0
    feed_bytes: int = 1024 * 1024 * 1024
    series_max: int = 4_000_000


@dataclass(slots=True)
class LaneFigures:
    """What the lane tells about itself."""

    healthy: bool = True
    problem: str = ""
    newest: int = 0
    on_commit: Callable[[float, int], None] = field(default=lambda _seconds, _bodies: None)
    on_sealed: Callable[[int], None] = field(default=lambda _version: None)


@dataclass(slots=True)
class _Job:
    future: asyncio.Future[Any]
    body: bytes | None = None
    work: Callable[[CounterStore], Any] | None = None


class Lane:
    """The columnar lane of one collector. :meth:`open` it; :meth:`close` takes what was handed in first."""

    def __init__(self, store: CounterStore, settings: LaneSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.figures = LaneFigures(newest=store.books.cursor)
        self._settings = settings
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._grown = asyncio.Event()
        self._broken = False
        self._resealed_at = 0.0
        self._forgot_at = 0.0
        self._thread = threading.Thread(target=self._run, name="counters-writer", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, folder: Path, settings: LaneSettings) -> "Lane":
        """A lane over ``folder``; raises :class:`LedgerError` when what is there is damaged."""
        limits = Limits(series_max=settings.series_max, late_seconds=settings.late_seconds)
        return cls(await asyncio.to_thread(CounterStore, folder, limits), settings)

    async def submit(self, body: bytes) -> Decision:
        """Durable on return; raises :class:`BulkRefusedError`."""
        if self._waiting_bytes + len(body) > WAITING_BYTES_MAX:
            raise BulkRefusedError(BulkRefusal.BUSY, "too much is waiting to be written: send it again")
        self._waiting_bytes += len(body)
        try:
            return cast("Decision", await self._put(_Job(self._loop.create_future(), body=body)))
        finally:
            self._waiting_bytes -= len(body)

    async def work(self, work: Callable[[CounterStore], T]) -> T:
        """Run ``work`` between two groups, on the writer's thread."""
        return cast("T", await self._put(_Job(self._loop.create_future(), work=work)))

    async def grown(self, after: int) -> None:
        """Return as soon as the feed has an entry after the cursor ``after``."""
        while self.figures.newest <= after:
            await self._grown.wait()

    async def close(self) -> None:
        """Take what waits, then stop the thread and let go of the files."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self.store.close()

    async def _put(self, job: _Job) -> Any:
        self._jobs.put(job)
        return await job.future

    # --- on the writer's thread -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs: list[_Job | None] = [first]
            size = len(first.body or b"")
            with contextlib.suppress(queue.Empty):
                while len(jobs) < GROUP_MAX and size < GROUP_BYTES_MAX and jobs[-1] is not None:
                    jobs.append(job := self._jobs.get_nowait())
                    size += len(job.body or b"") if job is not None else 0
            self._carry_out([job for job in jobs if job is not None])
            if jobs[-1] is None:
                return

    def _carry_out(self, jobs: list[_Job]) -> None:
        bodies = [job for job in jobs if job.body is not None]
        if bodies:
            self._take(bodies)
        for job in jobs:
            if job.work is not None:
                self._tell([job], [self._attempt(partial(job.work, self.store))])

    def _take(self, jobs: list[_Job]) -> None:
        begin = time.perf_counter()
        bodies = [cast("bytes", job.body) for job in jobs]
        answers = self._attempt(lambda: self.store.apply(bodies, at=self._clock()))
        if isinstance(answers, BulkRefusedError) or (isinstance(answers, Exception) and len(jobs) == 1):
            self._tell(jobs, [answers] * len(jobs))
        elif isinstance(answers, Exception):
            for job in jobs:  # something is wrong with one of them: only that one shall suffer
                self._take([job])
        else:
            self._tell(jobs, answers, seconds=time.perf_counter() - begin)

    def _attempt(self, work: Callable[[], Any]) -> Any:
        """The result, or the exception; after a failure the books are read anew before anything else is done."""
        try:
            if self._broken:
                self.store.recover()
                self._broken = False
            return work()
        except (OSError, LedgerError) as error:
            self._broken = True
            return BulkRefusedError(BulkRefusal.STORAGE_UNAVAILABLE, f"nothing was kept, send it again: {error}")
        except Exception as error:
            self._broken = True
            logger.exception("counters: a body could not be taken")
            return error

    def _tell(self, jobs: list[_Job], results: list[Any], *, seconds: float | None = None) -> None:
        self._loop.call_soon_threadsafe(self._resolve, jobs, results, seconds, self.store.books.cursor)

    # --- on the loop ----------------------------------------------------------------------------------------------------------------

    def _resolve(self, jobs: list[_Job], results: list[Any], seconds: float | None, newest: int) -> None:
        for job, result in zip(jobs, results, strict=True):
            if not job.future.done():
                (job.future.set_exception if isinstance(result, Exception) else job.future.set_result)(result)
        failed = [r for r in results if isinstance(r, BulkRefusedError) and r.reason is BulkRefusal.STORAGE_UNAVAILABLE]
        if failed or seconds is not None:
            self._note(failed[0].detail if failed else "")
        if seconds is not None:
            self.figures.on_commit(seconds, len(jobs))
        if newest > self.figures.newest:
            self.figures.newest = newest
            self._grown.set()
            self._grown = asyncio.Event()

    def _note(self, problem: str) -> None:
        if problem and self.figures.healthy:
            logger.error("counters not writable, they are answered 503 until they are: %s", problem)
        self.figures.healthy, self.figures.problem = not problem, problem

    # --- keeping: sealing and checkpoints -----------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Until cancelled: a round every two seconds; what fails is tried again in the next."""
        while True:
            try:
                await self.round(self._clock())
            except BulkRefusedError as error:
                logger.warning("counters: %s", error.detail)
            except OSError as error:
                logger.error("counters: nothing was sealed: %s", error)  # noqa: TRY400 (a full disk needs no traceback)
            except Exception:
                logger.exception("counters: housekeeping failed; counters are taken all the same")
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self, at: float) -> None:
        """Seal what is due at ``at`` (UTC), make a checkpoint when something was sealed or the log is long, forget what is old."""
        due = self._due(at)
        for start in due:
            await self._seal(start)
        if due or self.store.log.size_since(self.store.first_segment) > CHECKPOINT_BYTES:
            await self._checkpoint(at)
        if at - self._forgot_at >= FORGET_SECONDS:  # looks at every file: a hundred thousand in a year
            self._forgot_at = at
            await asyncio.to_thread(self.store.sealed.forget, at - self._settings.interval_retention_seconds)

    def _due(self, at: float) -> list[int]:
        """Open intervals that are over: sealed for the first time at once, again once a minute or when there is no more room."""
        tallies = list(self.store.books.tallies)
        over = sorted(s for s in tallies if s + INTERVAL_SECONDS + self._settings.seal_after_seconds <= at)
        again = at - self._resealed_at >= RESEAL_SECONDS or len(tallies) >= OPEN_INTERVALS_MAX - 2
        if again:
            self._resealed_at = at
        return [start for start in over if again or start not in self.store.sealed.newest]

    async def _seal(self, start: int) -> None:
        tally, through = await self.work(lambda store: store.take_out(start))
        try:
            one = await asyncio.to_thread(self.store.seal, start, tally, through)
        except BaseException:
            await asyncio.shield(self.work(lambda store: store.put_back(start, tally)))
            raise
        await self.work(lambda store: store.has_sealed(one))
        logger.info("counters: interval %d sealed as version %d", start, one.version)
        self.figures.on_sealed(one.version)

    async def _checkpoint(self, at: float) -> None:
        kept = await self.work(lambda store: store.keep(forget_before=at - 2 * self._settings.late_seconds))
        await asyncio.to_thread(self.store.write, kept)
        await self.work(lambda store: store.has_kept(kept, feed_bytes=self._settings.feed_bytes))
