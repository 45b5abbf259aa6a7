"""Where a backtest's entries come from: a running collector over HTTP, or a ledger's folder (shell)."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import aiohttp
import msgspec

from cfa.config import CfaConfig
from cfa.feed import CollectorClient, bearer
from cfa.incident import Incident
from cfa.ports import FeedGap
from cfa.rebuilding import rebuilt
from collector.history.reading import History
from collector.interval import INTERVAL_SECONDS, interval_of
from collector.reading import Reader
from collector.series import FeedEntry
from collector.wire import FailureRow, HealthSpan, IntervalRow, decode_feed, decode_intervals

READ_ENTRIES = 1000
FAILURES_MAX = 10_000
HTTP_SECONDS = 120.0


class Source(Protocol):
    """One collector's ledger."""

    async def feed(self, after: int) -> list[FeedEntry]:
        """Entries that are still kept after the cursor, oldest first; 0: from the oldest."""
        ...

    async def intervals(self, start: int) -> list[IntervalRow]:
        """The rows of one interval, series by series."""
        ...

    async def failures(self, start: int) -> list[FailureRow]:
        """The whole failures of one interval."""
        ...

    async def spans(self, start: int) -> list[HealthSpan]:
        """What hosts said of themselves in one interval."""
        ...


class FolderSource:
    """The folder of a collector that runs or does not."""

    def __init__(self, folder: Path, history: History | None) -> None:
        self._reader = Reader(folder, history)

    async def feed(self, after: int) -> list[FeedEntry]:
        """As :class:`Source` says."""
        _, entries = await self._reader.feed(after, READ_ENTRIES)
        return decode_feed(b"[" + b",".join(entries) + b"]")

    async def intervals(self, start: int) -> list[IntervalRow]:
        """As :class:`Source` says."""
        lists = self._reader.intervals(start, start + INTERVAL_SECONDS, vantage=None, by=None, version=None)
        return [row async for rows in lists for row in rows]

    async def failures(self, start: int) -> list[FailureRow]:
        """As :class:`Source` says."""
        return await self._reader.failures(start, start + INTERVAL_SECONDS, FAILURES_MAX)

    async def spans(self, start: int) -> list[HealthSpan]:
        """As :class:`Source` says."""
        return await self._reader.health_spans(start, start + INTERVAL_SECONDS)

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()


class HttpSource:
    """A running collector."""

    def __init__(self, url: str, config: CfaConfig, session: aiohttp.ClientSession, client: CollectorClient) -> None:
        self._url = url.rstrip("/")
        self._config = config
        self._session = session
        self._client = client

    async def feed(self, after: int) -> list[FeedEntry]:
        """As :class:`Source` says."""
        try:
            return await self._client.read(after, limit=READ_ENTRIES, wait_seconds=0)
        except FeedGap as gap:
            return await self._client.read(gap.oldest - 1, limit=READ_ENTRIES, wait_seconds=0)

    async def intervals(self, start: int) -> list[IntervalRow]:
        """As :class:`Source` says."""
        return decode_intervals(await self._get("/v1/intervals", start))

    async def failures(self, start: int) -> list[FailureRow]:
        """As :class:`Source` says."""
        body = await self._get("/v1/failures", start, limit=str(FAILURES_MAX))
        return msgspec.json.decode(body, type=list[FailureRow])

    async def spans(self, start: int) -> list[HealthSpan]:
        """As :class:`Source` says."""
        return msgspec.json.decode(await self._get("/v1/health_spans", start), type=list[HealthSpan])

    async def _get(self, path: str, start: int, **more: str) -> bytes:
        asked = {"start": str(start), "end": str(start + INTERVAL_SECONDS), **more}
        headers = bearer(self._config.collector_token_file)
        timeout = aiohttp.ClientTimeout(total=HTTP_SECONDS)
        async with self._session.get(self._url + path, params=asked, headers=headers, timeout=timeout) as answer:
            body = await answer.read()
            if answer.status != 200:
                raise OSError(f"{self._url}{path}: HTTP {answer.status}: {body[:200].decode(errors='replace')}")
            return body


async def entries(source: Source, since: float, until: float) -> AsyncIterator[tuple[FeedEntry, bool]]:
    """Entries of ``[since, until)``, and whether each was kept whole: what the feed no longer has is rebuilt from the intervals."""
    kept = await source.feed(0)
    begins = kept[0].received_at if kept else until
    for start in range(interval_of(since), interval_of(min(begins, until)) + 1, INTERVAL_SECONDS):
        if start >= min(begins, until):
            break
        rows = await source.intervals(start)
        for entry in rebuilt(start, rows, await source.failures(start), await source.spans(start)):
            if since <= entry.received_at < min(begins, until):
                yield entry, False
    while kept:
        for entry in kept:
            if entry.received_at >= until:
                return
            if entry.received_at >= since:
                yield entry, True
        kept = await source.feed(kept[-1].cursor)


async def merged(sources: Sequence[Source], since: float, until: float) -> AsyncIterator[tuple[FeedEntry, bool]]:
    """The entries of several collectors, by the time at which they came."""
    streams = [entries(one, since, until) for one in sources]
    heads = [await anext(stream, None) for stream in streams]
    while True:
        known = [(head[0].received_at, place) for place, head in enumerate(heads) if head is not None]
        if not known:
            return
        _, place = min(known)
        head = heads[place]
        assert head is not None
        yield head
        heads[place] = await anext(streams[place], None)


def recorded_offline(folder: Path, since: float, until: float) -> list[Incident]:
    """What the judgement's folder has recorded; nothing when there is none."""
    path = folder / "cfa.sqlite"
    if not path.exists():
        return []
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        query = "SELECT body FROM incidents WHERE opened_at < ? AND (closed_at IS NULL OR closed_at >= ?)"
        return [msgspec.json.decode(body, type=Incident) for (body,) in database.execute(query, (until, since))]
    finally:
        database.close()
