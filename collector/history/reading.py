"""Questions to the history: one interval as it was sealed, or sums from the roll-ups (shell)."""

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from collector.columns import Table
from collector.history import arrow, layout, manifest
from collector.history.footers import Footers
from collector.history.layout import DAY_SECONDS, ROLLUPS
from collector.history.manifest import Manifest, ManifestError
from collector.history.plan import Known, Reading
from collector.history.store import HistoryUnavailable, Store
from collector.history.sums import totals_of
from collector.interval import INTERVAL_SECONDS, interval_of
from collector.series import Series
from collector.totals import Totals, merged

READERS = 4
"""Files read at a time: they wait for a disk or a bucket more than for a core."""
KEPT_MAX, KEPT_BYTES_MAX = 8, 32 * 1024 * 1024
AGAIN_SECONDS = 10.0
WARM_DAYS = 31
"""How far back the footers of what answers a question are read beforehand."""

_COLUMNS = ("start", "version", "recused", "excluded", *layout.OUTCOME_COLUMNS)


class History:
    """Knows the manifests; :meth:`refresh` looks for new ones. May be used from several threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.known = Known()
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._kept: dict[str, pa.Table] = {}
        self._footers = Footers()
        self._is_known = False
        self._unknown: tuple[float, str] | None = None
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="history")
        # A question about one table must not wait for the files of a whole report.
        self._quick_readers = ThreadPoolExecutor(READERS, thread_name_prefix="history-quick")

    def close(self) -> None:
        """Wait for what is being read."""
        for readers in (self._readers, self._quick_readers):
            readers.shutdown(wait=True, cancel_futures=True)

    def know(self) -> None:
        """Read the manifests, if that was never done; raises as :meth:`refresh`. A store that failed just now is not asked again."""
        if self._is_known:
            return
        if self._unknown is not None and time.monotonic() - self._unknown[0] < AGAIN_SECONDS:
            raise HistoryUnavailable(self._unknown[1])
        try:
            self.refresh()
        except (HistoryUnavailable, ManifestError) as error:
            self._unknown = (time.monotonic(), str(error))
            raise

    def warm(self, days: int = WARM_DAYS) -> int:
        """Read the footers of the files that answer questions about the last ``days`` there are, the newest first; how many were new.

        Ends when there is no more room for them. A file that cannot be read is passed over. Raises as :meth:`refresh`.
        """
        self.know()
        if self.known.manifests:
            import_module("pandas")  # pyarrow does so with the first column that becomes numpy's: half a second
        end = self.known.end
        readings = [
            one
            for ledger in self.known.ledgers()
            for one in self.known.rollups(ledger, end - days * DAY_SECONDS, end, None, frozenset())
        ]
        new = 0
        for one in sorted(readings, key=lambda one: -one.manifest.start):
            for kind, by in ROLLUPS.items():
                for part in one.manifest.of_kind(kind):
                    if not self._footers.has_room:
                        return new
                    new += self._warm(part.path, by[0])
        return new

    def _warm(self, path: str, name: str) -> bool:
        if path in self._footers:
            return False
        try:
            with self.store.open(path) as source:
                self._footers.of(path, source).ranges(name)
        except (OSError, pa.ArrowException):
            return False
        return True

    def refresh(self) -> None:
        """Take in the manifests that are new, and forget those whose files retention removed.

        Raises :class:`collector.history.store.HistoryUnavailable`, or :class:`collector.history.manifest.ManifestError`.
        """
        with self._lock:
            paths = set(self.store.list("manifests"))
            removed = {path for path in paths if path.endswith(".removed.json")}
            gone = {path.removesuffix(".removed.json") + ".json" for path in removed}
            if gone & self._seen:
                self.known, self._seen = Known(), set()
            new = sorted(path for path in paths - removed - gone - self._seen if path.endswith(".json"))
            bodies = list(self._readers.map(self.store.read, new))
            for path, body in zip(new, bodies, strict=True):
                self.known.add(path, manifest.decode(body))
            self._seen |= set(new)
            self._is_known = True

    def add(self, one: Manifest) -> None:
        """A manifest that was just written by this process."""
        naming = layout.day_manifest if one.seconds == DAY_SECONDS else layout.hour_manifest
        path = naming(one.start, one.ledger, one.number)
        with self._lock:
            if path not in self._seen:
                self.known.add(path, one)
                self._seen.add(path)

    def interval(self, ledger: str, start: int, version: int) -> tuple[list[Series], Table]:
        """A version as it was sealed: series, and a table whose first column is an index into them."""
        zones: dict[str, pa.Table] = {}
        for one in self.known.hours(ledger, {start: version}):
            for part in one.manifest.of_kind("intervals"):
                table = self._whole(part.path)
                table = table.filter(pa.array(_is_wanted(table, one))) if table.num_rows else table
                if table.num_rows:
                    zones[layout.zone_of(part.path)] = table
        return arrow.series_and_table(zones)

    def _whole(self, path: str) -> pa.Table:
        """A whole file; the last few that are not large are kept, for who asks for an interval asks for the next one, too."""
        with self._lock:
            if path in self._kept:
                return self._kept[path]
        with self.store.open(path) as source:
            table = pq.ParquetFile(source).read(use_threads=False)
        if table.nbytes <= KEPT_BYTES_MAX:
            with self._lock:
                if len(self._kept) >= KEPT_MAX:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[path] = table
        return table

    def totals(
        self,
        kind: str,
        start: float,
        end: float,
        *,
        ledgers: Iterable[str] | None = None,
        version: int | None = None,
        where: Mapping[str, str] | None = None,
        leave: frozenset[int] = frozenset(),
    ) -> Totals:
        """Sums of the intervals that begin in ``[start, end)``, of all ``ledgers`` together; ``where``: dimensions of the roll-up."""
        readings = [
            one
            for ledger in (self.known.ledgers() if ledgers is None else ledgers)
            for one in self.known.rollups(ledger, interval_of(start), end, version, leave)
        ]
        columns = (*ROLLUPS[kind], *_COLUMNS)
        jobs = [(part.path, one) for one in readings for part in one.manifest.of_kind(kind)]
        readers = self._quick_readers if where else self._readers
        tables = list(readers.map(lambda job: self._read(job[0], columns, where or {}, job[1]), jobs))
        found = [table for table in tables if table.num_rows]
        if not found:
            return Totals.empty(kind)
        return merged([totals_of(kind, pa.concat_tables(found).unify_dictionaries())])

    def day_rollups(self, ledger: str, day: int) -> dict[str, pa.Table]:
        """The newest versions of a day out of the hours' roll-ups, in the order of a file."""
        found = {}
        wanted = {s: self.known.newest(ledger, s) for s in range(day, day + DAY_SECONDS, INTERVAL_SECONDS)}
        for kind, by in ROLLUPS.items():
            readings = self.known.hours(ledger, {s: v for s, v in wanted.items() if v})
            tables = [self._read(part.path, None, {}, one) for one in readings for part in one.manifest.of_kind(kind)]
            whole = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
            found[kind] = whole.take(arrow.order_of(whole, (*by, "start", "version")))
        return found

    def _read(self, path: str, columns: Iterable[str] | None, where: Mapping[str, str], wanted: Reading) -> pa.Table:
        """The rows of a file that are wanted; row groups that cannot have any are not read."""
        names = list(columns) if columns is not None else None
        with self.store.open(path) as source:
            footer = self._footers.of(path, source)
            groups = footer.groups(where)
            table = pq.ParquetFile(source, metadata=footer.metadata).read_row_groups(
                groups, columns=names, use_threads=False
            )
        for name, value in where.items():
            table = table.filter(pc.equal(table[name], value))
        if not wanted.whole and table.num_rows:
            table = table.filter(pa.array(_is_wanted(table, wanted)))
        return table


def _is_wanted(table: pa.Table, wanted: Reading) -> NDArray[np.bool_]:
    """Rows whose interval is wanted, at the version that is."""
    starts = np.array(sorted(wanted.wanted), dtype=np.int64)
    versions = np.array([wanted.wanted[start] for start in starts.tolist()], dtype=np.int64)
    mine = arrow.starts_of(table)
    place = np.minimum(np.searchsorted(starts, mine), len(starts) - 1)
    found: NDArray[np.bool_] = (starts[place] == mine) & (versions[place] == table["version"].to_numpy())
    return found
