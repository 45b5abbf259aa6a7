"""Reads the feeds of several collectors at the same time and hands out their entries in one order (shell)."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from cfa.merging import Merge, Run
from cfa.ports import Feed, FeedGap, FeedState, FeedUnavailable
from collector.series import FeedEntry

logger = logging.getLogger("cfa.feeds")

READ_ENTRIES = 500
WAITING_MOST = 2000
POLL_SECONDS = 10.0
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0)


class MergedFeed:
    """A feed (:class:`cfa.ports.Feed`) made of several, by URL. Its cursors number the merged order."""

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        known: Sequence[Run] = (),
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._feeds = dict(feeds)
        self._known = tuple(known)
        self._monotonic = monotonic
        self._merge = self._merge_from(0, 0.0)
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._problem = ""
        self._clock = clock
        self._states = {name: FeedState(name, ok=False, since=None, error="not asked yet") for name in feeds}

    def _merge_from(self, index: int, received_at: float) -> Merge:
        return Merge(tuple(self._feeds), self._known, index=index, received_at=received_at, at=self._monotonic())

    def resume(self, index: int, received_at: float) -> None:
        """Go on after the entry ``index``, as the runs that are written down say."""
        self._merge = self._merge_from(index, received_at)

    def journal(self) -> tuple[int | None, tuple[Run, ...]]:
        """What is to be written down with the next commit: after which index to forget earlier runs first, and the new runs."""
        return self._merge.journal()

    def states(self) -> list[FeedState]:
        """Who feeds us, and who does not."""
        return list(self._states.values())

    def _note(self, name: str, error: str | None) -> None:
        known = self._states[name]
        changed = known.since is None or known.ok != (error is None)
        since = self._clock() if changed else known.since
        self._states[name] = FeedState(name, ok=error is None, since=since, error=error)

    async def close(self) -> None:
        """Stop reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def read(self, after: int, *, limit: int, wait_seconds: float) -> list[FeedEntry]:
        """The next entries of all; raises :class:`FeedUnavailable` when nobody answers."""
        if after != self._merge.index:
            raise FeedUnavailable(f"entry {after} was asked for, the merged feed is at {self._merge.index}")
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow(name, feed)) for name, feed in self._feeds.items()]
        ends = self._monotonic() + wait_seconds
        while True:
            self._news.clear()
            now = self._monotonic()
            if entries := self._merge.take(limit, now):
                self._room.set()
                return entries
            if self._merge.all_down:
                raise FeedUnavailable(self._problem)
            if now >= ends:
                return []
            await self._wait(min(ends, self._merge.ready_at() or ends) - now)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.001, seconds)):
                await self._news.wait()

    async def _follow(self, name: str, feed: Feed) -> None:
        """One feed, for ever."""
        failures = 0
        while True:
            while self._merge.waiting(name) >= WAITING_MOST:
                self._room.clear()
                await self._room.wait()
            try:
                entries = await feed.read(self._merge.asked(name), limit=READ_ENTRIES, wait_seconds=POLL_SECONDS)
            except FeedGap as gap:
                logger.warning("%s goes on at entry %d, not after %d", name, gap.oldest, self._merge.asked(name))
                self._merge.jumped(name, gap.oldest)
                await asyncio.sleep(0.1)
            except FeedUnavailable as error:
                if not failures:
                    logger.warning("%s does not feed us: %s", name, error)
                failures += 1
                self._note(name, str(error))
                self._problem = f"{name}: {error}"
                self._merge.down(name)
                self._news.set()
                await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1])
            else:
                if failures:
                    logger.info("%s feeds us again", name)
                failures = 0
                self._note(name, None)
                self._merge.arrived(name, entries, self._monotonic())
                self._news.set()
