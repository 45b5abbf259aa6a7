"""Rows of a roll-up as totals (pure)."""

import itertools

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from collector.history.arrow import starts_of
from collector.history.layout import OUTCOME_COLUMNS, ROLLUPS
from collector.totals import TotalKey, Totals

Ints = NDArray[np.int64]


def totals_of(kind: str, table: pa.Table) -> Totals:
    """The rows as they are; what has equal keys is not added up yet."""
    table = table.combine_chunks()
    names = (*ROLLUPS[kind], "recused", "excluded")
    combined = np.zeros(table.num_rows, dtype=np.int64)
    values: list[list[object]] = []
    for name in names:
        codes, known = _codes(table[name])
        combined = combined * len(known) + codes
        values.append(known)
    distinct, key = np.unique(combined, return_inverse=True)
    keys = tuple(_key(names, values, int(number)) for number in distinct)
    counts = np.array([table[name].to_numpy() for name in OUTCOME_COLUMNS], dtype=np.int64)
    return Totals(
        kind, keys, key.astype(np.int64), starts_of(table), table["version"].to_numpy().astype(np.int64), counts
    )


def _codes(column: pa.ChunkedArray) -> tuple[Ints, list[object]]:
    """A column as codes and what they mean; the last one may be None."""
    if pa.types.is_boolean(column.type):
        return column.to_numpy().astype(np.int64), [False, True]
    whole = column.combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    known: list[object] = [*whole.dictionary.to_pylist(), None]
    codes = whole.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), known


def _key(names: tuple[str, ...], values: list[list[object]], number: int) -> TotalKey:
    found: dict[str, object] = {}
    for name, known in reversed(list(itertools.zip_longest(names, values))):
        number, code = divmod(number, len(known))
        found[name] = known[code]
    return msgspec.convert(found, TotalKey)
