"""The collector's history over time: hours go into it, days get roll-ups, what is too old goes (shell)."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from collector.config import CollectorConfig
from collector.history import bookkeeping, layout
from collector.history.arrow import Dimensions
from collector.history.layout import DAY_SECONDS, HOUR_SECONDS
from collector.history.manifest import Manifest, ManifestError
from collector.history.reading import History
from collector.history.store import HistoryUnavailable, open_store
from collector.history.writing import HistoryWriter
from collector.interval import INTERVAL_SECONDS
from collector.ledger import Ledger
from collector.ledger_file import database_of, read_series
from collector.metrics import Metrics
from collector.writer import StorageUnavailableError, Writer

logger = logging.getLogger("collector.history")

ROUND_SECONDS, BETWEEN_SECONDS = 5.0, 0.05
GATHER_SECONDS = 600.0
"""Late versions of an hour wait this long for others."""
BITE = 24
"""Sealed rows deleted at a time: each is up to some megabytes."""
REMOVED_AT_ONCE = 24

T = TypeVar("T")


def open_history(config: CollectorConfig) -> History | None:
    """The history as configured; None when it is turned off. Raises ValueError for an address that is none."""
    if not config.history.enabled:
        return None
    url = config.history.url or str(config.data_dir / "history")
    return History(open_store(url, endpoint_url=config.history.endpoint_url, region=config.history.region))


class Keeper:
    """Does one thing a round, so that a backlog keeps nobody waiting. What the store refuses is tried again."""

    def __init__(
        self,
        config: CollectorConfig,
        history: History,
        writer: Writer,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._clock = clock
        self._history = history
        self._writer = writer
        self._metrics = metrics
        self._files = HistoryWriter(history.store)
        self._dimensions = Dimensions()
        self._adopted = False
        self._database: sqlite3.Connection | None = None
        self._problem = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            done = False
            try:
                done = await self.round(self._clock())
            except StorageUnavailableError:
                pass  # the writer has said so
            except Exception:
                logger.exception("the history was not carried on; batches are taken all the same")
            await asyncio.sleep(BETWEEN_SECONDS if done else ROUND_SECONDS)

    async def round(self, at: float) -> bool:
        """Whether something was done, so that there may be more. Raises nothing that the store's absence explains."""
        try:
            done = await self._round(at)
        except (HistoryUnavailable, ManifestError) as error:
            self._metrics.history_problems.inc()
            if str(error) != self._problem:
                logger.error("the history waits: %s", error)  # noqa: TRY400 (a full disk is no fault of the program)
            self._problem = str(error)
            return False
        self._problem = ""
        return done

    async def _round(self, at: float) -> bool:
        if not self._adopted:
            await self._adopt()
        await self._restore(at)
        manifest = await asyncio.to_thread(self._write_next, at)
        if manifest is not None:
            await self._record(manifest)
            self._metrics.history_files.labels("hour" if manifest.seconds == HOUR_SECONDS else "day").inc()
            await asyncio.to_thread(self._history.warm)
            return True
        return await self._remove(at) or await self._forget(at)

    async def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            await asyncio.to_thread(self._database.close)

    async def _adopt(self) -> None:
        """What was written before a crash, but not noted, counts."""
        await asyncio.to_thread(self._history.refresh)
        known = await self._writer.work(lambda ledger: _on(ledger, bookkeeping.recorded))
        name = await self._writer.work(lambda ledger: _on(ledger, bookkeeping.identity))
        mine = [m for m in self._history.known.manifests.values() if m.ledger == name and _path(m) not in known]
        for manifest in sorted(mine, key=lambda one: one.serial):
            await self._record(manifest)
        self._adopted = True
        read = await asyncio.to_thread(self._history.warm)
        logger.info("the history has %d manifests; %d files are looked up", len(self._history.known.manifests), read)

    async def _record(self, manifest: Manifest) -> None:
        self._history.add(manifest)
        work = partial(bookkeeping.record, path=_path(manifest), manifest=manifest)
        await self._writer.work(lambda ledger: _on(ledger, work))

    def _write_next(self, at: float) -> Manifest | None:
        """On a thread of its own: the files of the next hour, else the roll-ups of the next day."""
        database = self._reading()
        place = bookkeeping.place(database)
        hour = bookkeeping.hour_due(
            database,
            at,
            seal_after=self._config.seal_after_seconds + INTERVAL_SECONDS,
            gather=GATHER_SECONDS,
            oldest=at - self._config.interval_retention_seconds,
        )
        known = self._history.known
        if hour is not None:
            self._dimensions.learn(series for _, series in read_series(database, after=len(self._dimensions)))
            sealed = bookkeeping.sealed_of(database, hour)
            number = known.next_number(place.ledger, hour, HOUR_SECONDS)
            manifest = self._files.write_hour(place, hour, number, sealed, self._dimensions, at=at)
            logger.info("hour %d is in the history: %d versions, file %d", hour, len(sealed), number)
            return manifest
        day = next((day for day in known.days(place.ledger) if known.day_is_due(place.ledger, day)), None)
        if day is None:
            return None
        rollups = self._history.day_rollups(place.ledger, day)
        number = known.next_number(place.ledger, day, DAY_SECONDS)
        return self._files.write_day(place, day, number, known.newest_of_day(place.ledger, day), rollups, at=at)

    def _reading(self) -> sqlite3.Connection:
        if self._database is None:
            uri = f"{database_of(self._config.data_dir).absolute().as_uri()}?mode=ro"
            self._database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA busy_timeout = 5000")
        return self._database

    async def _restore(self, at: float) -> None:
        """Bring back what a next version needs, and only the history has: an exclusion may reach back for months."""
        for start, version in (await self._writer.work(Ledger.absent))[:BITE]:
            name = await self._writer.work(lambda ledger: _on(ledger, bookkeeping.identity))
            names, table = await asyncio.to_thread(self._history.interval, name, start, version)
            await self._writer.work(partial(_restore, start=start, version=version, names=names, table=table, at=at))

    async def _forget(self, at: float) -> bool:
        before = at - max(
            self._config.history.local_seconds, self._config.late_seconds + self._config.seal_after_seconds
        )
        work = partial(bookkeeping.forget_local, before=before, most=BITE)
        return await self._writer.work(lambda ledger: _on(ledger, work)) > 0

    async def _remove(self, at: float) -> bool:
        """Retention: first the word that the files are gone, then the files; the manifest stays as the proof that they were."""
        before = at - self._config.interval_retention_seconds
        name = await self._writer.work(lambda ledger: _on(ledger, bookkeeping.identity))
        known = self._history.known.manifests
        old = [m for m in known.values() if m.ledger == name and m.start + m.seconds <= before][:REMOVED_AT_ONCE]
        for manifest in old:
            await asyncio.to_thread(remove_files, self._history, manifest, at)
            work = partial(bookkeeping.removed, path=_path(manifest), at=at)
            await self._writer.work(lambda ledger, work=work: _on(ledger, work))  # type: ignore[misc]
        if old:
            await asyncio.to_thread(self._history.refresh)
        return bool(old)


def remove_files(history: History, manifest: Manifest, at: float) -> None:
    """Take a manifest's files away, saying so first."""
    word = b'{"removed_at": %d, "why": "retention"}\n' % int(at)
    history.store.write(layout.removal(_path(manifest)), word)
    for part in manifest.parts:
        history.store.delete(part.path)


def _path(manifest: Manifest) -> str:
    naming = layout.day_manifest if manifest.seconds == DAY_SECONDS else layout.hour_manifest
    return naming(manifest.start, manifest.ledger, manifest.number)


def _on(ledger: Ledger, work: Callable[[sqlite3.Connection], T]) -> T:
    with ledger.transaction() as database:
        return work(database)


def _restore(ledger: Ledger, **what: object) -> None:
    if (what["start"], what["version"]) in ledger.absent():
        ledger.restore(**what)  # type: ignore[arg-type]
