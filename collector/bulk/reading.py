"""Questions to the columnar lane: a table's intervals, the dictionary in pages, who sends (shell).

They read the live arrays from a thread of their own. A count that is being added meanwhile is seen or not, never half.
"""

import numpy as np
from numpy.typing import NDArray

from collector.bulk.dictionary import DIMENSIONS, split
from collector.bulk.senders import missing
from collector.bulk.store import CounterStore
from collector.bulk.tally import Tally
from collector.column_batch import PLACES, encode_names
from collector.interval import interval_of
from collector.merge import OUTCOMES
from collector.wire import IntervalRow

PAGE_MAX = 65_536


def intervals(store: CounterStore, start: float, end: float, table: str) -> list[IntervalRow]:
    """A table's rows of the intervals that begin in ``[start, end)``: the newest sealed version, else what is counted so far (version 0)."""
    first = interval_of(start)
    ids = store.books.dictionary.of_table(table)
    if not len(ids):
        return []
    sealed = store.sealed.starts(first, end)
    is_open = set(store.books.tallies) | set(store.sealing)
    rows = []
    for at in sorted({*sealed, *(s for s in is_open if first <= s < end)}):
        if at in store.sealed.newest:
            version, counts, found = store.sealed.rows(at, ids)
        else:
            version, counts, found = 0, _open(store, at, ids), ids
        rows += _rows(store, at, version, counts, found)
    return rows


def _open(store: CounterStore, start: int, ids: NDArray[np.uint32]) -> dict[str, NDArray[np.int64]]:
    total = {place: np.zeros(len(ids), np.int64) for place in PLACES}
    for tally in (store.books.tallies.get(start), store.sealing.get(start)):
        for place, counts in (tally or Tally()).at(ids).items():
            total[place] += counts
    return total


def _rows(
    store: CounterStore, start: int, version: int, counts: dict[str, NDArray[np.int64]], ids: NDArray[np.uint32]
) -> list[IntervalRow]:
    nothing = np.zeros(len(ids), np.int64)
    columns = [counts.get(place, nothing).tolist() for place in PLACES]
    rows = []
    for number, *tally in zip(ids.tolist(), *columns, strict=True):
        if any(tally):
            latency = tuple(tally[len(OUTCOMES) :])
            outcomes = {outcome: count for outcome, count in zip(OUTCOMES, tally, strict=False) if count}
            series = store.books.dictionary.series(number)
            rows.append(
                IntervalRow(
                    series=series,
                    start=start,
                    version=version,
                    counts=outcomes,
                    latency=latency if any(latency) else (),
                )
            )
    return rows


def names_page(store: CounterStore, first: int, limit: int) -> bytes:
    """The series ``first`` to ``first + limit - 1`` (as far as there are any) as a names frame of the collector's numbering."""
    dictionary = store.books.dictionary
    keys = dictionary.keys(first, first + min(limit, PAGE_MAX))
    tables, shapes = split(keys)
    told = [dictionary.shapes.values[shape] for shape in shapes.tolist()]
    columns = [(name, [shape[place] for shape in told]) for place, name in enumerate(DIMENSIONS)]
    names = [dictionary.tables.values[table] for table in tables.tolist()]
    numbers = np.arange(first, first + len(keys), dtype=np.uint32)
    return encode_names(("collector", "collector", "collector"), numbers, [("table", names), *columns])


def senders(store: CounterStore) -> list[dict[str, object]]:
    """Every sender that is remembered: what arrived, what did not, what it gave up."""
    return [
        {
            "host": s.host, "zone": s.zone, "boot": s.boot, "last_at": s.last_at, "newest": s.seen[-1][1] if s.seen else 0,
            "missing": missing(s.seen), "seen": s.seen[-100:], "dropped": s.dropped,
        }
        for s in list(store.books.senders.by_name.values())
    ]  # fmt: skip
