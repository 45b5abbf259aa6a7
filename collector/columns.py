"""A sealed interval as compressed columns of integers (pure).

An interval has thousands of series with small, mostly zero counts: row by row that is megabytes a day of overhead,
column by column a few tens of kilobytes. The columns are little-endian 64-bit integers: series id, flags, then the
``WIDTH`` places of the tally; ``array`` and numpy read them alike. What is done with
them is done in numpy, for intervals of a million series.
"""

import zlib
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np

from collector.merge import WIDTH, Tally

RowKey = tuple[int, int]
"""``(series id, flags)``: :data:`RECUSED` and :data:`EXCLUDED`, or their sum. Rows of different flags are never added up."""

RECUSED = 1
"""Counted by a host that had recused itself: known, not believed."""
EXCLUDED = 2
"""Taken out of every figure by an exclusion, kept apart and visible."""
FLAGS = 4

Table: TypeAlias = "np.ndarray[tuple[int, int], np.dtype[np.int64]]"
"""``COLUMNS`` rows by any number of ledger rows: series id, flags, then the tally's places."""

COLUMNS = WIDTH + 2
LARGE_ROWS = 50_000
"""From here on a body is compressed lightly: the writer must not be away for seconds."""


def pack(rows: Mapping[RowKey, Tally]) -> bytes:
    """``rows`` in order of their keys, as compressed columns. Equal rows give equal bytes."""
    return pack_table(table_of(rows))


def table_of(rows: Mapping[RowKey, Tally]) -> Table:
    """``rows`` in order of their keys, as a table."""
    ordered = sorted(rows)
    return np.array([(*key, *rows[key]) for key in ordered], dtype=np.int64).reshape(-1, COLUMNS).T.copy()


def pack_table(table: Table) -> bytes:
    """A table whose rows are in order of their keys (:func:`total` makes it so), as compressed columns."""
    level = 6 if table.shape[1] < LARGE_ROWS else 1
    return zlib.compress(np.ascontiguousarray(table, dtype="<i8").tobytes(), level)


def unpack_table(body: bytes) -> Table:
    """The table again; raises ValueError when ``body`` is damaged."""
    try:
        flat = np.frombuffer(zlib.decompress(body), dtype="<i8")
    except (zlib.error, ValueError) as error:
        raise ValueError(f"a sealed interval is damaged: {error}") from error
    if len(flat) % COLUMNS:
        raise ValueError(f"a sealed interval holds {len(flat)} integers, not a multiple of {COLUMNS}")
    return flat.astype(np.int64, copy=False).reshape(COLUMNS, -1)


def total(tables: Iterable[Table]) -> Table:
    """Tables added up by ``(series id, flags)``, in order of these keys: any order and grouping gives the same."""
    given = list(tables)
    known = [table for table in given if table.shape[1]]
    if not known:
        return np.zeros((given[0].shape[0] if given else COLUMNS, 0), dtype=np.int64)
    whole = np.concatenate(known, axis=1)
    keys = whole[0] * FLAGS + whole[1]
    order = np.argsort(keys, kind="stable")
    distinct, firsts = np.unique(keys[order], return_index=True)
    if len(distinct) == whole.shape[1]:
        return np.ascontiguousarray(whole[:, order])
    sums = np.add.reduceat(whole[2:, order], firsts, axis=1)
    return np.concatenate([[distinct // FLAGS, distinct % FLAGS], sums])


def unpack(body: bytes) -> dict[RowKey, Tally]:
    """The rows again; raises ValueError when ``body`` is damaged."""
    return rows_of(unpack_table(body))


def rows_of(table: Table) -> dict[RowKey, Tally]:
    """A table's rows by their keys."""
    return {(row[0], row[1]): tuple(row[2:]) for row in table.T.tolist()}


def regroup(table: Table, group_of: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Table:
    """``table`` added up by ``group_of`` (index: series id) its series."""
    return total([np.concatenate([[group_of[table[0]]], table[1:]])])
