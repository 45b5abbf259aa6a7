"""Carries the counters' feed to the fleet of tables, and its incidents to the store and the outbox (shell).

Order of a tick: judge, commit what people must be told (the same transaction as every other incident), then, once a minute, a
checkpoint that belongs to the cursor before the tick's first entry. A death between any two of them is made up for from the feed:
what was committed is planned again under the same identity and changes nothing. Judging is done in a thread; nothing waits for it.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

import msgspec

from cfa.incident import Incident, IncidentEvent
from cfa.notices import Notices
from cfa.objective import Objective
from cfa.ports import FeedGap, FeedUnavailable
from cfa.routes import Routes
from cfa.state import Commit, StateStore
from cfa.tables.checkpoint import Checkpoints
from cfa.tables.describe import is_of_tables
from cfa.tables.figures import Figures
from cfa.tables.fleet import Fleet
from cfa.tables.incidents import TableIncidents
from cfa.tables.operated import Operated, Place
from cfa.tables.source import Entry
from collector.column_batch import Frame

logger = logging.getLogger("cfa.tables")

WAIT_SECONDS = 10.0
CHECKPOINT_SECONDS = 60.0
CHECKPOINT_SHARE = 0.05
"""A checkpoint may cost at most this share of the time: large ones are made less often."""
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
ACT_SECONDS = 2.0
"""How long whoever acts waits for the lane; after that it is done with the next tick."""


class Source(Protocol):
    """A collector's counters (:class:`cfa.tables.source.CountersSource`)."""

    async def read(self, after: int, wait_seconds: float) -> list[Entry]:
        """Entries after the cursor."""
        ...

    async def series(self, first: int) -> Frame | None:
        """A page of names."""
        ...


class TableLane:
    """Make it with :meth:`open`; hold :attr:`lock` to read the fleet."""

    def __init__(
        self,
        store: StateStore,
        source: Source,
        fleet: Fleet,
        incidents: TableIncidents,
        operated: Operated,
        *,
        notices: Notices,
        checkpoints: Checkpoints,
    ) -> None:
        self.fleet, self.incidents, self.operated, self.figures = fleet, incidents, operated, Figures()
        self.lock = asyncio.Lock()
        self._store, self._source, self._notices, self._checkpoints = store, source, notices, checkpoints
        self._told: Callable[[], None] = lambda: None
        self._saved_at = time.monotonic()
        self._period = CHECKPOINT_SECONDS
        self._acting: set[asyncio.Task[None]] = set()
        self._told_before: tuple[Incident, ...] = ()
        """What an earlier life had opened; some of it after its last checkpoint, so that it is not known here yet."""

    @classmethod
    async def open(
        cls,
        folder: Path,
        store: StateStore,
        source: Source,
        judged: tuple[str, Objective, float, str | None],
        routes: Routes,
    ) -> Self:
        """As the checkpoint says, or new. ``judged``: region, objective, false pages a year, pattern of groups.

        A checkpoint that cannot be used is moved aside, and said.
        """
        region, objective, false_pages, pattern = judged
        fleet, incidents = Fleet(objective, false_pages, pattern), TableIncidents(region)
        operated = Operated(region, incidents, fleet.roster.group_name)
        notices, checkpoints = Notices(routes, region), Checkpoints(folder)
        try:
            kept = await asyncio.to_thread(checkpoints.read, fleet)
            if kept is not None:
                incidents.load(kept[0])
                operated.load(kept[0].get("desk"))
                notices = Notices.restore(routes, region, kept[1])
        except (ValueError, KeyError, TypeError, StopIteration, FileNotFoundError, msgspec.MsgspecError) as error:
            aside = folder.with_name(f"{folder.name}.unusable-{time.time():.0f}")
            await asyncio.to_thread(checkpoints.set_aside, aside)
            logger.error("the tables' windows begin anew, what was kept is in %s: %s", aside, error)  # noqa: TRY400
            fleet, incidents = Fleet(objective, false_pages, pattern), TableIncidents(region)
            operated = Operated(region, incidents, fleet.roster.group_name)
            notices = Notices(routes, region)
        applied = operated.desk.applied
        operated.follow(await store.run(store.actions_after, applied), *await store.run(store.tables_placed, applied))
        logger.info("judging %d tables from entry %d of the counters", len(fleet.roster.tables), fleet.cursor)
        lane = cls(store, source, fleet, incidents, operated, notices=notices, checkpoints=checkpoints)
        lane._told_before = tuple(filter(is_of_tables, await store.run(store.open_incidents)))
        return lane

    def on_told(self, told: Callable[[], None]) -> None:
        """Whom to wake when new notices are in the store."""
        self._told = told

    def open_incidents(self) -> list[Incident]:
        """What is open now, so that nobody else ends it: also what an earlier life opened at ticks that are still to be repeated."""
        found = self.operated.open()
        names, reached = {one.id for one in found}, self.fleet.at or 0
        return [*found, *(o for o in self._told_before if o.opened_at > reached and o.id not in names)]

    async def act(self) -> None:
        """Takes what operators have done since, now if it can; what is in the journal is never lost."""
        task = asyncio.ensure_future(self._act_now())
        self._acting.add(task)
        task.add_done_callback(self._acting.discard)
        await asyncio.wait({task}, timeout=ACT_SECONDS)

    async def _act_now(self) -> None:
        async with self.lock:
            await self._act()

    async def _act(self) -> None:
        """Gives new actions their place: after the last tick."""
        await self._commit(self.operated.replay(self.fleet))
        if not self.operated.may_take(self.fleet):
            return
        new = await self._store.run(self._store.actions_after, self.operated.desk.applied)
        events = [event for one in new for event in self.operated.take(one, self.fleet)]
        await self._commit(events, tuple((one.number, float(self.fleet.at or 0)) for one in new))

    async def run(self) -> None:
        """Runs until cancelled."""
        failures = 0
        while True:
            try:
                for entry in await self._source.read(self.fleet.cursor, WAIT_SECONDS):
                    await self._take(entry)
            except FeedGap as gap:
                await self._jump(gap.oldest)
            except FeedUnavailable as error:
                if not failures:
                    logger.warning("no counters: %s", error)
                self.figures.feed_error = str(error)
                failures += 1
                await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1])
            else:
                failures, self.figures.feed_error = 0, None

    async def _take(self, entry: Entry) -> None:
        told, increments = entry
        while not self.fleet.knows(increments):
            await self._learn()
        if self.fleet.due(told.received_at):
            await self._tick(told.received_at)
        async with self.lock:
            await asyncio.to_thread(self.fleet.count, told, increments)
        self.figures.took(told.received_at, sum(len(one.values) for one in increments))

    async def _learn(self) -> None:
        page = await self._source.series(self.fleet.roster.series)
        if page is None or not len(page.numbers):
            raise FeedUnavailable("the feed tells of series that have no names")
        async with self.lock:
            await asyncio.to_thread(self.fleet.learn, page)

    async def _tick(self, received_at: float) -> None:
        async with self.lock:
            await self._commit(self.operated.replay(self.fleet))
            events = await asyncio.to_thread(self._judge, received_at)
            await self._commit(self.operated.desk.tell(events, float(self.fleet.at or 0)))
            await self._act()
            if time.monotonic() - self._saved_at >= self._period:
                await self._save()

    def _judge(self, received_at: float) -> list[IncidentEvent]:
        began = time.thread_time()
        events = self.incidents.evaluate(self.fleet.tick(received_at), self.fleet)
        self.figures.ticked(time.thread_time() - began, self.fleet)
        return events

    async def _commit(self, events: list[IncidentEvent], placed: tuple[Place, ...] = ()) -> None:
        for event in events:
            logger.info("%s %s: %s (%s)", event.incident.id, event.event, event.incident.severity, event.reason)
        if not events and not placed:
            return
        commit = Commit(
            cursor=0,
            received_at=0.0,
            incidents=tuple((event.at, event.incident) for event in events),
            notices=tuple(notice for event in events for notice in self._notices.plan(event)),
            placed=placed,
            tables_at=float(self.fleet.at or 0),
        )
        while True:
            try:
                new = await self._store.run(self._store.apply, commit, time.time())
                break
            except sqlite3.OperationalError as error:
                logger.error("cannot save: %s", error)  # noqa: TRY400 -- the reason is enough, once a second
                await asyncio.sleep(1.0)
        if new:
            self._told()

    async def _save(self) -> None:
        began = time.monotonic()
        try:
            await asyncio.to_thread(
                self._checkpoints.write,
                self.fleet,
                {**self.incidents.state(), "desk": self.operated.state()},
                self._notices.snapshot(),
            )
        except OSError as error:  # the next is tried after the usual time; until then more has to be read again
            logger.error("no checkpoint of the tables: %s", error)  # noqa: TRY400
            self.figures.checkpoint_failures += 1
        self._saved_at = time.monotonic()
        self.figures.checkpoint_seconds = self._saved_at - began
        self._period = max(CHECKPOINT_SECONDS, self.figures.checkpoint_seconds / CHECKPOINT_SHARE)

    async def _jump(self, oldest: int) -> None:
        """Goes on at the oldest entry there is: later than ours after a gap, earlier when the log is another one."""
        async with self.lock:
            if oldest <= self.fleet.cursor:
                logger.warning("the collector has other counters: from entry %d back to %d", self.fleet.cursor, oldest)
                self.fleet.roster.forget_series()
            elif self.fleet.cursor:
                logger.warning("counters of entries %d to %d are gone", self.fleet.cursor + 1, oldest - 1)
            self.figures.gaps += 1
            self.fleet.resume(oldest - 1, self.fleet.received_at, self.fleet.at)
        with contextlib.suppress(TimeoutError):
            await asyncio.sleep(0.1)
