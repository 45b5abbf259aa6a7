"""Windows, evidence and assessment of one set of rows, brought forward tick by tick (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfa.tables.assessment import Assessment
from cfa.tables.columns import Counts, Rows
from cfa.tables.detector import Detector, log_threshold
from cfa.tables.policy import FRESH_SECONDS, HOT_LOG_E, SEGMENTS, TICK_SECONDS
from cfa.tables.rings import BAD, GOOD, KINDS, Rings
from cfa.tables.rowsets import minus, union

HOUR = next(i for i, segment in enumerate(SEGMENTS) if segment.name == "1h")


@dataclass(frozen=True, slots=True)
class Gathered:
    """Dense counts by kind of the ten seconds that begin at ``at``; None where there are none."""

    at: int
    counts: tuple[Counts | None, ...]


@dataclass(frozen=True, slots=True)
class Weighed:
    """Rows that failed lately or are hot: their evidence and threshold (nats), and what they had in this tick."""

    rows: Rows
    log_m: NDArray[np.float64]
    log_a: NDArray[np.float64]
    bad: Counts
    good: Counts

    @property
    def log_e(self) -> NDArray[np.float64]:
        """Ln of M / A: at 0 a row alone is beyond chance."""
        return self.log_m - self.log_a


class Block:
    """All rows of one kind: those of tables, or those of roll-ups."""

    def __init__(self) -> None:
        self.rows = 0
        self.rings = Rings()
        self.detector = Detector()
        self.assessment = Assessment()
        self.hot: Rows = np.empty(0, np.int64)

    def reserve(self, allowed: Sequence[float]) -> None:
        """``len(allowed)`` more rows, with the p0 of each."""
        first, self.rows = self.rows, self.rows + len(allowed)
        self.rings.reserve(self.rows)
        self.detector.reserve(self.rows)
        levels = {p0: self.detector.level_of(p0) for p0 in dict.fromkeys(allowed)}
        self.detector.level[first : self.rows] = [levels[p0] for p0 in allowed]

    def tick(self, now: int, gathered: Sequence[Gathered], sharers: int, false_pages_per_year: float) -> Weighed:
        """What was gathered up to ``now``. ``sharers``: rows, here and elsewhere, that share the false pages allowed."""
        self.rings.advance(now)
        fresh: list[Counts | None] = [None] * KINDS
        for one in gathered:
            self.rings.add(one.at, one.counts)
            if one.at >= now - FRESH_SECONDS - TICK_SECONDS:
                fresh = [_sum(a, b) for a, b in zip(fresh, one.counts, strict=True)]
        weighed = self._weigh(fresh[GOOD], fresh[BAD], sharers, false_pages_per_year)
        if self.rows:
            self.assessment.take(self.rings, self.rows, self.detector.level, self.detector.allowed)
        return weighed

    def _weigh(self, good: Counts | None, bad: Counts | None, sharers: int, false_pages_per_year: float) -> Weighed:
        failed = np.empty(0, np.int64) if bad is None else np.flatnonzero(bad)
        rows = union(failed, self.hot)
        bads, goods = _at(bad, rows), _at(good, rows)
        log_m = self.detector.weigh(rows, bads, goods)
        if good is not None:
            self.detector.count(good)
        log_a = log_threshold(self._rate(rows), sharers, false_pages_per_year)
        keep = log_m - log_a >= HOT_LOG_E
        self.hot = rows[keep]
        return Weighed(rows[keep], log_m[keep], log_a[keep], bads[keep], goods[keep])

    def _rate(self, rows: Rows) -> NDArray[np.float64]:
        """Requests a second: the more of the last five minutes' and the last hour's."""
        short, hour = (sum(self.rings.window(w, rows)[:EXCLUDED]) for w in (0, HOUR))
        return np.maximum(np.asarray(short) / SEGMENTS[0].seconds, np.asarray(hour) / SEGMENTS[HOUR].seconds)

    def forget(self, rows: Rows) -> None:
        """The evidence of ``rows`` is spent."""
        self.detector.forget(rows)
        self.hot = minus(self.hot, rows)


EXCLUDED = BAD + 1


def _sum(a: Counts | None, b: Counts | None) -> Counts | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _at(counts: Counts | None, rows: Rows) -> Counts:
    return np.zeros(len(rows), np.int64) if counts is None else counts[rows]
