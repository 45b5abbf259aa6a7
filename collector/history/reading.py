"""Questions to the history: one interval as it was sealed, or sums from the roll-ups (shell)."""

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from collector.columns import Table
from collector.history import arrow, layout, manifest
from collector.history.layout import DAY_SECONDS, ROLLUPS
from collector.history.manifest import Manifest
from collector.history.plan import Known, Reading
from collector.history.store import Store
from collector.history.sums import totals_of
from collector.interval import INTERVAL_SECONDS, interval_of
from collector.series import Series
from collector.totals import Totals, merged

READERS = 4
"""Files read at a time: they wait for a disk or a bucket more than for a core."""
KEPT_MAX, KEPT_BYTES_MAX = 8, 32 * 1024 * 1024
FOOTERS_MAX = 128

_COLUMNS = ("start", "version", "recused", "excluded", *layout.OUTCOME_COLUMNS)


@dataclass(frozen=True, slots=True)
class _Footer:
    """A file's row groups, and the least and greatest value of some columns in each; None where the file does not say."""

    metadata: pq.FileMetaData
    ranges: dict[str, list[tuple[str, str] | None]]

    @classmethod
    def of(cls, metadata: pq.FileMetaData, names: Iterable[str]) -> Self:
        """From a file's metadata."""
        places = {metadata.schema.column(place).name: place for place in range(metadata.num_columns)}
        ranges: dict[str, list[tuple[str, str] | None]] = {}
        for name in names:
            seen = [
                metadata.row_group(group).column(places[name]).statistics for group in range(metadata.num_row_groups)
            ]
            ranges[name] = [(one.min, one.max) if one is not None and one.has_min_max else None for one in seen]
        return cls(metadata, ranges)

    def groups(self, where: Mapping[str, str]) -> list[int]:
        """The row groups that may hold rows with these values."""
        found = range(self.metadata.num_row_groups)
        for name, value in where.items():
            ranges = self.ranges[name]
            found = [g for g in found if (one := ranges[g]) is None or one[0] <= value <= one[1]]  # type: ignore[assignment]
        return list(found)


class History:
    """Knows the manifests; :meth:`refresh` looks for new ones. May be used from several threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.known = Known()
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._kept: dict[str, pa.Table] = {}
        self._footers: dict[tuple[str, tuple[str, ...]], _Footer] = {}
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="history")

    def close(self) -> None:
        """Wait for what is being read."""
        self._readers.shutdown(wait=True, cancel_futures=True)

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

    def _footer(self, path: str, source: Any, names: tuple[str, ...]) -> "_Footer":
        """What a file says of its row groups; remembered, since files never change."""
        with self._lock:
            known = self._footers.get((path, names))
        if known is None:
            known = _Footer.of(pq.read_metadata(source), names)
            with self._lock:
                if len(self._footers) >= FOOTERS_MAX:
                    self._footers.pop(next(iter(self._footers)))
                self._footers[path, names] = known
        return known

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
        tables = list(self._readers.map(lambda job: self._read(job[0], columns, where or {}, job[1]), jobs))
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
            footer = self._footer(path, source, tuple(where))
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
