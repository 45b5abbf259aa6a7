"""Open intervals as arrays: one for each place that was counted at all, indexed by series id (pure)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.column_batch import PLACES, Increments

Column = NDArray[np.int64]
_ORDER = {place: n for n, place in enumerate(PLACES)}


@dataclass(slots=True)
class Tally:
    """Counts by place and series id. Addition only: any order of the same increments gives the same tally."""

    columns: dict[str, Column] = field(default_factory=dict)

    def add(self, place: str, ids: NDArray[Any], values: NDArray[Any], size: int) -> None:
        """Count ``values`` for ``ids``, all of which are below ``size``; an id may come twice."""
        column = self._column(place, size)
        # add.at counts repeated ids rightly, and is fast only when nothing has to be cast on the way
        np.add.at(column, ids.astype(np.intp, copy=False), values.astype(np.int64, copy=False))

    def merge(self, other: "Tally") -> None:
        """Count all of ``other`` as well."""
        for place, column in other.columns.items():
            self._column(place, len(column))[: len(column)] += column

    def _column(self, place: str, size: int) -> Column:
        column = self.columns.get(place)
        if column is None or len(column) < size:
            # calloc: what is never touched takes no memory, so that room to grow costs nothing
            grown = np.zeros(max(size, 1024) if column is None else max(size, 2 * len(column)), np.int64)
            if column is not None:
                grown[: len(column)] = column
            column = self.columns[place] = grown
        return column

    def at(self, ids: NDArray[Any]) -> dict[str, Column]:
        """The counts of ``ids`` by place, in the order of the ledger's tally."""
        return {place: _at(column, ids) for place, column in self.ordered()}

    def ordered(self) -> Iterable[tuple[str, Column]]:
        """The columns in the order of the ledger's tally."""
        return sorted(self.columns.items(), key=lambda item: _ORDER[item[0]])

    def used(self) -> NDArray[np.intp]:
        """The ids that have any count, ascending."""
        size = max((len(column) for column in self.columns.values()), default=0)
        is_used = np.zeros(size, bool)
        for column in self.columns.values():
            is_used[: len(column)] |= column != 0
        return np.flatnonzero(is_used)

    def copy(self) -> "Tally":
        """Its own arrays."""
        return Tally({place: column.copy() for place, column in self.columns.items()})


def _at(column: Column, ids: NDArray[Any]) -> Column:
    counts = np.zeros(len(ids), np.int64)
    is_there = ids < len(column)
    counts[is_there] = column[ids[is_there]]
    return counts


def count(tallies: dict[int, Tally], start: int, increments: Iterable[Increments], size: int) -> None:
    """Count ``increments``, whose numbers are series ids, in the interval ``start``."""
    tally = tallies.setdefault(start, Tally())
    for one in increments:
        tally.add(one.place, one.numbers, one.values, size)
