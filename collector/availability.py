"""How available a table, a zone or an endpoint was, from its totals: integers, and one ratio at the end (pure)."""

from collections.abc import Iterator

import msgspec
import numpy as np

from collector.interval import INTERVAL_SECONDS, interval_of
from collector.observation import BAD, Level, Outcome, Vantage
from collector.totals import Totals

_OUTCOMES = tuple(Outcome)
_BAD = np.array([outcome in BAD for outcome in _OUTCOMES])
_EXCUSED = np.array([outcome.is_excluded for outcome in _OUTCOMES])
_GOOD = ~_BAD & ~_EXCUSED


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """One vantage's attempts (or calls) in a span: good and bad add up to what counts.

    ``availability`` is good/(good + bad), None when nothing was seen. ``throttled`` and customers' mistakes are in
    ``not_counted``; ``recused`` and ``excluded`` attempts are apart and in no other number. ``intervals`` is the length of the span
    in five-minute intervals, ``seen`` how many of them had attempts, ``failing`` how many of those had bad ones.
    ``versions``: how many intervals rest on which version (0: not sealed yet).
    """

    vantage: Vantage
    level: Level
    availability: float | None
    good: int
    bad: int
    not_counted: int
    counts: dict[str, int]
    recused: int
    excluded: int
    intervals: int
    seen: int
    failing: int
    versions: dict[str, int]


def availability(totals: Totals, start: float, end: float) -> list[Availability]:
    """By vantage and level; storage nodes' share in the routers' requests is left out."""
    intervals = max(0, -(-int(end - interval_of(start)) // INTERVAL_SECONDS))
    return [_one(totals, vantage, level, intervals) for vantage, level in _witnesses(totals)]


def _witnesses(totals: Totals) -> Iterator[tuple[Vantage, Level]]:
    yield from sorted({(key.vantage, key.level) for key in totals.keys if not key.at_node})


def _one(totals: Totals, vantage: Vantage, level: Level, intervals: int) -> Availability:
    def rows(recused: bool | None, excluded: bool) -> Totals:
        meant = [
            (key.vantage, key.level, key.at_node) == (vantage, level, False)
            and key.excluded is excluded
            and recused in (None, key.recused)
            for key in totals.keys
        ]
        return totals.take(np.array(meant, dtype=np.bool_)[totals.key])

    counted = rows(recused=False, excluded=False)
    sums = counted.counts.sum(axis=1)
    good, bad = int(sums[_GOOD].sum()), int(sums[_BAD].sum())
    busy = counted.take(counted.counts.sum(axis=0) > 0)
    starts, firsts = np.unique(busy.start, return_index=True)
    versions, times = np.unique(busy.version[firsts], return_counts=True)
    return Availability(
        vantage=vantage,
        level=level,
        availability=good / (good + bad) if good + bad else None,
        good=good,
        bad=bad,
        not_counted=int(sums[_EXCUSED].sum()),
        counts={outcome.value: int(count) for outcome, count in zip(_OUTCOMES, sums, strict=True) if count},
        recused=int(rows(recused=True, excluded=False).counts.sum()),
        excluded=int(rows(recused=None, excluded=True).counts.sum()),
        intervals=intervals,
        seen=len(starts),
        failing=len(np.unique(busy.start[busy.counts[_BAD].sum(axis=0) > 0])),
        versions={str(version): int(count) for version, count in zip(versions, times, strict=True)},
    )
