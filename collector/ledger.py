"""The durable ledger: one SQLite file, one writer; a batch's identity, feed entry and counts in one transaction (shell).

Folder layout: ``ledger.db`` (with SQLite's ``-wal`` and ``-shm`` beside it) and ``lock``, held while a collector runs.
Methods block and belong to one thread, :mod:`collector.writer`'s; readers have their own connections
(:mod:`collector.reading`). After any ``sqlite3.Error`` call :meth:`Ledger.recover`.
"""

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from collector import columns, schema, wire
from collector.ingest import Accepted, Duplicate, RefusedError, decide
from collector.interval import INTERVAL_SECONDS, interval_of
from collector.ledger_file import database_of, lock, open_for_writing, read_series
from collector.merge import collect
from collector.rollup import in_summary
from collector.sequence import Ranges
from collector.series import Series
from collector.spans import GAP_SECONDS, Span, fold
from collector.submission import Answer, Scraped, Stored, Submission, entry_of
from collector.wire import Batch


class Ledger:
    """The write side. ``newest`` is the highest durable cursor, ``received_at`` the time of that entry."""

    def __init__(self, folder: Path) -> None:
        self._lock = lock(folder)
        self._path = database_of(folder)
        try:
            self._database = open_for_writing(self._path)
            self._load()
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Fold the WAL into the file as far as possible and let go of the folder."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        self._lock.close()

    def recover(self) -> None:
        """After an error: forget what was not committed, and open the file anew. Raises ``sqlite3.Error`` when that fails too."""
        with contextlib.suppress(sqlite3.Error):
            self._database.rollback()
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        self._database = open_for_writing(self._path)
        self._load()

    def _load(self) -> None:
        """What the writer keeps in memory, from what is durable."""
        query = self._database.execute
        newest = query("SELECT cursor, received_at FROM feed ORDER BY cursor DESC LIMIT 1").fetchone()
        used = query("SELECT seq FROM sqlite_sequence WHERE name = 'feed'").fetchone()
        self.newest: int = max(newest[0] if newest else 0, used[0] if used else 0)
        self.received_at: float = newest[1] if newest else 0.0
        self._series: dict[Series, int] = {series: number for number, series in read_series(self._database)}
        self._senders: dict[tuple[str, str], Ranges] = {}
        rows = query("SELECT host, id, since, max(until), recused, reasons FROM health_spans GROUP BY host")
        self._health: dict[str, Span] = {row[0]: _span(row[1:]) for row in rows}

    def probe(self) -> None:
        """Write something of size, durably, and take it away again; raises ``sqlite3.Error`` when there is no room for it."""
        for statement in ("INSERT OR REPLACE INTO probe VALUES (1, zeroblob(65536))", "DELETE FROM probe"):
            with self.transaction() as database:
                database.execute(statement)

    # --- accepting --------------------------------------------------------------------------------------------------------

    def apply(self, group: Sequence[Submission], *, at: float) -> list[Answer]:
        """Take all of ``group`` in one transaction, durable on return. ``at``: the collector's UTC clock."""
        with self.transaction():
            return [self._take(one, at) for one in group]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all or nothing. After an error call :meth:`recover`: memory is ahead of the file then."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
            self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise

    def _take(self, one: Submission, at: float) -> Answer:
        if isinstance(one, Scraped):
            return Stored(self._append(one, at, recused=False))
        sender = (one.host, one.boot)
        try:
            decision = decide(one, self._seen(sender))
        except RefusedError as refused:
            return refused
        if isinstance(decision, Duplicate):
            return decision
        return self._accept(one, decision, at)

    def _accept(self, batch: Batch, decision: Accepted, at: float) -> Stored:
        sender = (batch.host, batch.boot)
        self._senders[sender] = decision.seen
        row = (*sender, json.dumps(decision.seen), at)
        self._database.execute("INSERT OR REPLACE INTO senders VALUES (?, ?, ?, ?)", row)
        recused = self._hear(batch, at)
        cursor = self._append(batch, at, recused=recused)
        self._keep_unobserved(batch)
        self._keep_failures(batch, at, recused=recused)
        return Stored(cursor)

    def _seen(self, sender: tuple[str, str]) -> Ranges:
        if sender not in self._senders:
            row = self._database.execute("SELECT seen FROM senders WHERE host = ? AND boot = ?", sender).fetchone()
            self._senders[sender] = tuple((first, last) for first, last in json.loads(row[0])) if row else ()
        return self._senders[sender]

    def _append(self, one: Submission, at: float, *, recused: bool) -> int:
        """One feed entry and its counts; the cursor."""
        self.newest += 1
        self.received_at = max(self.received_at, at)
        entry = entry_of(one, cursor=self.newest, received_at=self.received_at)
        body = zlib.compress(wire.encode(entry), 1)
        self._database.execute("INSERT INTO feed VALUES (?, ?, ?)", (entry.cursor, entry.received_at, body))
        rows = [
            (key.start, self._series_id(key.series), int(recused), *tally)
            for key, tally in collect(one.readings, recused=recused).items()
        ]
        self._database.executemany(schema.ADD_RUNNING, rows)
        return entry.cursor

    def _series_id(self, series: Series) -> int:
        known = self._series.get(series)
        if known is None:
            known = self._series[series] = len(self._series) + 1
            self._database.execute(schema.ADD_SERIES, (known, *[getattr(series, c) for c in schema.SERIES_COLUMNS]))
        return known

    def _hear(self, batch: Batch, at: float) -> bool:
        """Keep the host's word about itself; whether its readings count as recused (its last word holds for a minute)."""
        newest = self._health.get(batch.host)
        said = batch.health
        if said is None:
            return newest is not None and newest.recused and at <= newest.until + GAP_SECONDS
        span = fold(newest, said)
        if span is not None:
            span = self._write_span(span, batch)
            if newest is None or span.until >= newest.until:
                self._health[batch.host] = span
        return said.recused

    def _write_span(self, span: Span, batch: Batch) -> Span:
        if span.id is not None:
            self._database.execute("UPDATE health_spans SET until = ? WHERE id = ?", (span.until, span.id))
            return span
        row = (batch.host, batch.zone, span.since, span.until, span.recused, json.dumps(span.reasons))
        cursor = self._database.execute("INSERT INTO health_spans VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)
        return Span(cursor.lastrowid, span.since, span.until, span.recused, span.reasons)

    def _keep_unobserved(self, batch: Batch) -> None:
        rows = [
            (interval_of(u.at), batch.host, batch.zone, u.endpoint, u.connection, u.operation, u.reason, u.count)
            for u in batch.unobserved
        ]
        self._database.executemany(schema.ADD_UNOBSERVED, rows)

    def _keep_failures(self, batch: Batch, at: float, *, recused: bool) -> None:
        rows = [
            (f.at, r.series.host, r.series.zone, r.series.vantage, at, recused, wire.encode(f))
            for r in batch.readings
            for f in r.failures
        ]
        self._database.executemany("INSERT INTO failures VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", rows)

    # --- sealing ----------------------------------------------------------------------------------------------------------

    def seal(self, *, at: float, after_seconds: float, reopened: bool, most: int = 1) -> list[tuple[int, int]]:
        """Seal what has been over for ``after_seconds``: version 1, or the next version of a ``reopened`` interval.

        Returns ``(start, version)`` of each; one transaction an interval, at most ``most``: batches must not wait long.
        """
        done = []
        for start in self._running_before(at - after_seconds - INTERVAL_SECONDS):
            row = self._database.execute("SELECT max(version) FROM sealed WHERE start = ?", (start,)).fetchone()
            version = (row[0] or 0) + 1
            if version == 1 or reopened:
                self._seal_one(start, version, at)
                done.append((start, version))
            if len(done) >= most:
                break
        return done

    def _running_before(self, latest: float) -> list[int]:
        starts: list[int] = []
        while True:
            after = starts[-1] if starts else -1
            (start,) = self._database.execute("SELECT min(start) FROM running WHERE start > ?", (after,)).fetchone()
            if start is None or start > latest:
                return starts
            starts.append(start)

    def _seal_one(self, start: int, version: int, at: float) -> None:
        with self.transaction() as database:
            query = database.execute
            before = query("SELECT body FROM sealed WHERE start = ? AND version = ?", (start, version - 1)).fetchone()
            late = query("SELECT * FROM running WHERE start = ?", (start,)).fetchall()
            rows = columns.add(columns.unpack(before[0]) if before else {}, [((r[1], r[2]), r[3:]) for r in late])
            short = columns.regroup(rows, self._summarised({number for number, _ in rows}))
            row = (start, version, at, columns.pack(short), columns.pack(rows))
            query("INSERT INTO sealed VALUES (?, ?, ?, ?, ?)", row)
            query("DELETE FROM running WHERE start = ?", (start,))

    def _summarised(self, numbers: Iterable[int]) -> dict[int, int]:
        """Series id → the id of the series that it is summarised under."""
        names = {number: series for series, number in self._series.items()}
        return {number: self._series_id(in_summary(names[number])) for number in numbers}


def _span(row: tuple[int, float, float, int, str]) -> Span:
    number, since, until, recused, reasons = row
    return Span(number, since, until, bool(recused), tuple(json.loads(reasons)))
