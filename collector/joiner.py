"""Asks routers what became of requests that failed for canaries, a second later, once, within a budget (shell)."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterable

import aiohttp
from yarl import URL

from collector.config import CollectorConfig
from collector.join import Fate, Remembered, decode, fate_of, joinable
from collector.metrics import Metrics
from collector.observation import Observation
from collector.series import RequestFate
from collector.submission import Scraped, Submission
from collector.wire import Batch
from collector.writer import BusyError, StorageUnavailableError, Writer

logger = logging.getLogger("collector")

PATIENCE_SECONDS = 1.0
"""A request that is late has so long to arrive before the router is asked."""
PER_SECOND = 50
"""Failures that are looked into in a second, of one router; the oldest first."""
WAITING_MAX = 1000
ANSWER_BYTES_MAX = 256 * 1024

Waiting = tuple[float, str, Observation]
"""When to ask (monotonic), the canary host, its failure."""


class Joiner:
    """Of each failure that a canary has sent a request for: the router's word, kept beside it in the ledger, and told in the feed."""

    def __init__(self, config: CollectorConfig, writer: Writer, metrics: Metrics) -> None:
        self._pages = {
            target.name: target.url.rpartition("/")[0] + "/requests"
            for target in config.scrape
            if target.role == "router"
        }
        self._patience = config.scrape_timeout_seconds
        self._writer = writer
        self._metrics = metrics
        self._waiting: dict[str, deque[Waiting]] = {name: deque() for name in self._pages}

    def stored(self, submission: Submission, _received_at: float) -> None:
        """A batch is durable: note its failures."""
        if not isinstance(submission, Batch):
            return
        due = time.monotonic() + PATIENCE_SECONDS
        for failure in joinable(submission):
            queue = self._waiting.get(failure.router or "")
            if queue is None or len(queue) >= WAITING_MAX:
                self._metrics.joins.labels("dropped" if queue is not None else "unknown_router").inc()
            else:
                queue.append((due, submission.host, failure))

    async def run(self) -> None:
        """Until cancelled."""
        if not self._pages:
            return
        timeout = aiohttp.ClientTimeout(total=self._patience)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            while True:
                await asyncio.sleep(1.0)
                now = time.monotonic()
                due = {name: _due(queue, now) for name, queue in self._waiting.items()}
                await asyncio.gather(*(self._look_into(session, name, few) for name, few in due.items() if few))

    async def _look_into(self, session: aiohttp.ClientSession, router: str, few: list[Waiting]) -> None:
        said = await _ask(session, self._pages[router], {one.request_id or "" for _, _, one in few})
        rows = [(one.at, host, *fate_of(one, said)) for _, host, one in few]
        try:
            await self._writer.work(lambda ledger: ledger.keep_fates(rows))
        except StorageUnavailableError:
            self._metrics.joins.labels("dropped").inc(len(rows))
            return
        for _, _, fate, _ in rows:
            self._metrics.joins.labels(fate.value).inc()
        told = tuple(RequestFate(host=host, at=at, fate=fate.value) for at, host, fate, _ in rows)
        with contextlib.suppress(StorageUnavailableError, BusyError):  # the judgement does without
            await self._writer.submit(Scraped(zone="", fates=told))


FATES: Iterable[str] = (*Fate, "dropped", "unknown_router")
"""All that may become of a join, as the metric counts it."""


def _due(queue: deque[Waiting], now: float) -> list[Waiting]:
    """The oldest whose time has come, as many as one question may name."""
    few: list[Waiting] = []
    while queue and queue[0][0] <= now and len(few) < PER_SECOND:
        few.append(queue.popleft())
    return few


async def _ask(session: aiohttp.ClientSession, page: str, ids: set[str]) -> Remembered | None:
    try:
        asked = URL(f"{page}?ids={','.join(sorted(ids))}", encoded=True)
        async with session.get(asked, allow_redirects=False) as answer:
            if answer.status != 200:
                return None
            return decode(await answer.content.read(ANSWER_BYTES_MAX))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        logger.debug("no word from %s: %r", page, error)
        return None
