"""Counts added up over the dimensions that nobody asked for (pure)."""

from array import array
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from collector.columns import RowKey
from collector.merge import Tally
from collector.observation import Vantage
from collector.series import Series

OPTIONAL: tuple[str, ...] = (
    "endpoint",
    "connection",
    "partition",
    "router",
    "router_zone",
    "node",
    "node_zone",
)
REQUIRED: tuple[str, ...] = ("host", "zone", "table")
DIMENSIONS: tuple[str, ...] = (*REQUIRED, *OPTIONAL)
"""What may be asked for; vantage, operation and level are always kept: their counts must never be added up."""

SUMMARY: tuple[str, ...] = ("zone", "table", "endpoint", "connection", "partition")
"""What a sealed interval's summary keeps of a client's series; a server's series are few and kept whole."""


def in_summary(series: Series) -> Series:
    """The series under which ``series`` is summarised when an interval is sealed."""
    return series if series.vantage is Vantage.SERVER else reduce_series(series, SUMMARY)


def summary_suffices(vantage: Vantage | None, by: Collection[str] | None) -> bool:
    """Whether a question can be answered from the summaries: a month is then read in seconds."""
    return vantage is Vantage.SERVER or (by is not None and set(by) <= set(SUMMARY))


def reduce_series(series: Series, by: Collection[str]) -> Series:
    """``series`` with the other dimensions blank: None, or "" where the contract wants a text."""
    blank: dict[str, Any] = {name: None for name in OPTIONAL if name not in by}
    blank |= {name: "" for name in REQUIRED if name not in by}
    return replace(series, **blank)


class Grouping:
    """Which series fall together under ``by``. Grows with the ledger's series; ids count from 1 without holes."""

    def __init__(self, by: Collection[str]) -> None:
        self._by = by
        self._numbers: dict[Series, int] = {}
        self._group_of: list[int] = [0]  # index: series id
        self.names: list[Series] = []
        """Index: number of the group."""

    def learn(self, names: Mapping[int, Series]) -> None:
        """Take in the series that are new in ``names``."""
        for number in range(len(self._group_of), len(names) + 1):
            group = reduce_series(names[number], self._by)
            if group not in self._numbers:
                self._numbers[group] = len(self.names)
                self.names.append(group)
            self._group_of.append(self._numbers[group])

    def roll_up(self, columns: "list[array[int]]") -> dict[RowKey, Tally]:
        """Columns (:func:`collector.columns.columns_of`) added up by ``(group, recused)``."""
        import numpy as np  # noqa: PLC0415 (a daemon that is never asked need not load it)

        table = np.array([np.frombuffer(column, dtype=np.int64) for column in columns])
        if not table.shape[1]:
            return {}
        keys = np.array(self._group_of, dtype=np.int64)[table[0]] * 2 + table[1]
        order = np.argsort(keys, kind="stable")
        distinct, firsts = np.unique(keys[order], return_index=True)
        sums = np.add.reduceat(table[2:, order], firsts, axis=1).T
        return {(key // 2, key % 2): tuple(row) for key, row in zip(distinct.tolist(), sums.tolist(), strict=True)}


def to_columns(rows: Iterable[tuple[int, ...]], width: int) -> "list[array[int]]":
    """Rows of the running interval as columns, so that sealed and running ones go the same way."""
    flat = list(zip(*rows, strict=True))
    return [array("q", column) for column in flat] if flat else [array("q") for _ in range(width)]
