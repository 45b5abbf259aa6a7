"""The durable ledger: one SQLite file, one writer; a batch's identity, feed entry and counts in one transaction (shell).

Folder layout: ``ledger.db`` (with SQLite's ``-wal`` and ``-shm`` beside it) and ``lock``, held while a collector runs.
Methods block and belong to one thread, :mod:`collector.writer`'s; readers have their own connections
(:mod:`collector.reading`). After any ``sqlite3.Error`` call :meth:`Ledger.recover`.
"""

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from collector import columns, schema, wire
from collector.columns import Table
from collector.customers.streams import LastPoint
from collector.exclusion import Exclusion
from collector.ingest import Accepted, Duplicate, RefusedError, decide
from collector.interval import INTERVAL_SECONDS, interval_of
from collector.join import Fate
from collector.ledger_file import database_of, lock, open_for_writing
from collector.merge import collect
from collector.naming import Names
from collector.sealing import RESTORED, Sealing
from collector.sequence import Ranges
from collector.series import Series, Unobserved
from collector.spans import GAP_SECONDS, Span, fold
from collector.submission import COLLECTOR, Answer, Counted, HandedIn, Scraped, Stored, Submission, entry_of
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
        self.names = Names(self._database)
        self.sealing = Sealing(self._database, self.names)
        self._senders: dict[tuple[str, str], Ranges] = {}
        rows = query("SELECT host, id, since, max(until), recused, reasons FROM health_spans GROUP BY host")
        self._health: dict[str, Span] = {row[0]: _span(row[1:]) for row in rows}

    def probe(self) -> None:
        """Write something of size, durably, and take it away again; raises ``sqlite3.Error`` when there is no room for it."""
        for statement in ("INSERT OR REPLACE INTO probe VALUES (1, zeroblob(65536))", "DELETE FROM probe"):
            with self.transaction() as database:
                database.execute(statement)

    # --- accepting --------------------------------------------------------------------------------------------------------

    def apply(self, group: Sequence[HandedIn], *, at: float) -> list[Answer]:
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

    def _take(self, one: HandedIn, at: float) -> Answer:
        if isinstance(one, Counted):
            answer = self._take(one.batch, at)
            if isinstance(answer, Stored):
                self._keep_points(one.streams)
            return answer
        if isinstance(one, Scraped):
            self._keep_unobserved(COLLECTOR, one.zone, one.unobserved)
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
        self._keep_unobserved(batch.host, batch.zone, batch.unobserved)
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
            (key.start, self.names.number(key.series), int(recused), *tally)
            for key, tally in collect(one.readings, recused=recused).items()
        ]
        self._database.executemany(schema.ADD_RUNNING, rows)
        return entry.cursor

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

    def _keep_unobserved(self, host: str, zone: str, unobserved: Sequence[Unobserved]) -> None:
        rows = [
            (interval_of(u.at), host, zone, u.endpoint, u.connection, u.operation, u.reason, u.count)
            for u in unobserved
        ]
        self._database.executemany(schema.ADD_UNOBSERVED, rows)

    def _keep_failures(self, batch: Batch, at: float, *, recused: bool) -> None:
        rows = [
            (f.at, r.series.host, r.series.zone, r.series.vantage, at, recused, wire.encode(f))
            for r in batch.readings
            for f in r.failures
        ]
        self._database.executemany("INSERT INTO failures VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", rows)

    def keep_fates(self, rows: Sequence[tuple[float, str, Fate, str]]) -> None:
        """What routers said of failures: (intended start, canary host, word, detail); durable on return."""
        with self.transaction() as database:
            database.executemany("INSERT INTO fates VALUES (NULL, ?, ?, ?, ?)", rows)

    def keep_points(self, points: Sequence[LastPoint]) -> None:
        """Last points of streams from which nothing was counted yet; durable on return."""
        with self.transaction():
            self._keep_points(points)

    def _keep_points(self, points: Sequence[LastPoint]) -> None:
        rows = [(one.stream, one.at_ns, one.start_ns, json.dumps(one.values)) for one in points]
        self._database.executemany(schema.KEEP_POINT, rows)

    def last_points(self, most: int) -> list[LastPoint]:
        """The newest ``most`` last points of metric streams, oldest first."""
        query = "SELECT stream, at_ns, start_ns, counts FROM streams ORDER BY at_ns DESC LIMIT ?"
        rows = self._database.execute(query, (most,)).fetchall()
        return [LastPoint(stream, at, start, tuple(json.loads(counts))) for stream, at, start, counts in reversed(rows)]

    # --- sealing ----------------------------------------------------------------------------------------------------------

    def seal(self, *, at: float, after_seconds: float, reopened: bool, most: int = 1) -> list[tuple[int, int]]:
        """Seal what has been over for ``after_seconds``: version 1, or the next version of a ``reopened`` interval.

        Returns ``(start, version)`` of each; one transaction an interval, at most ``most``: batches must not wait long.
        """
        due = self.sealing.due(at - after_seconds - INTERVAL_SECONDS, reopened=reopened)[:most]
        for start, version, cause in due:
            with self.transaction():
                self.sealing.seal(start, version, at, cause)
        return [(start, version) for start, version, _ in due]

    def fill_gaps(self, *, since: int, at: float, most: int = 500) -> int:
        """Seal as empty what lies between other intervals from ``since`` on and was never heard of; how many."""
        with self.transaction():
            return self.sealing.fill_gaps(since, at, most)

    def exclude(self, statement: Exclusion) -> int:
        """Write down an exclusion or its undoing and reopen what it touches; its number. Raises ValueError for an undoing of nothing."""
        with self.transaction():
            return self.sealing.exclude(statement)

    def absent(self) -> list[tuple[int, int]]:
        """``(start, version)`` that only the history has and that a next version needs."""
        return self.sealing.absent()

    def restore(self, start: int, version: int, names: Sequence[Series], table: Table, *, at: float) -> None:
        """Take a version back from the history. ``table``'s first column is an index into ``names``."""
        with self.transaction():
            numbers = np.array(self.names.numbers(names), dtype=np.int64)
            self.sealing.put(start, version, at, RESTORED, columns.total([renumbered(table, numbers)]))


def renumbered(table: Table, numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Table:
    """``table`` with ``numbers`` (by index) in its first column."""
    return np.concatenate([[numbers[table[0]]], table[1:]])


def _span(row: tuple[int, float, float, int, str]) -> Span:
    number, since, until, recused, reasons = row
    return Span(number, since, until, bool(recused), tuple(json.loads(reasons)))
