"""Questions to the ledger, on connections and threads of their own, so that no reader delays the writer (shell)."""

import asyncio
import sqlite3
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from collector import columns, rollup, wire
from collector.columns import Table
from collector.exclusion import Exclusion
from collector.history.bookkeeping import identity
from collector.history.manifest import ManifestError
from collector.history.reading import History
from collector.history.store import HistoryUnavailable
from collector.interval import interval_of
from collector.ledger_file import database_of, read_series
from collector.merge import counts_of, latency_of
from collector.observation import Observation, Vantage
from collector.rollup import Grouping
from collector.sealing import read_exclusions
from collector.series import Series
from collector.total_grouping import TotalGrouping
from collector.totals import KINDS, Totals, merged
from collector.wire import FailureRow, HealthSpan, IntervalRow, UnobservedRow

GROUPINGS_MAX = 16
HISTORY_QUESTIONS = 3
"""Questions to the history at a time."""
SUMS_MAX = 600
"""Sealed intervals whose sums are remembered: two days by table, or one day by table and by cell."""
FEED_BYTES_MAX = 4 * 1024 * 1024

T = TypeVar("T")


class Reader:
    """Read-only views. The feed has a thread of its own: a long report must not hold up the judgement."""

    def __init__(self, folder: Path, history: History | None = None) -> None:
        self._path = database_of(folder)
        self._history = history
        self._sums: dict[tuple[str, int, int], tuple[int, Table]] = {}
        self._total_groupings = {kind: TotalGrouping(kind) for kind in KINDS}
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._feed_thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-feed")
        self._query_thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-query")
        # A report reads files for half a minute: a question about one table is not to wait for it.
        self._history_threads = ThreadPoolExecutor(HISTORY_QUESTIONS, thread_name_prefix="ledger-history")
        self._series: dict[int, Series] = {}
        self._groupings: dict[tuple[str, ...], Grouping] = {}

    def close(self) -> None:
        """Wait for running queries and close the connections."""
        for threads in (self._feed_thread, self._query_thread, self._history_threads):
            threads.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()
        if self._history is not None:
            self._history.close()

    async def feed(self, after: int, limit: int) -> tuple[int | None, list[bytes]]:
        """The oldest cursor kept (None: the feed is empty) and the entries after ``after``, encoded, bounded by count and bytes."""
        return await self._on(self._feed_thread, lambda db: _feed(db, after, limit))

    async def intervals(
        self, start: float, end: float, *, vantage: Vantage | None, by: tuple[str, ...] | None, version: int | None
    ) -> AsyncIterator[list[IntervalRow]]:
        """The rows of each interval of ``[start, end)`` that has any, interval by interval."""
        first = interval_of(start)
        for at in await self._on(self._query_thread, lambda db: self._starts(db, first, end)):
            one = partial(self._interval, start=at, vantage=vantage, by=by, asked=version)
            yield await self._on(self._query_thread, one)

    async def unobserved(self, start: float, end: float) -> list[UnobservedRow]:
        """Unobserved probes of the intervals that begin in ``[start, end)`` (``start`` rounded down)."""
        names = ("start", "host", "zone", "endpoint", "connection", "operation", "reason", "count")
        query = f"SELECT {', '.join(names)} FROM unobserved WHERE start >= ? AND start < ? ORDER BY 1, 2, 3, 4, 5, 6, 7"  # noqa: S608
        rows = await self._fetch(query, (interval_of(start), end))
        return [msgspec.convert(dict(zip(names, row, strict=True)), UnobservedRow) for row in rows]

    async def health_spans(self, start: float, end: float) -> list[HealthSpan]:
        """What hosts said of themselves, as far as it touches ``[start, end)``."""
        query = "SELECT host, zone, since, until, recused, reasons FROM health_spans WHERE until >= ? AND since < ? ORDER BY since, host"
        return [
            HealthSpan(
                host=host,
                zone=zone,
                since=since,
                until=until,
                recused=bool(recused),
                reasons=tuple(msgspec.json.decode(reasons)),
            )
            for host, zone, since, until, recused, reasons in await self._fetch(query, (start, end))
        ]

    async def failures(self, start: float, end: float, limit: int) -> list[FailureRow]:
        """Failed attempts whose intended start is in ``[start, end)``, oldest first, at most ``limit``."""
        query = (
            "SELECT f.host, f.zone, f.vantage, f.received_at, f.recused, f.observation, max(j.fate), max(j.detail)"
            " FROM failures f LEFT JOIN fates j ON j.at = f.at AND j.host = f.host"
            " WHERE f.at >= ? AND f.at < ? GROUP BY f.at, f.id ORDER BY f.at, f.id LIMIT ?"
        )
        return [
            FailureRow(
                host=host,
                zone=zone,
                vantage=Vantage(vantage),
                received_at=received_at,
                recused=bool(recused),
                observation=msgspec.json.decode(body, type=Observation),
                fate=fate,
                fate_detail=detail or None,
            )
            for host, zone, vantage, received_at, recused, body, fate, detail in await self._fetch(
                query, (start, end, limit)
            )
        ]

    async def _fetch(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return await self._on(self._query_thread, lambda db: db.execute(query, values).fetchall())

    async def _on(self, threads: ThreadPoolExecutor, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, lambda: work(self._connection()))

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            self._local.connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            self._local.connection.execute("PRAGMA busy_timeout = 5000")
            self._connections.append(self._local.connection)
        connection: sqlite3.Connection = self._local.connection
        return connection

    # --- intervals, on the query thread -----------------------------------------------------------------------------------

    def _interval(
        self,
        database: sqlite3.Connection,
        start: int,
        vantage: Vantage | None,
        by: tuple[str, ...] | None,
        asked: int | None,
    ) -> list[IntervalRow]:
        version, table = _columns(database, start, asked, short=rollup.summary_suffices(vantage, by))
        self._series.update(read_series(database, after=len(self._series)))
        names: Sequence[Series] | Mapping[int, Series] = self._series
        older = self._only_in_history(database, start, asked, version)
        if older is not None:
            version, (names, table) = older
        if by is None:
            rows = columns.rows_of(table)
        elif older is not None:
            rows, names = rollup.roll_up(names, table, by)  # type: ignore[arg-type]
        else:
            grouping = self._grouping(by)
            rows, names = grouping.roll_up(table), grouping.names
        return [
            IntervalRow(
                series=names[number],
                start=start,
                version=version,
                counts=counts_of(tally),
                latency=latency_of(tally),
                recused=bool(flags & columns.RECUSED),
                excluded=bool(flags & columns.EXCLUDED),
            )
            for (number, flags), tally in rows.items()
            if vantage is None or names[number].vantage is vantage
        ]

    def _only_in_history(
        self, database: sqlite3.Connection, start: int, asked: int | None, version: int
    ) -> tuple[int, tuple[list[Series], Table]] | None:
        """A version that is wanted rather than ``version``, the newest in the file: it is in the history only."""
        history = self._history_of(database, start, start + 1)
        if history is None:
            return None
        ledger = identity(database)
        held = history.known.newest(ledger, start, asked)
        return (held, history.interval(ledger, start, held)) if held > version else None

    def _starts(self, database: sqlite3.Connection, first: int, end: float) -> list[int]:
        starts = set(_starts(database, first, end))
        history = self._history_of(database, first, end)
        if history is not None:
            starts |= set(history.known.starts(identity(database), first, end))
        return sorted(starts)

    # --- sums ---------------------------------------------------------------------------------------------------------------

    async def totals(
        self, kind: str, start: float, end: float, *, version: int | None = None, where: Mapping[str, str] | None = None
    ) -> Totals:
        """Sums by table, or by zone and endpoint, of the intervals that begin in ``[start, end)``; ``where``: dimensions of the kind."""
        asked, where = version, where or {}
        first = interval_of(start)
        work = partial(self._totals, kind=kind, first=first, end=end, asked=asked, where=where)
        ledger, leave, here = await self._on(self._query_thread, work)
        if self._history is None:
            return here
        read = partial(
            self._history.totals, kind, first, end, ledgers=[ledger], version=asked, where=where, leave=leave
        )
        loop = asyncio.get_running_loop()
        there = await loop.run_in_executor(self._history_threads, read)
        return await asyncio.to_thread(merged, [here, there]) if here.key.size else there

    async def exclusions(self) -> list[Exclusion]:
        """What was taken out of the figures, by whom and why, oldest first; undoings are statements of their own."""
        return await self._on(self._query_thread, read_exclusions)

    def _totals(
        self,
        database: sqlite3.Connection,
        *,
        kind: str,
        first: int,
        end: float,
        asked: int | None,
        where: Mapping[str, str],
    ) -> tuple[str, frozenset[int], Totals]:
        """This ledger's name, the intervals that the file answers for, and what it says of them; the history has the others."""
        here = dict(database.execute(_NEWEST, (first, end, 2**31 if asked is None else asked)).fetchall())
        ledger = identity(database)
        history = self._history_of(database, first, end)
        known = None if history is None else history.known
        mine = [s for s, version in here.items() if known is None or known.newest(ledger, s, asked) < version]
        mine += [
            s for s in _starts(database, first, end) if s not in here and (known is None or not known.newest(ledger, s))
        ]
        return ledger, frozenset(mine), self._totals_here(database, kind, mine, asked, where)

    def _history_of(self, database: sqlite3.Connection, first: float, end: float) -> History | None:
        """The history, its manifests read. Raises :class:`HistoryUnavailable` when it is needed for the span and cannot be read."""
        if self._history is not None:
            try:
                self._history.know()
            except (HistoryUnavailable, ManifestError) as error:
                if database.execute(_ELSEWHERE, (first, end)).fetchone() is not None:
                    raise HistoryUnavailable(str(error)) from error
        return self._history

    def _totals_here(
        self, database: sqlite3.Connection, kind: str, starts: list[int], asked: int | None, where: Mapping[str, str]
    ) -> Totals:
        """Of intervals in the file; what is sealed is added up once and then remembered."""
        grouping = self._total_groupings[kind]
        found = []
        for start in sorted(starts):
            version, table = self._summed(database, kind, start, asked)
            found.append((start, version, table))
        return grouping.totals(found, where)

    def _summed(self, database: sqlite3.Connection, kind: str, start: int, asked: int | None) -> tuple[int, Table]:
        newest = database.execute(_NEWEST, (start, start + 1, 2**31 if asked is None else asked)).fetchone()
        key = (kind, start, newest[1] if newest else 0)
        if key in self._sums:
            return self._sums[key]
        version, table = _columns(database, start, asked, short=True)
        self._series.update(read_series(database, after=len(self._series)))
        self._total_groupings[kind].learn(self._series)
        summed = (version, columns.regroup(table, self._total_groupings[kind].codes()))
        if version:
            if len(self._sums) >= SUMS_MAX:
                self._sums.pop(next(iter(self._sums)))
            self._sums[kind, start, version] = summed
        return summed

    def _grouping(self, by: tuple[str, ...]) -> Grouping:
        if by not in self._groupings:
            if len(self._groupings) >= GROUPINGS_MAX:
                self._groupings.clear()
            self._groupings[by] = Grouping(by)
        self._groupings[by].learn(self._series)
        return self._groupings[by]


_ELSEWHERE = (
    "SELECT 1 FROM exports WHERE start >= ? AND start < ? AND NOT EXISTS (SELECT 1 FROM sealed"
    " WHERE sealed.start = exports.start AND sealed.version = exports.version) LIMIT 1"
)
"""Whether a version is in the history and no longer in the file."""
_NEWEST = "SELECT start, max(version) FROM sealed WHERE start >= ? AND start < ? AND version <= ? GROUP BY start"


def _starts(database: sqlite3.Connection, first: int, end: float) -> list[int]:
    query = (
        "SELECT start FROM sealed WHERE start >= ?1 AND start < ?2 UNION SELECT start FROM running WHERE start >= ?1 AND start < ?2"
        " ORDER BY 1"
    )
    return [start for (start,) in database.execute(query, (first, end))]


def _columns(database: sqlite3.Connection, start: int, asked: int | None, *, short: bool) -> tuple[int, Table]:
    """The version told and its columns: the newest sealed one up to ``asked``, else the running one as version 0."""
    database.execute("BEGIN")  # one snapshot: an interval that is sealed meanwhile is seen before or after, not between
    try:
        sealed = database.execute(
            "SELECT version, CASE ? WHEN 1 THEN summary ELSE body END FROM sealed WHERE start = ? AND version <= ?"
            " ORDER BY version DESC LIMIT 1",
            (short, start, 2**31 if asked is None else asked),
        ).fetchone()
        if sealed:
            return sealed[0], columns.unpack_table(sealed[1])
        if asked in (None, 0):
            return 0, open_table(database, start)
        return 0, columns.total([])
    finally:
        database.execute("ROLLBACK")


def open_table(database: sqlite3.Connection, start: int) -> Table:
    """What is known of an interval that is not sealed yet."""
    rows = database.execute("SELECT * FROM running WHERE start = ?", (start,)).fetchall()
    return columns.total([np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, columns.COLUMNS).T])


def _feed(database: sqlite3.Connection, after: int, limit: int) -> tuple[int | None, list[bytes]]:
    (oldest,) = database.execute("SELECT min(cursor) FROM feed").fetchone()
    entries: list[bytes] = []
    size = 0
    for (body,) in database.execute("SELECT body FROM feed WHERE cursor > ? ORDER BY cursor LIMIT ?", (after, limit)):
        entry = zlib.decompress(body)
        size += len(entry)
        if entries and size > FEED_BYTES_MAX:
            break
        entries.append(entry)
    return oldest, entries


def encode_rows(rows: list[Any]) -> bytes:
    """Rows as the inside of a JSON list, so that lists can be sent piece by piece."""
    return wire.encode(rows)[1:-1]
