"""Counts added up over the dimensions that nobody asked for (pure)."""

from array import array
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any

from collector.columns import RowKey
from collector.merge import Tally
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
"""What may be asked for; vantage and operation are always kept: their counts must never be added up."""


def reduce_series(series: Series, by: Collection[str]) -> Series:
    """``series`` with the other dimensions blank: None, or "" where the contract wants a text."""
    blank: dict[str, Any] = {name: None for name in OPTIONAL if name not in by}
    blank |= {name: "" for name in REQUIRED if name not in by}
    return replace(series, **blank)


def roll_up(columns: "list[array[int]]", group_of: Callable[[int], int]) -> dict[RowKey, Tally]:
    """Sealed columns (:func:`collector.columns.columns_of`) added up by ``(group, recused)``."""
    import numpy as np  # noqa: PLC0415 (a daemon that is never asked need not load it)

    ids, recused, *places = (np.frombuffer(column, dtype=np.int64) for column in columns)
    distinct, inverse = np.unique(ids, return_inverse=True)
    groups = np.array([group_of(int(i)) for i in distinct], dtype=np.int64)[inverse] if len(ids) else ids
    keys, place_of = np.unique(groups * 2 + recused, return_inverse=True)
    sums = np.zeros((len(keys), len(places)), dtype=np.int64)
    np.add.at(sums, place_of, np.stack(places, axis=1))
    return {(int(key) // 2, int(key) % 2): tuple(row) for key, row in zip(keys.tolist(), sums.tolist(), strict=True)}


def to_columns(rows: Iterable[tuple[int, ...]], width: int) -> "list[array[int]]":
    """Rows of the running interval as columns, so that sealed and running ones go the same way."""
    flat = list(zip(*rows, strict=True))
    return [array("q", column) for column in flat] if flat else [array("q") for _ in range(width)]
