"""Sealed intervals: one Parquet file a version, with the names in it, so that anybody can read it (shell).

``<start>-v<version>-<cursor>.parquet`` in the folder ``sealed``: all counts of the interval up to the cursor. A file is never
changed; late counts make the next version. Rows are in the order of series ids; a row group has 32,768 of them, so that the
few rows of one table are found by the statistics of the first column without reading the rest.
"""

import os
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from collector.bulk.dictionary import DIMENSIONS, Dictionary, split
from collector.bulk.log import fsync_folder
from collector.bulk.tally import Tally
from collector.column_batch import PLACES
from collector.merge import OUTCOMES
from collector.series import LATENCY_BOUNDS_MS

ROW_GROUP = 32_768
OPEN_FILES_MAX = 512
COLUMN_OF = dict(
    zip(
        PLACES,
        (*OUTCOMES, *(f"latency_le_{bound:g}_ms" for bound in LATENCY_BOUNDS_MS), "latency_over_ms"),
        strict=True,
    )
)
"""What a place is called in a file, as in the ledger's own history."""
_NAME = re.compile(r"(\d+)-v(\d+)-(\d+)\.parquet")


@dataclass(frozen=True, slots=True)
class Sealed:
    """One version of an interval. ``through``: the cursor up to which it has everything."""

    start: int
    version: int
    through: int
    path: Path


class SealedIntervals:
    """The files of a folder, newest version of each interval first asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.newest: dict[int, Sealed] = {}
        self._metadata: OrderedDict[Path, Any] = OrderedDict()
        for path in sorted(folder.glob("*.draft")):
            path.unlink()
        for path in folder.glob("*.parquet"):
            if found := _NAME.fullmatch(path.name):
                self._add(Sealed(int(found[1]), int(found[2]), int(found[3]), path))

    def _add(self, one: Sealed) -> None:
        if one.start not in self.newest or self.newest[one.start].version < one.version:
            self.newest[one.start] = one

    @property
    def through(self) -> dict[int, int]:
        """By start: the cursor up to which the interval is sealed."""
        return {start: one.through for start, one in list(self.newest.items())}

    def write(self, start: int, late: Tally, through: int, dictionary: Dictionary) -> Sealed:
        """Seal ``late`` on top of what is sealed of the interval: its next version, durable on return."""
        before = self.newest.get(start)
        tally = Tally()
        tally.merge(late)
        if before is not None:
            tally.merge(_tally_of(before.path))
        version = before.version + 1 if before else 1
        path = self._folder / f"{start}-v{version}-{through}.parquet"
        draft = path.with_suffix(".draft")
        pq.write_table(
            table_of(start, version, tally, dictionary), draft, compression="zstd", row_group_size=ROW_GROUP,
            use_dictionary=[*DIMENSIONS, "table"], write_statistics=["series"],
        )  # fmt: skip
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
        fsync_folder(self._folder)
        one = Sealed(start, version, through, path)
        self._add(one)
        return one

    def starts(self, first: int, end: float) -> list[int]:
        """Sealed intervals that begin in ``[first, end)``."""
        return sorted(start for start in list(self.newest) if first <= start < end)

    def rows(self, start: int, ids: NDArray[np.uint32]) -> tuple[int, dict[str, NDArray[np.int64]], NDArray[np.uint32]]:
        """Version, counts by place, and series ids of those of ``ids`` (ascending) that were counted in the interval."""
        one = self.newest[start]
        with pq.ParquetFile(one.path, metadata=self._metadata_of(one.path)) as file:
            groups = _groups_with(file.metadata, ids)
            places = _places(file)
            columns = ["series", *(COLUMN_OF[place] for place in places)]
            found = file.read_row_groups(groups, columns=columns, use_threads=False)
        series = found["series"].to_numpy()
        is_asked = np.isin(series, ids)
        counts = {place: found[COLUMN_OF[place]].to_numpy()[is_asked] for place in places}
        return one.version, counts, series[is_asked]

    def _metadata_of(self, path: Path) -> Any:
        if path not in self._metadata:
            self._metadata[path] = pq.read_metadata(path)
            if len(self._metadata) > OPEN_FILES_MAX:
                self._metadata.popitem(last=False)
        return self._metadata[path]

    def forget(self, before: float) -> int:
        """Delete the intervals that began before this time; how many files went."""
        gone = 0
        for path in self._folder.glob("*.parquet"):
            found = _NAME.fullmatch(path.name)
            if found and int(found[1]) < before:
                path.unlink(missing_ok=True)
                self.newest.pop(int(found[1]), None)
                gone += 1
        return gone


def table_of(start: int, version: int, tally: Tally, dictionary: Dictionary) -> "pa.Table":
    """An interval as an Arrow table: series id, start, version, the dimensions by name, the counts by place."""
    used = tally.used()
    tables, shapes = split(dictionary.keys(0, len(dictionary))[used])
    columns: dict[str, Any] = {
        "series": pa.array(used.astype(np.uint32)),
        "start": pa.array(np.full(len(used), start, np.int64)),
        "version": pa.array(np.full(len(used), version, np.int32)),
        "table": _plain(tables, dictionary.tables.values),
    }
    for place, name in enumerate(DIMENSIONS):
        columns[name] = _encoded(shapes, [shape[place] for shape in dictionary.shapes.values])
    return pa.table(columns | {COLUMN_OF[place]: pa.array(counts) for place, counts in tally.at(used).items()})


def _plain(codes: NDArray[np.uint32], texts: list[str]) -> "pa.Array":
    """Texts by code, each written out: as one dictionary, every row group would hold the names of all tables."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(texts)))
    ranks = np.zeros(len(texts) + 1, np.int32)
    ranks[used] = np.arange(len(used))
    return pa.array([texts[code] for code in used.tolist()], pa.string()).take(pa.array(ranks[codes]))


def _encoded(codes: NDArray[np.uint32], texts: list[str | None]) -> "pa.DictionaryArray":
    """Texts by code, as a column that keeps each different text once."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(texts)))
    distinct: dict[str, int] = {}
    ranks = np.full(len(texts) + 1, -1, np.int32)
    for code in used.tolist():
        text = texts[code]
        if text is not None:
            ranks[code] = distinct.setdefault(text, len(distinct))
    indices = ranks[codes]
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), pa.array(list(distinct), pa.string()))


def _tally_of(path: Path) -> Tally:
    with pq.ParquetFile(path) as file:
        places = _places(file)
        read = file.read(columns=["series", *(COLUMN_OF[place] for place in places)])
    series = read["series"].to_numpy()
    size = int(series[-1]) + 1 if len(series) else 0
    tally = Tally()
    for place in places:
        tally.add(place, series, read[COLUMN_OF[place]].to_numpy(), size)
    return tally


def _places(file: Any) -> list[str]:
    return [place for place in PLACES if COLUMN_OF[place] in file.schema_arrow.names]


def _groups_with(metadata: Any, ids: NDArray[np.uint32]) -> list[int]:
    """The row groups whose range of series ids holds any of ``ids``."""
    groups = []
    for n in range(metadata.num_row_groups):
        statistics = metadata.row_group(n).column(0).statistics
        low, high = np.searchsorted(ids, [statistics.min, statistics.max])
        if low < len(ids) and (low < high or ids[low] <= statistics.max):
            groups.append(n)
    return groups
