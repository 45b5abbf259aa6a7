"""Delivers what the outbox holds, each destination on its own, in order per incident, until it is taken (shell)."""

import asyncio
import logging
import math
import random
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cfa.destinations.port import DeliveryFailed, Destination, Gathering
from cfa.notices import ATTEMPT_DEADLINE_SECONDS, LOG, Notice, retry_at
from cfa.pacing import LOOK_SECONDS_MOST, Batch, Pace
from cfa.state import StateStore
from cfa.time_to_page import TimeToPage

logger = logging.getLogger("cfa.outbox")

IN_FLIGHT_MOST = 8
"""Deliveries at once to one destination: one stuck incident does not hold up the next."""
PERMIT_SECONDS_LEAST = 1.0
"""With less of the lease left, no delivery is begun."""


class Outbox:
    """One task a destination. It only reads and marks the store; the engine never waits for it.

    ``permit``: for how many seconds from now we may deliver; a delivery never outlasts it, so that of two engines side by
    side only one speaks.
    """

    def __init__(
        self,
        store: StateStore,
        destinations: Sequence[Destination],
        *,
        paces: Mapping[str, Pace] | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        permit: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._store = store
        self._destinations = tuple(destinations)
        self._paces = dict(paces or {})
        self._clock = clock
        self._chance = chance
        self._permit = permit
        self._wakes = {one.name: asyncio.Event() for one in self._destinations}
        self.outcomes: dict[tuple[str, str], int] = {}
        """Attempts by (destination, delivered | failed | abandoned), for the metrics."""
        self.taken_at: dict[str, float] = {}
        """When each destination took something last, a refresh included."""
        self.refused_for_good: set[int] = set()
        """Numbers of notices whose destination will not take them."""
        self.time_to_page = TimeToPage()

    @property
    def names(self) -> tuple[str, ...]:
        """The destinations."""
        return tuple(one.name for one in self._destinations)

    def wake(self) -> None:
        """New notices are in the store."""
        for event in self._wakes.values():
            event.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        dropped = await self._store.run(self._store.abandon_unknown, self.names, self._clock())
        if dropped:
            logger.warning("gave up %d notices for destinations that are no longer configured", dropped)
        self.taken_at = await self._store.run(self._store.taken_at) | self.taken_at
        async with asyncio.TaskGroup() as tasks:
            for destination in self._destinations:
                tasks.create_task(_Courier(self, destination).run(), name=f"outbox-{destination.name}")


class _Courier:
    """All that goes to one destination."""

    def __init__(self, outbox: Outbox, destination: Destination) -> None:
        self._outbox = outbox
        self._store = outbox._store
        self._destination = destination
        self._pace = outbox._paces.get(destination.name) or Pace(gathers=False)
        self._busy: set[str] = set()
        self._refreshed: dict[str, float] = {}
        self._wake = outbox._wakes[destination.name]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as deliveries:
            while True:
                self._wake.clear()
                try:
                    wait = await self._start_due(deliveries)
                except sqlite3.Error:
                    logger.exception("cannot read the outbox")
                    wait = LOOK_SECONDS_MOST
                try:
                    async with asyncio.timeout(max(0.005, wait)):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _start_due(self, deliveries: asyncio.TaskGroup) -> float:
        """Starts what is due; how long nothing else will be."""
        # The store has one thread: a delivery that ended before this read is marked in it, one that ends after is still busy.
        look = self._store.waiting if self._pace.gathers else self._store.heads
        waiting = await self._store.run(look, self._destination.name)
        now = self._outbox._clock()
        if self._outbox._permit() < PERMIT_SECONDS_LEAST:
            return PERMIT_SECONDS_LEAST
        batches, wait = self._pace.choose(waiting, self._busy, now)
        for batch in batches[: max(0, IN_FLIGHT_MOST - len(self._busy))]:
            self._busy |= {one.notice.incident.id for one in batch}
            self._pace.sent(batch, now)
            deliveries.create_task(self._deliver(batch))
        if self._destination.refresh_seconds is not None:
            await self._refresh(deliveries, {pending.notice.incident.id for pending in waiting}, now)
        return wait

    async def _deliver(self, batch: Batch) -> None:
        try:
            await self._attempt(batch)
        except sqlite3.Error:
            logger.exception("cannot mark %s", batch[0].notice.key)
            await asyncio.sleep(1.0)
        finally:
            self._busy -= {one.notice.incident.id for one in batch}
            self._wake.set()

    async def _attempt(self, batch: Batch) -> None:
        failure = await self._send([one.notice for one in batch])
        now = self._outbox._clock()
        if failure is None:
            await self._store.run(self._store.delivered, [one.number for one in batch], now)
            self._note_taken(batch, now)
            return
        for one in batch:
            again = retry_at(attempts=one.attempts + 1, now=now, jitter=self._outbox._chance())
            again = max(again, now + min(failure.wait_seconds, 300.0))
            gone = await self._store.run(self._store.failed, one.number, error=str(failure), next_at=again, now=now)
            if failure.for_good:
                self._outbox.refused_for_good.add(one.number)
            self._count("abandoned" if gone else "failed")
            log = logger.error if gone else logger.warning
            log("%s to %s failed (attempt %d): %s", one.notice.key, self._destination.name, one.attempts + 1, failure)

    def _note_taken(self, batch: Batch, now: float) -> None:
        name = self._destination.name
        self._outbox.taken_at[name] = now
        first = name != LOG or len(self._outbox.names) == 1
        for one in batch:
            self._count("delivered")
            self._outbox.refused_for_good.discard(one.number)
            incident = one.notice.incident
            self._refreshed[incident.id] = now
            if one.notice.notify == "trigger" and one.notice.n == 1 and incident.category == "availability":
                seconds = now - incident.first_failure_at
                self._outbox.time_to_page.observe(name, incident.id, seconds, first=first)

    async def _send(self, notices: Sequence[Notice]) -> DeliveryFailed | None:
        """One attempt; the reason when it failed. A destination's bug is a failed attempt too, never ours."""
        deadline = min(ATTEMPT_DEADLINE_SECONDS, self._outbox._permit())
        try:
            async with asyncio.timeout(deadline):
                if len(notices) == 1 or not isinstance(self._destination, Gathering):
                    await self._destination.send(notices[0], self._outbox._clock())
                else:
                    await self._destination.send_together(notices, self._outbox._clock())
        except DeliveryFailed as error:
            return error
        except TimeoutError:
            return DeliveryFailed(f"no answer within {deadline:g} s")
        except Exception as error:
            logger.exception("destination %s is broken", self._destination.name)
            return DeliveryFailed(f"{type(error).__name__}: {error}")
        return None

    async def _refresh(self, deliveries: asyncio.TaskGroup, waiting: set[str], now: float) -> None:
        """Tells open incidents again; never beside a delivery of the same incident, so a resolve is not undone."""
        period = self._destination.refresh_seconds or 0.0
        told = await self._store.run(self._store.told, self._destination.name)
        open_names = {notice.incident.id for notice in told}
        self._refreshed = {name: at for name, at in self._refreshed.items() if name in open_names}
        for notice in told:
            name = notice.incident.id
            fresh = now - self._refreshed.get(name, 0.0) < period
            if not fresh and name not in waiting and name not in self._busy and len(self._busy) < IN_FLIGHT_MOST:
                self._busy.add(name)
                deliveries.create_task(self._tell_again(notice, now))

    async def _tell_again(self, notice: Notice, now: float) -> None:
        try:
            current = await self._store.run(self._store.incident, notice.incident.id)
            if current is not None and current.state == "open":
                failure = await self._send([replace(notice, incident=current)])
                self._count("refresh_failed" if failure else "refreshed")
                if failure is None:
                    self._outbox.taken_at[self._destination.name] = self._outbox._clock()
            self._refreshed[notice.incident.id] = now
        finally:
            self._busy.discard(notice.incident.id)
            self._wake.set()

    def _count(self, outcome: str) -> None:
        key = (self._destination.name, outcome)
        self._outbox.outcomes[key] = self._outbox.outcomes.get(key, 0) + 1
