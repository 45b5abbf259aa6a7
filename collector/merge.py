"""Integer counts by series and five-minute interval: associative and commutative, so that any order gives one ledger (pure).

A tally is a fixed-width vector of integers, one place for each outcome and then one for each latency bucket, so that a
merge is an addition of vectors (tuples here; columns of an array in :mod:`collector.columns`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import add

from collector.interval import interval_of
from collector.observation import Outcome
from collector.series import LATENCY_BOUNDS_MS, Reading, Series

OUTCOMES: tuple[Outcome, ...] = tuple(Outcome)
BUCKETS = len(LATENCY_BOUNDS_MS) + 1
WIDTH = len(OUTCOMES) + BUCKETS

Tally = tuple[int, ...]
"""``WIDTH`` integers: counts in the order of :class:`~collector.observation.Outcome`, then the latency buckets."""

EMPTY: Tally = (0,) * WIDTH
_NO_LATENCY = (0,) * BUCKETS


@dataclass(frozen=True, slots=True)
class Key:
    """What a row of the ledger is about. ``recused``: counted by a host that had recused itself, kept apart."""

    start: int
    series: Series
    recused: bool = False


def tally_of(reading: Reading) -> Tally:
    """A reading's integers as a vector."""
    counts = reading.counts
    return (*[counts.get(outcome, 0) for outcome in OUTCOMES], *(reading.latency or _NO_LATENCY))


def merge(one: Tally, other: Tally) -> Tally:
    """Their sum."""
    return tuple(map(add, one, other))


def collect(readings: Iterable[Reading], *, recused: bool) -> dict[Key, Tally]:
    """All readings' tallies by ledger row; whatever software answered, it is the same row."""
    rows: dict[Key, Tally] = {}
    for reading in readings:
        key = Key(interval_of(reading.at), _lasting(reading.series), recused)
        tally = tally_of(reading)
        known = rows.get(key)
        rows[key] = tally if known is None else merge(known, tally)
    return rows


def _lasting(series: Series) -> Series:
    """The dimensions that the ledger keeps: each deployment would double its series."""
    return series if series.software_version is None else replace(series, software_version=None)


def counts_of(tally: Tally) -> dict[Outcome, int]:
    """The outcomes' part of a tally; outcomes that never came are left out."""
    return {outcome: count for outcome, count in zip(OUTCOMES, tally, strict=False) if count}


def latency_of(tally: Tally) -> tuple[int, ...]:
    """The histogram's part of a tally; empty when nothing was measured."""
    latency = tally[len(OUTCOMES) :]
    return latency if any(latency) else ()
