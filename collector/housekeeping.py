"""What is done beside the requests: sealing intervals, forgetting what is old, trying a broken disk again (shell)."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from collector.config import CollectorConfig
from collector.ledger import Ledger
from collector.metrics import Metrics
from collector.writer import StorageUnavailableError, Writer

logger = logging.getLogger("collector")

ROUND_SECONDS = 2.0
RESEAL_SECONDS = 60.0
"""Late data is gathered for this long before it makes a version."""
CLOCK_BEHIND_SECONDS = 30.0
BITE = 500
"""Rows deleted at a time: the writer is never away for long."""

STREAM_SECONDS = 86400.0
"""How long the last point of a metric stream is kept that has fallen silent."""

_OLD_STREAMS = "DELETE FROM streams WHERE stream IN (SELECT stream FROM streams WHERE at_ns < ? ORDER BY at_ns LIMIT ?)"
_BITES: tuple[tuple[str, str], ...] = (
    (
        "feed_retention_seconds",
        (
            "DELETE FROM feed WHERE cursor < (SELECT max(cursor) FROM feed)"  # the newest stays: it carries received_at over a restart
            " AND cursor IN (SELECT cursor FROM (SELECT cursor, received_at FROM feed ORDER BY cursor LIMIT ?2) WHERE received_at < ?1)"
        ),
    ),
    (
        "failure_retention_seconds",
        "DELETE FROM failures WHERE id IN (SELECT id FROM failures WHERE at < ?1 ORDER BY at LIMIT ?2)",
    ),
    (
        "failure_retention_seconds",
        "DELETE FROM fates WHERE id IN (SELECT id FROM fates WHERE at < ?1 ORDER BY at LIMIT ?2)",
    ),
    (
        "interval_retention_seconds",
        "DELETE FROM sealed WHERE rowid IN (SELECT rowid FROM sealed WHERE start < ?1 ORDER BY start LIMIT ?2)",
    ),
    (
        "interval_retention_seconds",
        "DELETE FROM unobserved WHERE start IN (SELECT DISTINCT start FROM unobserved WHERE start < ?1 LIMIT ?2 / 100)",
    ),
    (
        "interval_retention_seconds",
        "DELETE FROM health_spans WHERE id IN (SELECT id FROM health_spans WHERE until < ?1 ORDER BY id LIMIT ?2)",
    ),
)


class Housekeeper:
    """Does a round every two seconds; what fails is tried again in the next one."""

    def __init__(
        self, config: CollectorConfig, writer: Writer, metrics: Metrics, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._writer = writer
        self._metrics = metrics
        self._clock = clock
        self._resealed_at = 0.0
        self._clock_is_behind = False
        self._gaps_since: int | None = 0
        """The first interval next to which one may be missing; None: none is."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._round(self._clock())
            except StorageUnavailableError:
                pass  # the writer has said so
            except Exception:
                logger.exception("housekeeping failed; batches are taken all the same")
            await asyncio.sleep(ROUND_SECONDS)

    async def _round(self, at: float) -> None:
        self._watch_clock(at)
        if not self._writer.figures.healthy:
            await self._writer.mend()
        await self._seal(at)
        await self._writer.work(partial(forget, config=self._config, at=at))

    async def _seal(self, at: float) -> None:
        """One interval at a time, so that batches are written in between."""
        reopened = at - self._resealed_at >= RESEAL_SECONDS
        work = partial(Ledger.seal, at=at, after_seconds=self._config.seal_after_seconds, reopened=reopened)
        while sealed := await self._writer.work(work):
            for start, version in sealed:
                self._metrics.sealed.labels("first" if version == 1 else "reopened").inc()
                logger.info("interval %d sealed as version %d", start, version)
                if version == 1:
                    self._gaps_since = start if self._gaps_since is None else min(self._gaps_since, start)
        await self._fill_gaps(at)
        if reopened:
            self._resealed_at = at

    async def _fill_gaps(self, at: float) -> None:
        """Intervals in which nothing was heard (this collector was off) become versions, too: of nothing."""
        if self._gaps_since is None:
            return
        while filled := await self._writer.work(partial(Ledger.fill_gaps, since=self._gaps_since, at=at)):
            self._metrics.sealed.labels("empty").inc(filled)
        self._gaps_since = None

    def _watch_clock(self, at: float) -> None:
        """The feed's time never goes back: after a clock that was ahead it stands still, and someone should know."""
        behind = self._writer.figures.received_at - at
        if behind > CLOCK_BEHIND_SECONDS and not self._clock_is_behind:
            logger.error(
                "the clock is %.0f s behind the newest feed entry; received_at stands still until it has caught up",
                behind,
            )
        self._clock_is_behind = behind > CLOCK_BEHIND_SECONDS


def forget(ledger: Ledger, *, config: CollectorConfig, at: float) -> int:
    """Delete a bite of what is older than its retention; how many rows went."""
    gone = 0
    with ledger.transaction() as database:
        for setting, statement in _BITES:
            gone += database.execute(statement, (at - getattr(config, setting), BITE)).rowcount
        gone += database.execute(_OLD_STREAMS, (int((at - STREAM_SECONDS) * 1e9), BITE)).rowcount
        # A sender is remembered as long as anything it may still repeat would be taken.
        gone += database.execute("DELETE FROM senders WHERE last_at < ?", (at - 2 * config.late_seconds,)).rowcount
    return gone
