"""Tables by the thousand: kept as arrays until the report knows which of them it will show (pure)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from collector.observation import BAD, Outcome, Vantage
from collector.totals import Totals

Ints = NDArray[np.int64]
TableKey = tuple[str, str, str]
"""Vantage, level, table."""

_BAD = np.array([outcome in BAD for outcome in Outcome])


class TableSums:
    """Feed it with :meth:`add` in pieces of time; what is recused, excluded or counted at a storage node is left out."""

    def __init__(self) -> None:
        self._numbers: dict[TableKey, int] = {}
        self._pieces: list[tuple[NDArray[np.int32], Ints, NDArray[np.int32 | np.int64]]] = []
        self._bad: dict[TableKey, int] = {}

    def add(self, totals: Totals) -> None:
        """Takes sums by table in."""
        counted = [not (key.recused or key.excluded or key.at_node) and bool(key.table) for key in totals.keys]
        numbers = np.array(
            [
                self._numbers.setdefault((key.vantage.value, key.level.value, key.table or ""), len(self._numbers))
                if is_counted
                else -1
                for key, is_counted in zip(totals.keys, counted, strict=True)
            ],
            dtype=np.int64,
        )
        number = numbers[totals.key] if len(totals.keys) else totals.key
        chosen = np.flatnonzero(number >= 0)
        if not len(chosen):
            return
        order = chosen[np.lexsort((totals.start[chosen], number[chosen]))]
        number, start = number[order], totals.start[order]
        firsts = np.flatnonzero(np.diff(number, prepend=-1) | np.diff(start, prepend=-1))
        sums = np.add.reduceat(totals.counts[:, order], firsts, axis=1)
        narrow = np.int32 if sums.max() < 2**31 else np.int64
        self._pieces.append((number[firsts].astype(np.int32), start[firsts], sums.astype(narrow)))

    def worst(self, most: int) -> tuple[list[TableKey], int]:
        """The tables to show: those with most bad attempts, then by name; and how many tables there are."""
        bad = np.zeros(len(self._numbers), dtype=np.int64)
        for number, _, counts in self._pieces:
            bad += np.bincount(number, weights=counts[_BAD].sum(axis=0), minlength=len(bad)).astype(np.int64)
        by_table: dict[str, int] = {}
        for (vantage, _, table), count in zip(self._numbers, bad.tolist(), strict=True):
            by_table[table] = by_table.get(table, 0) + (count if vantage != Vantage.SERVER else 0)
        shown = set(sorted(by_table, key=lambda table: (-by_table[table], table))[:most])
        return [key for key in self._numbers if key[2] in shown], len(by_table)

    def rows(self, keys: list[TableKey]) -> Iterator[tuple[TableKey, int, list[int]]]:
        """Of these tables: key, interval and the count of each outcome."""
        by_number = {self._numbers[key]: key for key in keys}
        wanted = np.zeros(len(self._numbers), dtype=np.bool_)
        wanted[list(by_number)] = True
        for number, start, counts in self._pieces:
            chosen = wanted[number]
            table = np.concatenate([[number[chosen]], [start[chosen]], counts[:, chosen]])
            for place, at, *outcomes in table.T.tolist():
                yield by_number[place], at, outcomes
