"""Counts of many rows at one time, packed: a narrow number a row, and the few that do not fit it apart (pure).

Nothing is rounded. Where nearly all rows are 0 only the others are kept; where a few are huge they do not make the others wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Rows = NDArray[np.int64]
_WIDTHS: tuple[tuple[type[np.unsignedinteger[Any]], int], ...] = ((np.uint8, 1), (np.uint16, 2), (np.uint32, 4))
EXCEPTION_BYTES = 12


@dataclass(frozen=True, slots=True)
class Column:
    """``narrow[row]``, or 0 beyond its end, and ``extra[k]`` more for the row ``rows[k]``; rows ascend."""

    narrow: NDArray[Any]
    rows: NDArray[np.uint32]
    extra: Counts

    @property
    def nbytes(self) -> int:
        """Memory."""
        return self.narrow.nbytes + self.rows.nbytes + self.extra.nbytes

    def add_to(self, total: Counts) -> None:
        """Adds the counts to ``total``, which is at least as long."""
        if len(self.narrow):
            total[: len(self.narrow)] += self.narrow
        if len(self.rows):
            total[self.rows] += self.extra

    def take_from(self, total: Counts) -> None:
        """Takes them off again."""
        if len(self.narrow):
            total[: len(self.narrow)] -= self.narrow
        if len(self.rows):
            total[self.rows] -= self.extra

    def at(self, rows: Rows) -> Counts:
        """The counts of some rows."""
        found = np.zeros(len(rows), np.int64)
        if len(self.narrow):
            inside = rows < len(self.narrow)
            found[inside] = self.narrow[rows[inside]]
        if len(self.rows):
            place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
            found += np.where(self.rows[place] == rows, self.extra[place], 0)
        return found

    def sum_of(self, rows: Rows) -> int:
        """The counts of some rows, which ascend, together."""
        if not len(rows):
            return 0
        total = int(self.narrow[rows[: np.searchsorted(rows, len(self.narrow))]].sum(dtype=np.int64))
        if len(self.rows):
            place = np.minimum(np.searchsorted(rows, self.rows), len(rows) - 1)
            total += int(self.extra[rows[place] == self.rows].sum())
        return total


def pack(values: Counts) -> Column | None:
    """``values`` (not negative) in the form that takes the least memory; None when all are 0."""
    size = len(values)
    used = int(np.count_nonzero(values))
    if not used:
        return None
    if used * EXCEPTION_BYTES <= size:
        return sparse(np.flatnonzero(values), values)
    most = int(values.max())
    fits = [(kind, width) for kind, width in _WIDTHS if most <= _limit(kind)]
    best: tuple[Any, int, int] = (*fits[0], 0) if fits else (np.int64, 8, 0)
    cost = size * best[1]
    for kind, width in _WIDTHS:
        if width >= best[1]:
            break
        above = int(np.count_nonzero(values > _limit(kind)))
        if size * width + above * EXCEPTION_BYTES < cost:
            best, cost = (kind, width, above), size * width + above * EXCEPTION_BYTES
    kind, _, above = best
    if not above:
        return Column(values.astype(kind), np.empty(0, np.uint32), np.empty(0, np.int64))
    limit = _limit(kind)
    rows = np.flatnonzero(values > limit)
    return Column(np.minimum(values, limit).astype(kind), rows.astype(np.uint32), values[rows] - limit)


def _limit(kind: Any) -> int:
    return int(np.iinfo(kind).max)


def sparse(rows: Rows, values: Counts) -> Column:
    """The counts ``values[rows]`` alone; rows ascend."""
    return Column(np.empty(0, np.uint8), rows.astype(np.uint32), values[rows])


def merged(columns: Sequence[Column | None], scratch: Counts) -> Column | None:
    """The sum of several; ``scratch`` is all 0 before and after."""
    there = [column for column in columns if column is not None]
    if len(there) <= 1:
        return there[0] if there else None
    for column in there:
        column.add_to(scratch)
    found = pack(scratch)
    scratch[:] = 0
    return found
