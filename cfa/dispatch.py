"""Watches over the deliveries: second routes, escalations, and the alarm about a destination that takes nothing (shell)."""

import asyncio
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from cfa.config import CfaConfig
from cfa.destinations.config import named
from cfa.notices import ABANDON_AFTER_SECONDS
from cfa.outbox import Outbox
from cfa.pager_path import Standing, broken, evaluate, notices, resolved_by_hand
from cfa.routes import Routes
from cfa.second_route import escalated, rescued
from cfa.state import Commit, StateStore
from cfa.time_to_page import summary

logger = logging.getLogger("cfa.dispatch")

LOOK_SECONDS = 1.0
VIEW_SECONDS = 5.0
FOLLOW_SECONDS = 30 * 86400.0
"""Whoever was told by a second route is followed up so long."""
RESOLVED_SECONDS = 2 * ABANDON_AFTER_SECONDS
"""A page that waits has waited for a day at most."""
SLI_SECONDS = 30 * 86400.0


class Dispatch:
    """Looks at the outbox once a second; all that it adds is durable and idempotent."""

    def __init__(
        self, config: CfaConfig, store: StateStore, outbox: Outbox, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._configured = named(config.destinations)
        self._routes = Routes.of(config.destinations, config.routes)
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._sli_at = float("-inf")
        self._sli: dict[str, Any] = summary(())
        self.added: Counter[str] = Counter()
        """Notices that were added, by ``fallback``, ``escalation``, ``follow`` or ``pager_path``."""
        self.view: dict[str, Any] = {"destinations": [], "time_to_page": self._sli}
        """The ``delivery`` part of the status."""

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self.look()
            except sqlite3.Error:
                logger.exception("cannot look after the outbox")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """One look: adds what is due, in one transaction each."""
        store, now, before = self._store, self._clock(), self.added.total()
        waiting = await store.run(store.triggers_waiting)
        saved = rescued(waiting, self._configured, self._outbox.refused_for_good, now)
        await self._add("fallback", saved)
        if self._config.escalations:
            pages = await store.run(store.open_pages)
            await self._add("escalation", escalated(pages, self._config.escalations, now))
        await self._add("follow", await store.run(store.unfollowed, now - FOLLOW_SECONDS))
        await self._watch_paths(now)
        if self.added.total() > before:
            self._outbox.wake()

    async def _add(self, origin: str, found: list[Any]) -> None:
        if found:
            new = await self._store.run(self._store.tell_too, found, origin, self._clock())
            self.added[origin] += new
            if new:
                logger.warning("%s: %d more notices", origin, new)

    async def _watch_paths(self, now: float) -> None:
        store = self._store
        standings = await store.run(store.standings)
        ill = broken(standings, self._configured, now)
        self.added["pager_path"] += await store.run(self._judge_paths, ill, now)
        pending = await store.run(store.pending_counts)
        if now - self._sli_at >= VIEW_SECONDS:
            self._sli_at = now
            self._sli = summary(await store.run(store.times_to_page, now - SLI_SECONDS))
        self.view = {
            "destinations": [
                {
                    "name": name,
                    "pending": pending.get(name, 0),
                    "page_waits_seconds": round(now - standings[name].waits_since, 3) if name in standings else 0.0,
                    "last_error": standings[name].error if name in standings else None,
                    "taken_at": self._outbox.taken_at.get(name),
                    "broken": name in ill,
                }
                for name in self._configured
            ],
            "time_to_page": self._sli,
        }

    def _judge_paths(self, ill: dict[str, Standing], now: float) -> int:
        """On the store's thread, so that no operator's action comes between what is read and what is written."""
        store, added = self._store, 0
        known = store.open_incidents()
        resolved = resolved_by_hand(store.incidents(now - RESOLVED_SECONDS)) if ill else {}
        for event in evaluate(ill, self._configured, self._outbox.taken_at, known, now, resolved=resolved):
            told = notices(event, self._routes, self._config.region)
            logger.error("%s %s: %s", event.incident.id, event.event, event.incident.summary)
            commit = Commit(cursor=0, received_at=0.0, incidents=((event.at, event.incident),), notices=tuple(told))
            added += store.apply(commit, now)
        return added
