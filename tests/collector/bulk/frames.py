"""Frames to feed the columnar lane with, and what it should make of them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from collector.bulk.books import Limits
from collector.bulk.sealed import COLUMN_OF
from collector.bulk.store import CounterStore
from collector.column_batch import PLACES, Counts, Increments, encode, encode_names, sections_of
from collector.interval import interval_of

NOW = 1_795_000_200
OPERATIONS = ("write", "strong_read")

Totals = Counter[tuple[str, str, str, int, str]]
"""By host, table, operation, start of the interval and place."""


def names(host: str, numbers: Iterable[int], *, boot: str = "b1", shift: int = 0, **more: str) -> bytes:
    """Registers ``numbers``: the series of number n is table ``(n + shift) // 2``, operation ``(n + shift) % 2``."""
    rows = list(numbers)
    columns: list[tuple[str, list[str | None]]] = [
        ("table", [f"orders-{(n + shift) // 2}" for n in rows]),
        ("operation", [OPERATIONS[(n + shift) % 2] for n in rows]),
        ("vantage", ["customer"] * len(rows)),
        *((dimension, [text] * len(rows)) for dimension, text in more.items()),
    ]
    return encode_names((host, host[:3], boot), np.array(rows, np.uint32), columns)


def counts(
    host: str, sequence: int, at: int, places: Mapping[str, Mapping[int, int]], *, boot: str = "b1", **more: int
) -> bytes:
    """A batch: by place, the increments by number."""
    increments = []
    for place, values in places.items():
        numbers = np.array(sorted(values), np.uint32)
        increments.append(Increments(place, numbers, np.array([values[n] for n in sorted(values)], np.uint32)))
    sections, arrays = sections_of(increments)
    header = Counts(
        host=host, zone=host[:3], boot=boot, sequence=sequence, sent_at=float(at), at=at, sections=sections, **more
    )  # fmt: skip
    return encode(header, arrays)


def expected(host: str, at: int, places: Mapping[str, Mapping[int, int]], *, shift: int = 0) -> Totals:
    """The same by a plain dictionary."""
    total: Totals = Counter()
    for place, values in places.items():
        for number, value in values.items():
            row = number + shift
            total[host, f"orders-{row // 2}", OPERATIONS[row % 2], interval_of(at), place] += value
    return +total


def open_store(folder: Path) -> CounterStore:
    return CounterStore(folder, Limits(late_seconds=86400 * 7))


def totals(store: CounterStore) -> Totals:
    """All that the store holds: what is sealed, read by Arrow alone from the files' own names, and what is open."""
    total: Totals = Counter()
    for one in store.sealed.newest.values():
        for row in pq.read_table(one.path).to_pylist():
            for place in PLACES:
                key = (row["host"], row["table"], row["operation"], row["start"], place)
                total[key] += row.get(COLUMN_OF[place], 0)
    for start, tally in store.books.tallies.items():
        for place, column in tally.columns.items():
            for number in np.flatnonzero(column).tolist():
                series = store.books.dictionary.series(number)
                total[series.host, series.table, str(series.operation), start, place] += int(column[number])
    return +total
