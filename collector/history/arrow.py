"""Sealed intervals as Arrow tables and Parquet bytes, and back (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from collector.columns import COLUMNS, EXCLUDED, RECUSED, Table, regroup
from collector.history.layout import COUNT_COLUMNS, DIMENSIONS, OUTCOME_COLUMNS, ROLLUPS
from collector.observation import Vantage
from collector.series import Series

Ints = NDArray[np.int64]

INTERVAL_GROUP_ROWS = 32_768
ROLLUP_GROUP_ROWS = 8_192
"""Rows are sorted, so that a question about one table reads one or two row groups of a file."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One version of one interval; the first column of ``table`` is a series number (:class:`Dimensions`)."""

    start: int
    version: int
    table: Table


class Dimensions:
    """Every series' dimensions as codes, for arrays of series numbers (which begin with 1); grows with the ledger's series."""

    def __init__(self) -> None:
        self._count = 0
        self._codes: dict[str, list[int]] = {}
        self._values: dict[str, dict[object, int]] = {name: {} for name in (*DIMENSIONS, "zone", "at_node", *ROLLUPS)}
        self._groups: dict[str, list[Series]] = {name: [] for name in ROLLUPS}
        self._arrays: dict[str, Ints] = {}
        self.learn(())

    def learn(self, names: Iterable[Series]) -> None:
        """Take in more series, in the order of their numbers."""
        self._codes = self._codes or {name: [0] for name in self._values}
        for series in names:
            self._count += 1
            at_node = series.vantage is Vantage.SERVER and series.node is not None
            for name in (*DIMENSIONS, "zone"):
                self._note(name, getattr(series, name))
            self._note("at_node", at_node)
            for kind, by in ROLLUPS.items():
                group = tuple(at_node if name == "at_node" else getattr(series, name) for name in by)
                if self._note(kind, group):
                    self._groups[kind].append(series)
        self._arrays = {}

    def _note(self, name: str, value: object) -> bool:
        known = self._values[name]
        is_new = value not in known
        self._codes[name].append(known.setdefault(value, len(known)))
        return is_new

    def __len__(self) -> int:
        return self._count

    def codes(self, name: str) -> Ints:
        """By series number: the code of a dimension, or the group of a roll-up."""
        if name not in self._arrays:
            self._arrays[name] = np.array(self._codes[name], dtype=np.int64)
        return self._arrays[name]

    def zones(self) -> list[str]:
        """All zones, by code."""
        return [str(zone) for zone in self._values["zone"]]

    def group_codes(self, kind: str, name: str) -> Ints:
        """By group of the roll-up ``kind``: the code of a dimension."""
        key = f"{kind}.{name}"
        if key not in self._arrays:
            place = ROLLUPS[kind].index(name)
            values = self._values[name]
            found = [values[group[place]] for group in self._values[kind]]  # type: ignore[index]
            self._arrays[key] = np.array(found, dtype=np.int64)
        return self._arrays[key]

    def at_node(self, kind: str) -> NDArray[np.bool_]:
        """By group of the roll-up ``kind``: whether it was counted at a storage node."""
        place = ROLLUPS[kind].index("at_node")
        return np.array([bool(group[place]) for group in self._values[kind]], dtype=np.bool_)  # type: ignore[index]

    def ranks(self, kind: str | None = None) -> Ints:
        """By series number (or group): its place in the order of a file's rows."""
        key = f"rank.{kind}"
        if key not in self._arrays:
            names = DIMENSIONS if kind is None else ROLLUPS[kind]
            keys = [
                self._order(name)[self.codes(name) if kind is None else self.group_codes(kind, name)] for name in names
            ]
            order = np.lexsort(keys[::-1])
            ranks = np.empty(len(order), dtype=np.int64)
            ranks[order] = np.arange(len(order))
            self._arrays[key] = ranks
        return self._arrays[key]

    def _order(self, name: str) -> Ints:
        """By code: the place of its value among the sorted values."""
        values = ["" if value is None else str(value) for value in self._values[name]] or [""]
        places = np.empty(len(values), dtype=np.int64)
        places[np.argsort(np.array(values))] = np.arange(len(values))
        return places

    def column(self, name: str, codes: Ints) -> pa.Array:
        """Codes as a dictionary column of texts; None becomes null."""
        values = [None if value is None else str(value) for value in self._values[name]]
        if None in values:
            where = values.index(None)
            indices = pa.array(codes.astype(np.int32), mask=codes == where)
            values[where] = ""
        else:
            indices = pa.array(codes.astype(np.int32))
        return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()))


def interval_tables(dimensions: Dimensions, ledger: str, slices: Sequence[Slice]) -> dict[str, pa.Table]:
    """The rows of all slices, by zone, each sorted by dimensions, then time and version."""
    found: dict[str, pa.Table] = {}
    for code, zone in enumerate(dimensions.zones()):
        pieces = [_of_zone(dimensions, one, code) for one in slices]
        if any(one.table.shape[1] for one in pieces):
            found[zone] = _interval_table(dimensions, ledger, pieces)
    return found


def _of_zone(dimensions: Dimensions, one: Slice, code: int) -> Slice:
    return Slice(one.start, one.version, one.table[:, dimensions.codes("zone")[one.table[0]] == code])


def _interval_table(dimensions: Dimensions, ledger: str, slices: Sequence[Slice]) -> pa.Table:
    rows = _joined(slices, dimensions.ranks())
    numbers = rows.table[0]
    arrays = {name: dimensions.column(name, dimensions.codes(name)[numbers]) for name in DIMENSIONS}
    return _finished(arrays, ledger, rows, COUNT_COLUMNS)


def rollup_table(dimensions: Dimensions, ledger: str, kind: str, slices: Sequence[Slice]) -> pa.Table:
    """The rows of all slices, added up by the roll-up's dimensions."""
    groups = dimensions.codes(kind)
    rolled = [Slice(one.start, one.version, regroup(one.table[: 2 + len(OUTCOME_COLUMNS)], groups)) for one in slices]
    rows = _joined(rolled, dimensions.ranks(kind))
    numbers = rows.table[0]
    arrays = {
        name: dimensions.column(name, dimensions.group_codes(kind, name)[numbers])
        for name in ROLLUPS[kind]
        if name != "at_node"
    }
    arrays["at_node"] = pa.array(dimensions.at_node(kind)[numbers])
    return _finished(arrays, ledger, rows, OUTCOME_COLUMNS)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Slices one after another, in the order of a file."""

    table: Table
    starts: Ints
    versions: Ints


def _joined(slices: Sequence[Slice], ranks: Ints) -> _Rows:
    """Rows by rank, then time and version, as one sort of one key: the slices are in order of time and version already."""
    places = np.repeat(np.arange(len(slices)), [one.table.shape[1] for one in slices])
    table = np.concatenate([one.table for one in slices], axis=1)
    order = np.argsort(ranks[table[0]] * len(slices) + places, kind="stable")
    slots = places[order]
    starts = np.array([one.start for one in slices], dtype=np.int64)[slots]
    versions = np.array([one.version for one in slices], dtype=np.int64)[slots]
    return _Rows(table[:, order], starts, versions)


def _finished(arrays: dict[str, pa.Array], ledger: str, rows: _Rows, counts: Sequence[str]) -> pa.Table:
    flags = rows.table[1]
    arrays["start"] = pa.array((rows.starts * 1000).astype("datetime64[ms]"), pa.timestamp("ms", "UTC"))
    arrays["version"] = pa.array(rows.versions.astype(np.int32))
    arrays["recused"] = pa.array((flags & RECUSED) > 0)
    arrays["excluded"] = pa.array((flags & EXCLUDED) > 0)
    for place, name in enumerate(counts):
        arrays[name] = pa.array(rows.table[2 + place])
    source = pa.array(np.zeros(len(flags), dtype=np.int32))
    arrays["ledger"] = pa.DictionaryArray.from_arrays(source, pa.array([ledger], pa.string()))
    return pa.table(arrays)


def encode(table: pa.Table, *, group_rows: int) -> bytes:
    """As a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="zstd", compression_level=1, row_group_size=group_rows, write_statistics=True
    )
    return bytes(sink.getvalue())


def sums(table: pa.Table) -> dict[str, int]:
    """The sum of each count column."""
    names = [name for name in COUNT_COLUMNS if name in table.column_names]
    return {name: int(table[name].to_numpy().sum(dtype=np.int64)) if table.num_rows else 0 for name in names}


def starts_of(table: pa.Table) -> Ints:
    """The ``start`` column as UTC epoch seconds."""
    starts: Ints = table["start"].cast(pa.int64()).to_numpy() // 1000
    return starts


def series_and_table(tables: Mapping[str, pa.Table]) -> tuple[list[Series], Table]:
    """Rows by zone as series and a table whose first column is an index into them."""
    import msgspec  # noqa: PLC0415

    names: dict[Series, int] = {}
    pieces: list[Table] = []
    for zone, one in tables.items():
        columns = [one[name].to_pylist() for name in DIMENSIONS]
        ids = np.empty(one.num_rows, dtype=np.int64)
        seen: dict[tuple[object, ...], int] = {}
        for index, values in enumerate(zip(*columns, strict=True)):
            if values not in seen:
                series = msgspec.convert({**dict(zip(DIMENSIONS, values, strict=True)), "zone": zone}, Series)
                seen[values] = names.setdefault(series, len(names))
            ids[index] = seen[values]
        flags = one["recused"].to_numpy().astype(np.int64) * RECUSED + one["excluded"].to_numpy() * EXCLUDED
        pieces.append(np.array([ids, flags, *(one[name].to_numpy() for name in COUNT_COLUMNS)], dtype=np.int64))
    table = np.concatenate(pieces, axis=1) if pieces else np.zeros((COLUMNS, 0), dtype=np.int64)
    return list(names), table


def order_of(table: pa.Table, names: Sequence[str]) -> Ints:
    """The places of a table's rows in order of ``names``, texts by the alphabet and null first."""
    keys: list[NDArray[np.int64]] = []
    for name in names:
        column = table[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            texts = column.dictionary.to_pylist()
            ranks = np.empty(len(texts) + 1, dtype=np.int64)
            ranks[np.argsort(np.array(texts or [""]))[: len(texts)]] = np.arange(1, len(texts) + 1)
            ranks[-1] = 0
            codes = column.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
            keys.append(ranks[codes])
        else:
            keys.append(column.cast(pa.int64()).to_numpy(zero_copy_only=False))
    return np.lexsort(keys[::-1])
