"""Which series fall together in totals, and a table's rows as such (pure)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from collector.columns import EXCLUDED, FLAGS, RECUSED, Table
from collector.merge import OUTCOMES
from collector.observation import Vantage
from collector.series import Series
from collector.totals import TotalKey, Totals


def key_of(kind: str, series: Series) -> TotalKey:
    """What the counts of ``series`` are added up under."""
    dimensions = {"table": series.table} if kind == "tables" else {"zone": series.zone, "endpoint": series.endpoint}
    return TotalKey(
        vantage=series.vantage,
        level=series.level,
        operation=series.operation,
        at_node=series.vantage is Vantage.SERVER and series.node is not None,
        **dimensions,
    )


class TotalGrouping:
    """Grows with the ledger's series; ids count from 1 without holes."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._numbers: dict[TotalKey, int] = {}
        self._codes: list[int] = [0]
        self._array = np.zeros(1, dtype=np.int64)

    def learn(self, names: Mapping[int, Series]) -> None:
        """Take in the series that are new in ``names``."""
        for number in range(len(self._codes), len(names) + 1):
            key = key_of(self._kind, names[number])
            self._codes.append(self._numbers.setdefault(key, len(self._numbers)))

    def codes(self) -> NDArray[np.int64]:
        """Index: series id."""
        if len(self._array) != len(self._codes):
            self._array = np.array(self._codes, dtype=np.int64)
        return self._array

    def totals(self, summed: Sequence[tuple[int, int, Table]], where: Mapping[str, str]) -> Totals:
        """``(start, version, table by group)`` of intervals as totals, those whose key is as ``where`` says."""
        tables = [(start, version, table) for start, version, table in summed if table.shape[1]]
        if not tables:
            return Totals.empty(self._kind)
        whole = np.concatenate([table for _, _, table in tables], axis=1)
        heights = [table.shape[1] for _, _, table in tables]
        starts = np.repeat(np.array([start for start, _, _ in tables], dtype=np.int64), heights)
        versions = np.repeat(np.array([version for _, version, _ in tables], dtype=np.int64), heights)
        distinct, key = np.unique(whole[0] * FLAGS + whole[1], return_inverse=True)
        plain = list(self._numbers)
        keys = tuple(_flagged(plain[number // FLAGS], number % FLAGS) for number in distinct.tolist())
        found = Totals(self._kind, keys, key.astype(np.int64), starts, versions, whole[2 : 2 + len(OUTCOMES)])
        if not where:
            return found
        meant = [all(getattr(one, name) == value for name, value in where.items()) for one in keys]
        return found.take(np.array(meant, dtype=np.bool_)[found.key])


def _flagged(key: TotalKey, flags: int) -> TotalKey:
    if not flags:
        return key
    return TotalKey(
        vantage=key.vantage,
        level=key.level,
        operation=key.operation,
        zone=key.zone,
        endpoint=key.endpoint,
        table=key.table,
        at_node=key.at_node,
        recused=bool(flags & RECUSED),
        excluded=bool(flags & EXCLUDED),
    )
