"""Delivers what the outbox holds, each destination on its own, in order per incident, until it is taken (shell)."""

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from cfa.destinations.port import DeliveryFailed, Destination
from cfa.notices import ATTEMPT_DEADLINE_SECONDS, Notice, retry_at
from cfa.state import Pending, StateStore

logger = logging.getLogger("cfa.outbox")

IN_FLIGHT_MOST = 8
"""Deliveries at once to one destination: one stuck incident does not hold up the next."""
LOOK_SECONDS_MOST = 5.0


class Outbox:
    """One task a destination. It only reads and marks the store; the engine never waits for it."""

    def __init__(
        self,
        store: StateStore,
        destinations: Sequence[Destination],
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._destinations = tuple(destinations)
        self._clock = clock
        self._chance = chance
        self._wakes = {one.name: asyncio.Event() for one in self._destinations}
        self.outcomes: dict[tuple[str, str], int] = {}
        """Attempts by (destination, delivered | failed | abandoned), for the metrics."""

    def wake(self) -> None:
        """New notices are in the store."""
        for event in self._wakes.values():
            event.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        names = tuple(one.name for one in self._destinations)
        dropped = await self._store.run(self._store.abandon_unknown, names, self._clock())
        if dropped:
            logger.warning("gave up %d notices for destinations that are no longer configured", dropped)
        async with asyncio.TaskGroup() as tasks:
            for destination in self._destinations:
                tasks.create_task(_Courier(self, destination).run(), name=f"outbox-{destination.name}")


class _Courier:
    """All that goes to one destination."""

    def __init__(self, outbox: Outbox, destination: Destination) -> None:
        self._outbox = outbox
        self._store = outbox._store
        self._destination = destination
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
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _start_due(self, deliveries: asyncio.TaskGroup) -> float:
        """Starts what is due; how long nothing else will be."""
        # The store has one thread: a delivery that ended before this read is marked in it, one that ends after is still busy.
        heads = await self._store.run(self._store.heads, self._destination.name)
        now = self._outbox._clock()
        wait = LOOK_SECONDS_MOST
        for pending in heads:
            name = pending.notice.incident.id
            if name in self._busy or len(self._busy) >= IN_FLIGHT_MOST:
                continue  # its end wakes us
            if pending.next_at > now:
                wait = min(wait, pending.next_at - now)
                continue
            self._busy.add(name)
            deliveries.create_task(self._deliver(pending))
        if self._destination.refresh_seconds is not None:
            await self._refresh(deliveries, {pending.notice.incident.id for pending in heads}, now)
        return wait

    async def _deliver(self, pending: Pending) -> None:
        name = pending.notice.incident.id
        try:
            await self._attempt(pending)
        except sqlite3.Error:
            logger.exception("cannot mark %s", pending.notice.key)
            await asyncio.sleep(1.0)
        finally:
            self._busy.discard(name)
            self._wake.set()

    async def _attempt(self, pending: Pending) -> None:
        error = await self._send(pending.notice)
        now = self._outbox._clock()
        if error is None:
            self._count("delivered")
            await self._store.run(self._store.delivered, pending.number, now)
            self._refreshed[pending.notice.incident.id] = now
            return
        again = retry_at(attempts=pending.attempts + 1, now=now, jitter=self._outbox._chance())
        gone = await self._store.run(self._store.failed, pending.number, error=error, next_at=again, now=now)
        self._count("abandoned" if gone else "failed")
        log = logger.error if gone else logger.warning
        log(
            "%s to %s failed (attempt %d): %s",
            pending.notice.key,
            self._destination.name,
            pending.attempts + 1,
            error,
        )

    async def _send(self, notice: Notice) -> str | None:
        """One attempt; the reason when it failed. A destination's bug is a failed attempt too, never ours."""
        try:
            async with asyncio.timeout(ATTEMPT_DEADLINE_SECONDS):
                await self._destination.send(notice, self._outbox._clock())
        except DeliveryFailed as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {ATTEMPT_DEADLINE_SECONDS:g} s"
        except Exception as error:
            logger.exception("destination %s is broken", self._destination.name)
            return f"{type(error).__name__}: {error}"
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
                error = await self._send(replace(notice, incident=current))
                self._count("refresh_failed" if error else "refreshed")
            self._refreshed[notice.incident.id] = now
        finally:
            self._busy.discard(notice.incident.id)
            self._wake.set()

    def _count(self, outcome: str) -> None:
        key = (self._destination.name, outcome)
        self._outbox.outcomes[key] = self._outbox.outcomes.get(key, 0) + 1
