"""Carries the feed to the judgement and what follows from it to the store; never waits for a destination (shell).

One loop does everything in order, so a snapshot always belongs to its cursor: read, step, commit, next. After kill -9
the newest snapshot is restored and the feed read again from its cursor; the judgement is deterministic, so what was
already committed is planned again under the same identity and changes nothing.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import msgspec

from cfa.acting import Actions, Answer
from cfa.config import CfaConfig
from cfa.incident import Incident, IncidentEvent
from cfa.notices import Notices
from cfa.operators import Action, Recorded, Refusal, about_incident, on_record
from cfa.ports import Feed, FeedGap, FeedState, FeedUnavailable, Journaled, Judge, JudgeFactory, Several
from cfa.recovery import Cell, answered_cells, orphans
from cfa.routes import Routes
from cfa.state import Commit, Snapshot, StateStore
from collector.series import FeedEntry

logger = logging.getLogger("cfa.engine")

BATCH_ENTRIES = 500
WAIT_SECONDS = 10.0
TICK_SECONDS = 1.0
SNAPSHOT_SECONDS = 5.0
SNAPSHOT_SHARE = 0.02
"""A snapshot may cost at most this share of the time: large ones are made less often."""
BACKOFF_MOST_SECONDS = 5.0
YIELD_SECONDS = 0.02
"""How long entries are judged in one go before the API and the deliveries get a turn."""
FED_SECONDS = 10.0
"""Ready means: something was judged within this time."""


class Engine:
    """The judgement in its process. Make it with :meth:`open`; its attributes are read by the API."""

    def __init__(
        self,
        config: CfaConfig,
        store: StateStore,
        feed: Feed,
        judge: Judge,
        notices: Notices,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self.judge = judge
        self.cursor = 0
        self.answered: set[Cell] = set()
        self.fed_at: float | None = None
        """Monotonic time of the last entry; None before the first of this life."""
        self.feed_error: str | None = None
        self._feed_since: float | None = None
        self.gaps = 0
        self.entries = 0
        self.step_seconds = 0.0
        self.beside: Callable[[], list[Incident]] = list
        """Open incidents of whoever judges beside us and commits to the same store."""
        self.acted: Callable[[], Awaitable[None]] | None = None
        """Tells them that there is something new in the journal of actions."""
        self._store = store
        self._feed = feed
        self._actions = Actions(judge)
        self._journaled = feed if isinstance(feed, Journaled) else None
        self._notices = notices
        self._clock = clock
        self._monotonic = monotonic
        self._told = told
        self._received_at = 0.0
        self._anchor = (clock(), monotonic())
        self._saved_at = monotonic()
        self._save_period = SNAPSHOT_SECONDS
        self._reconciled = False
        self._committed = 0
        """Up to here an earlier life had come; before it is reached again, what is in the store is ahead of the judgement."""
        self._uncommitted = False
        """True while the judgement is ahead of the store: a snapshot would then hide events that nobody was told."""

    @classmethod
    async def open(
        cls,
        config: CfaConfig,
        store: StateStore,
        feed: Feed,
        factory: JudgeFactory,
        routes: Routes | tuple[str, ...],
        **clocks: Callable[[], float],
    ) -> Self:
        """The engine as its newest readable snapshot says, or a new one."""
        engine = await cls._revived(config, store, feed, factory, routes, **clocks)
        engine._committed = await store.run(store.committed_cursor)
        if engine._journaled is not None:
            engine._journaled.resume(engine.cursor, engine._received_at)
        engine._actions.follow(await store.run(store.actions_after, engine._actions.applied))
        return engine

    @classmethod
    async def _revived(
        cls,
        config: CfaConfig,
        store: StateStore,
        feed: Feed,
        factory: JudgeFactory,
        routes: Routes | tuple[str, ...],
        **clocks: Callable[[], float],
    ) -> Self:
        for snapshot in await store.run(store.snapshots):
            try:
                judge = factory.restore(config, snapshot.judgement)
                notices = Notices.restore(routes, config.region, snapshot.notices)
                answered = msgspec.json.decode(snapshot.answered, type=set[Cell])
            except ValueError as error:
                logger.warning("cannot use the snapshot at cursor %d: %s", snapshot.cursor, error)
                continue
            engine = cls(config, store, feed, judge, notices, **clocks)  # type: ignore[arg-type]  # only the clocks
            engine.cursor, engine._received_at, engine.answered = snapshot.cursor, snapshot.received_at, answered
            engine._anchor = (max(engine._anchor[0], snapshot.received_at), engine._anchor[1])
            return engine
        return cls(config, store, feed, factory(config), Notices(routes, config.region), **clocks)  # type: ignore[arg-type]

    def on_told(self, told: Callable[[], None]) -> None:
        """Whom to wake when new notices are in the store."""
        self._told = told

    def now(self) -> float:
        """UTC on the collector's clock: that of the last entry, carried on by our monotonic one."""
        at, mono = self._anchor
        return at + self._monotonic() - mono

    async def act(self, action: Action) -> Answer:
        """Does what an operator asks, or says why not; what is done is durable when this answers."""
        answer = await self._actions.ask(action)
        if isinstance(answer, Recorded) and self.acted is not None:
            await self.acted()
        return answer

    @property
    def feeds(self) -> list[FeedState]:
        """Each collector that is to feed us, and whether it does."""
        if isinstance(self._feed, Several):
            return self._feed.states()
        error = self.feed_error if self._feed_since is not None else "not asked yet"
        return [FeedState(self.config.feed_urls[0], ok=error is None, since=self._feed_since, error=error)]

    @property
    def seconds_since_fed(self) -> float | None:
        """How long nothing has arrived; None before the first entry of this life."""
        return None if self.fed_at is None else self._monotonic() - self.fed_at

    async def run(self) -> None:
        """Runs until cancelled; the last snapshot is saved on the way out."""
        failures = 0
        try:
            await self._commit_replayed()
            while True:
                try:
                    entries = await self._read()
                except FeedGap as gap:
                    await self._start_at(gap.oldest)
                    await self._rest(0.1)
                except FeedUnavailable as error:
                    failures += 1
                    self._note_unavailable(error, failures)
                    await self._rest(min(BACKOFF_MOST_SECONDS, 0.25 * 2.0 ** min(failures, 8)))
                else:
                    failures = 0
                    self._note_available()
                    await self._judge_batch(entries)
        finally:
            if not self._uncommitted:  # else the next life judges the same entries again
                with contextlib.suppress(Exception):
                    await asyncio.shield(self._commit([], snapshot=True))

    async def _read(self) -> list[FeedEntry]:
        """The next entries; while nothing comes, the judgement hears every second that nothing came."""
        reading = asyncio.ensure_future(
            self._feed.read(self.cursor, limit=BATCH_ENTRIES, wait_seconds=WAIT_SECONDS),
        )
        try:
            while not await self._waited(reading, TICK_SECONDS):
                await self._tick()
            return reading.result()
        finally:
            reading.cancel()

    async def _waited(self, reading: asyncio.Future[list[FeedEntry]] | None, seconds: float) -> bool:
        """Waits for the entries, or so long; meanwhile operators' actions are carried out. Whether the entries are there."""
        asked = asyncio.ensure_future(self._actions.asked.wait())
        try:
            waited: set[asyncio.Future[Any]] = {asked} if reading is None else {asked, reading}
            await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        if self._actions.asked.is_set():
            await self._carry_out()
        return reading is not None and reading.done()

    async def _rest(self, seconds: float) -> None:
        end = self._monotonic() + seconds
        while (left := end - self._monotonic()) > 0:
            await self._waited(None, min(TICK_SECONDS, left))
            await self._tick()

    async def _commit_replayed(self) -> None:
        """Actions of an earlier life that came after the last entry of the snapshot: no entry need follow for them to hold."""
        events = self._actions.replay(self.cursor + 1)
        if events:
            self._uncommitted = True
            await self._commit(events, snapshot=False)
            self._uncommitted = False

    async def _carry_out(self) -> None:
        """Takes what operators ask, each in a commit of its own with what follows from it."""
        for action, answer in self._actions.take_asked():
            found = await self._do(action)
            if not answer.done():
                answer.set_result(found)

    async def _do(self, action: Action) -> Answer:
        at = max(self.now(), self._received_at)
        if self.cursor < self._committed:  # its place would be in the past
            return Refusal("catching_up", "the judgement has just started and is catching up; try again in a moment")
        refusal, old = self._actions.refusal(action, at), None
        if refusal is not None and refusal.reason == "unknown_incident":
            old = await self._store.run(self._store.incident, action.subject)
            refusal = refusal if old is None else self._refuses_stored(action, old, refusal)
        if refusal is not None:
            return refusal
        self._uncommitted = True
        recorded, events = self._actions.do(action, after=self.cursor, at=at)
        if old is not None and not self._is_beside(old):  # whoever judges it beside us takes it from the journal
            events = [on_record(old, recorded)]
        await self._commit(events, snapshot=self._snapshot_due())
        self._uncommitted = False
        return recorded

    def _is_beside(self, incident: Incident) -> bool:
        return any(one.id == incident.id for one in self.beside())

    def _refuses_stored(self, action: Action, incident: Incident, unknown: Refusal) -> Refusal | None:
        """Open incidents in the store belong to whoever judges beside us, to the watch over deliveries, or to nobody."""
        if incident.state == "closed" or incident.is_of_delivery or self._is_beside(incident):
            return about_incident(action, incident)
        if self.acted is not None:  # opened by them in an earlier life, or closed by them this moment
            return Refusal("catching_up", f"{incident.id} is not known yet by who judges it; try again in a moment")
        return about_incident(action, incident) if action.kind == "note" else unknown

    async def _tick(self) -> None:
        """What follows from silence is not in the feed, so it is saved together with a snapshot: no replay can differ."""
        self._uncommitted = True
        events = self.judge.tick(self.now())
        if events or self._snapshot_due():
            await self._commit(events, snapshot=True)
        self._uncommitted = False

    async def _judge_batch(self, entries: list[FeedEntry]) -> None:
        if entries:
            self._uncommitted = True
            events = await self._step_all(entries)
            await self._commit(events, snapshot=self._snapshot_due())
            self._uncommitted = False
        if not self._reconciled and entries and self.cursor >= self._committed:
            self._reconciled = True
            await self._close_orphans()

    async def _step_all(self, entries: list[FeedEntry]) -> list[IncidentEvent]:
        events: list[IncidentEvent] = []
        turn = self._monotonic()
        for entry in entries:
            before = self._monotonic()
            events += self._actions.replay(entry.cursor)
            events += self.judge.step(entry)
            self.step_seconds += self._monotonic() - before
            self._note_entry(entry)
            if self._monotonic() - turn > YIELD_SECONDS:
                await asyncio.sleep(0)
                turn = self._monotonic()
        return events

    def _note_entry(self, entry: FeedEntry) -> None:
        self.cursor = entry.cursor
        self.entries += 1
        self._received_at = max(self._received_at, entry.received_at)
        self.fed_at = self._monotonic()
        self._anchor = (self._received_at, self.fed_at)
        self.answered |= answered_cells(entry, self.config.seldom_asked_seconds)

    def _snapshot_due(self) -> bool:
        return self._monotonic() - self._saved_at >= self._save_period

    async def _commit(self, events: list[IncidentEvent], *, snapshot: bool) -> None:
        for event in events:
            logger.info("%s %s: %s (%s)", event.incident.id, event.event, event.incident.severity, event.reason)
        forget_after, runs = self._journaled.journal() if self._journaled else (None, ())
        commit = Commit(
            cursor=self.cursor,
            received_at=self._received_at,
            incidents=tuple((event.at, event.incident) for event in events),
            notices=tuple(notice for event in events for notice in self._notices.plan(event)),
            snapshot=self._take_snapshot() if snapshot else None,
            runs=runs,
            forget_runs_after=forget_after,
            actions=self._actions.made(),
        )
        while True:
            try:
                new = await self._store.run(self._store.apply, commit, self._clock())
                break
            except sqlite3.OperationalError as error:  # a full disk: what was judged is kept until it fits
                logger.error("cannot save: %s", error)  # noqa: TRY400 -- the reason is enough, once a second
                await asyncio.sleep(1.0)
        if new:
            self._told()

    def _take_snapshot(self) -> Snapshot:
        began = self._monotonic()
        snapshot = Snapshot(
            cursor=self.cursor,
            received_at=self._received_at,
            judgement=self.judge.snapshot(),
            notices=self._notices.snapshot(),
            answered=msgspec.json.encode(sorted(self.answered)),
        )
        self._saved_at = self._monotonic()
        self._save_period = max(SNAPSHOT_SECONDS, (self._saved_at - began) / SNAPSHOT_SHARE)
        return snapshot

    async def _close_orphans(self) -> None:
        """Incidents that the store calls open and the judgement does not know (its snapshots were lost) are ended and told."""
        stored = await self._store.run(self._store.open_incidents)
        events = orphans(stored, [*self.judge.incidents(), *self.beside()], self.now())
        if events:
            logger.warning("ending %d incidents that the judgement no longer knows", len(events))
            await self._commit(events, snapshot=True)

    async def _start_at(self, oldest: int) -> None:
        """Goes on at the oldest entry there is: later than ours after a gap, earlier when the ledger is another one."""
        if oldest <= self.cursor:
            self.gaps += 1
            logger.warning("the collector has another ledger: from entry %d back to %d", self.cursor, oldest)
            await self._store.run(self._store.forget_cursor)
            self._committed = 0
        elif self.cursor:
            self.gaps += 1
            logger.warning("entries %d to %d are gone: the judgement did not see them", self.cursor + 1, oldest - 1)
        self.cursor = oldest - 1

    def _note_unavailable(self, error: FeedUnavailable, failures: int) -> None:
        self.feed_error = str(error)
        if failures == 1 or self._feed_since is None:
            self._feed_since = self._clock()
        if failures == 1:
            logger.warning("the collector does not feed us: %s", error)

    def _note_available(self) -> None:
        if self.feed_error is not None:
            logger.info("the collector feeds us again")
        if self.feed_error is not None or self._feed_since is None:
            self._feed_since = self._clock()
        self.feed_error = None
