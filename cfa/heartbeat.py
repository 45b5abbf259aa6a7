"""A sign of life to a dead-man's switch outside, sent only while the judgement is fed and judges (shell).

Whoever watches the watcher must not stand beside it: if this machine dies, nothing here can tell.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from cfa.destinations.alert import rfc3339
from cfa.destinations.config import Heartbeat as Configured
from cfa.destinations.http import JsonPoster
from cfa.destinations.port import DeliveryFailed

logger = logging.getLogger("cfa.heartbeat")

ALIVE_PERIODS = 4
"""A watchdog alert ends by itself after so many missed signs, as Prometheus' alerts do."""


class Heartbeat:
    """Sends every ``every_seconds``; after a failure sooner."""

    def __init__(
        self,
        config: Configured,
        alive: Callable[[], bool],
        labels: dict[str, str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``alive``: whether the judgement is fed and judges. ``labels``: who we are, for a watchdog alert."""
        self._config = config
        self._alive = alive
        self._labels = labels
        self._clock = clock
        url: Any = config.url_file or config.url
        if config.kind == "alertmanager" and config.url:
            url = f"{config.url.rstrip('/').removesuffix('/api/v2/alerts')}/api/v2/alerts"
        self._poster = JsonPoster(url, None, config.ca_file)
        self.outcomes: Counter[str] = Counter()
        """``sent``, ``failed``, or ``withheld`` because the judgement does not judge."""
        self.sent_at: float | None = None
        self.error: str | None = None

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            outcome = await self.beat()
            every = self._config.every_seconds
            await asyncio.sleep(every if outcome == "sent" else max(1.0, min(10.0, every / 6)))

    async def beat(self) -> str:
        """One sign of life, if there is life: ``sent``, ``failed`` or ``withheld``."""
        if not self._alive():
            self.outcomes["withheld"] += 1
            return "withheld"
        now = self._clock()
        try:
            if self._config.kind == "ping":
                await self._poster.post_bytes(b"")
            else:
                await self._poster.post([self._watchdog(now)])
        except DeliveryFailed as error:
            if self.error is None:
                logger.warning("the heartbeat does not get through: %s", error)
            self.error = str(error)
            self.outcomes["failed"] += 1
            return "failed"
        self.sent_at, self.error = now, None
        self.outcomes["sent"] += 1
        return "sent"

    def _watchdog(self, now: float) -> dict[str, Any]:
        """An alert that always fires: its absence is the alarm."""
        return {
            "labels": {"alertname": "Watchdog", "severity": "none", **self._labels},
            "annotations": {"summary": "fivenines judges. This alert always fires; when it ends, nobody judges."},
            "startsAt": rfc3339(now),
            "endsAt": rfc3339(now + ALIVE_PERIODS * self._config.every_seconds),
        }

    @property
    def age_seconds(self) -> float | None:
        """Since the last one that was taken; None before the first."""
        return None if self.sent_at is None else max(0.0, self._clock() - self.sent_at)

    def view(self) -> dict[str, Any]:
        """The ``heartbeat`` part of the status."""
        return {"sent_at": self.sent_at, "last_error": self.error, **self.outcomes}

    async def close(self) -> None:
        """Closes the connections."""
        await self._poster.close()
