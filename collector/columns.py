"""A sealed interval as compressed columns of integers (pure).

An interval has thousands of series with small, mostly zero counts: row by row that is megabytes a day of overhead,
column by column a few tens of kilobytes. The columns are little-endian 64-bit integers: series id, recused, then the
``WIDTH`` places of the tally; ``array`` and numpy read them alike.
"""

import zlib
from array import array
from collections.abc import Iterable, Mapping

from collector.merge import WIDTH, Tally, merge

RowKey = tuple[int, int]
"""``(series id, recused as 0 or 1)``."""

COLUMNS = WIDTH + 2
_BIG_ENDIAN = array("H", [1]).tobytes() == b"\x00\x01"


def pack(rows: Mapping[RowKey, Tally]) -> bytes:
    """``rows`` in order of their keys, as compressed columns. Equal rows give equal bytes."""
    ordered = sorted(rows)
    columns = array("q", [key[0] for key in ordered])
    columns.extend(key[1] for key in ordered)
    for place in zip(*[rows[key] for key in ordered], strict=True):
        columns.extend(place)
    if _BIG_ENDIAN:
        columns.byteswap()
    return zlib.compress(columns.tobytes(), 6)


def columns_of(body: bytes) -> "list[array[int]]":
    """The ``COLUMNS`` columns; raises ValueError when ``body`` is damaged."""
    try:
        flat = array("q", zlib.decompress(body))
    except zlib.error as error:
        raise ValueError(f"a sealed interval is damaged: {error}") from error
    if _BIG_ENDIAN:
        flat.byteswap()
    if len(flat) % COLUMNS:
        raise ValueError(f"a sealed interval holds {len(flat)} integers, not a multiple of {COLUMNS}")
    height = len(flat) // COLUMNS
    return [flat[i * height : (i + 1) * height] for i in range(COLUMNS)]


def unpack(body: bytes) -> dict[RowKey, Tally]:
    """The rows again; raises ValueError when ``body`` is damaged."""
    series, recused, *places = columns_of(body)
    return dict(zip(zip(series, recused, strict=True), zip(*places, strict=True), strict=True))


def add(sealed: Mapping[RowKey, Tally], late: Iterable[tuple[RowKey, Tally]]) -> dict[RowKey, Tally]:
    """``sealed`` with late rows merged in: the rows of the next version."""
    rows = dict(sealed)
    for key, tally in late:
        rows[key] = merge(rows[key], tally) if key in rows else tally
    return rows


def regroup(rows: Mapping[RowKey, Tally], group_of: Mapping[int, int]) -> dict[RowKey, Tally]:
    """``rows`` added up by ``group_of`` their series."""
    return add({}, (((group_of[series], recused), tally) for (series, recused), tally in rows.items()))
