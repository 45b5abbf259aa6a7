"""The third vantage: every server's ``/metrics``, read in turn; a silent server is unobserved, not fine (shell)."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable

import aiohttp

from collector import counters, exposition
from collector.config import CollectorConfig, ScrapeTarget
from collector.coverage import Gaps
from collector.exposition import NotMetricsError, Page
from collector.metrics import Metrics
from collector.observation import Outcome
from collector.series import Reading, Series, TargetState
from collector.submission import Scraped
from collector.writer import BusyError, StorageUnavailableError, Writer

logger = logging.getLogger("collector")

PAGE_BYTES_MAX = 8 * 1024 * 1024
REPEAT_SECONDS = 10.0
"""All targets' states are told again this often, so that a reader that comes late knows them too."""

FROZEN_SECONDS = 5.0
"""A page whose Date stands still for so long is an old one: the clock behind it has stopped, or something keeps copies."""

_HEADERS = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity"}


class Scraper:
    """Reads each target once an interval, their times spread over it; tells growth and changes of state to the ledger."""

    def __init__(
        self, config: CollectorConfig, writer: Writer, metrics: Metrics, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._writer = writer
        self._metrics = metrics
        self._clock = clock
        self._states: dict[str, TargetState] = {}
        self._gaps = Gaps()

    def states(self) -> list[TargetState]:
        """The last scrape of every target, in the order of the configuration; those not asked yet are left out."""
        return [self._states[target.name] for target in self._config.scraped if target.name in self._states]

    async def run(self) -> None:
        """Scrape until cancelled."""
        targets = self._config.scraped
        if not targets:
            return
        timeout = aiohttp.ClientTimeout(total=self._config.scrape_timeout_seconds)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        async with (
            aiohttp.ClientSession(
                timeout=timeout, connector=connector, headers=_HEADERS, auto_decompress=False
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            for i, target in enumerate(targets):
                phase = self._config.scrape_interval_seconds * i / len(targets)
                group.create_task(self._follow(_Target(target), session, phase))
            group.create_task(self._repeat())

    async def _follow(self, target: "_Target", session: aiohttp.ClientSession, phase: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + phase
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            try:
                await self._scrape(target, session)
            except Exception:
                logger.exception("scrape of %s failed", target.config.name)
            # Times stay on the grid; those that a slow answer has made us miss are skipped, not caught up in a burst.
            interval = self._config.scrape_interval_seconds
            due += interval * max(1, -(-(loop.time() - due) // interval))

    async def _scrape(self, target: "_Target", session: aiohttp.ClientSession) -> None:
        page, problem = await _fetch(target.config, session)
        at = self._clock()
        if page is not None and target.is_frozen(page, at):
            page, problem = None, "stale_page"
        if problem:
            self._gaps.missed(target.config, problem, at)
        grown: tuple[Reading, ...] = () if page is None else target.readings(page, at)
        if target.skipped:
            self._metrics.samples_skipped.inc(target.skipped)
            target.skipped = 0
        changed = self._note(target.config, problem, at, page.gauges if page else {})
        if grown or changed:
            told = Scraped(zone=target.config.zone, readings=grown, targets=changed)
            try:
                await self._writer.submit(told)
            except (StorageUnavailableError, BusyError):
                if changed:
                    self._states.pop(target.config.name)  # so that it is a change again
                return  # the baseline stays where it is: the next page brings this growth once more
        if page is not None:
            target.before = page

    def _note(self, target: ScrapeTarget, problem: str, at: float, gauges: dict[str, float]) -> tuple[TargetState, ...]:
        """The new state if it is another one than before; gauges alone wait for the next time that all are told."""
        before = self._states.get(target.name)
        up = not problem
        state = TargetState(
            target=target.name, zone=target.zone, role=target.role, up=up, at=at, detail=problem, gauges=gauges
        )
        self._states[target.name] = state
        self._metrics.scrape_up.labels(target.name).set(int(up))
        self._metrics.scrapes.labels("ok" if up else problem).inc()
        if before is not None and (before.up, before.detail) == (up, problem):
            return ()
        if before is not None or not up:
            logger.info("server %s is %s %s", target.name, "up" if up else "silent:", problem)
        return (state,)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(REPEAT_SECONDS)
            with contextlib.suppress(StorageUnavailableError, BusyError):
                await self._tell_gaps()
            states = tuple(self.states())
            if states:
                with contextlib.suppress(StorageUnavailableError, BusyError):
                    await self._writer.submit(Scraped(zone="", targets=states))

    async def _tell_gaps(self) -> None:
        """Scrapes that brought nothing, as unobserved: without them a silent server would look like an idle one."""
        for zone, unobserved in self._gaps.told():
            await self._writer.submit(Scraped(zone=zone, unobserved=unobserved))
            self._gaps.kept(zone, unobserved)


class _Target:
    """One server: its last page that is in the ledger, and what its samples mean."""

    def __init__(self, config: ScrapeTarget) -> None:
        self.config = config
        self.before: Page | None = None
        self._served: tuple[str, float] = ("", 0.0)
        self.skipped = 0
        self._version: str | None = None
        self._meaning: dict[str, tuple[Series, Outcome] | None] = {}

    def is_frozen(self, page: Page, at: float) -> bool:
        """Whether the page says for some time now that it was made at the same moment: somebody serves an old one."""
        if page.served != self._served[0]:
            self._served = (page.served, at)
        return bool(page.served) and at - self._served[1] > FROZEN_SECONDS

    def readings(self, page: Page, at: float) -> tuple[Reading, ...]:
        """The growth since the last page, by series."""
        if len(self._meaning) > 2 * exposition.SAMPLES_MAX or page.version != self._version:
            self._meaning.clear()
            self._version = page.version
        grown: dict[Series, dict[Outcome, int]] = {}
        for sample, by in counters.increases(self.before, page).items():
            if sample not in self._meaning:
                self._meaning[sample] = counters.series_of(sample, self.config, self._version)
            meaning = self._meaning[sample]
            if meaning is None:
                self.skipped += 1
                continue
            counts = grown.setdefault(meaning[0], {})
            counts[meaning[1]] = counts.get(meaning[1], 0) + by
        return counters.readings(grown, at)


async def _fetch(target: ScrapeTarget, session: aiohttp.ClientSession) -> tuple[Page | None, str]:
    """The page, or None and a short word why not."""
    try:
        async with session.get(target.url, allow_redirects=False) as answer:
            if answer.status != 200:
                return None, f"http_{answer.status}"
            body = await _read(answer)
            served = answer.headers.get("Date", "")
        page = exposition.read(body.decode("utf-8", "replace"), counters.family_of(target))
        return dataclasses.replace(page, served=served), ""
    except TimeoutError:
        return None, "timeout"
    except aiohttp.ClientConnectorError:
        return None, "connect_refused"
    except (aiohttp.ClientError, OSError):
        return None, "connection_lost"
    except NotMetricsError:
        return None, "not_metrics"


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > PAGE_BYTES_MAX:
            raise NotMetricsError(f"more than {PAGE_BYTES_MAX} bytes")
    return bytes(body)
