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
BITE = 500
"""Rows deleted at a time: the writer is never away for long."""

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


async def keep_house(
    config: CollectorConfig, writer: Writer, metrics: Metrics, *, clock: Callable[[], float] = time.time
) -> None:
    """A round every two seconds, until cancelled. What fails is tried again in the next round."""
    resealed_at = 0.0
    while True:
        at = clock()
        reopened = at - resealed_at >= RESEAL_SECONDS
        try:
            if not writer.figures.healthy:
                await writer.mend()
            sealed = await writer.work(
                partial(Ledger.seal, at=at, after_seconds=config.seal_after_seconds, reopened=reopened)
            )
            resealed_at = at if reopened else resealed_at
            for start, version in sealed:
                metrics.sealed.labels("first" if version == 1 else "reopened").inc()
                logger.info("interval %d sealed as version %d", start, version)
            await writer.work(partial(forget, config=config, at=at))
        except StorageUnavailableError:
            pass  # the writer has said so; the next round tries again
        await asyncio.sleep(ROUND_SECONDS)


def forget(ledger: Ledger, *, config: CollectorConfig, at: float) -> int:
    """Delete a bite of what is older than its retention; how many rows went."""
    gone = 0
    with ledger.transaction() as database:
        for setting, statement in _BITES:
            gone += database.execute(statement, (at - getattr(config, setting), BITE)).rowcount
        # A sender is remembered as long as anything it may still repeat would be taken.
        gone += database.execute("DELETE FROM senders WHERE last_at < ?", (at - 2 * config.late_seconds,)).rowcount
    return gone
