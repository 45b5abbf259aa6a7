"""The evidence of millions of rows: the mixture Shiryaev–Roberts detector of :mod:`cfa.evidence` in arrays, done when it matters (pure).

Successes alone never take a row over a threshold, and n of them have a closed form: so a row is only touched when it fails (or is
hot already), and what it has had of successes since then is made up for in one step. A healthy row costs nothing.

A counter does not tell in which order its requests failed. The seven alternatives of :mod:`cfa.evidence` take the order that is worst
for us, all failures in a row, and are then blind to, say, a 5 % failure at 1,000 requests a second. Beside them stand alternatives
that need no order: with P(fail | success before) ≤ p0 and P(fail | failure before) ≤ c, the product u^failures · v^successes, divided by
H, is an e-process in any order when

    c·u < 1,   H = (1−c)·v / (1−c·u),   v = 1 / (1 − p0 + p0·u·(1−c)/(1−c·u))

since h(after success) = 1, h(after failure) = H then makes both steps' expectations exactly h. The mean over all alternatives is an
e-detector again.
"""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from cfa.evidence import alternatives
from cfa.policy import CLUSTERING, GRID, SECONDS_PER_YEAR
from cfa.tables.columns import Counts, Rows
from cfa.tables.policy import COUNTED_RISES, RATE_AT_LEAST

Floats = NDArray[np.float64]
ORDERED = len(GRID)
WIDTH = ORDERED + len(COUNTED_RISES)
CEILING = 1e37
"""States stop growing here (ln = 85): lowering a state never makes an alarm more likely, and it fits into 32 bits."""

CHUNK = 4_096
"""So many rows are weighed at once: what is needed for them stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Factors:
    """What one request does to each alternative, for one p0 a line."""

    first: Floats
    again: Floats
    good: Floats
    good_after: Floats
    unit: Floats
    """What a new start is worth."""


def factors(allowed: Floats, c: float = CLUSTERING) -> Factors:
    """The factors of each p0."""
    p0 = allowed[:, None]
    pk = np.array([alternatives(float(one)) for one in allowed]).reshape(-1, ORDERED)
    u = np.broadcast_to(np.array(COUNTED_RISES), (len(allowed), len(COUNTED_RISES)))
    v = 1 / (1 - p0 + p0 * u * (1 - c) / (1 - c * u))
    unit = np.concatenate([np.ones_like(pk), (1 - c * u) / ((1 - c) * v)], axis=1)
    good = (1 - pk) / (1 - p0)
    after = np.where(pk >= c, (1 - pk) / (1 - c), good)
    return Factors(
        first=np.concatenate([pk / p0, u], axis=1),
        again=np.concatenate([np.maximum(pk, c) / c, u], axis=1),
        good=np.concatenate([good, v], axis=1),
        good_after=np.concatenate([after, v], axis=1),
        unit=unit,
    )


class Detector:
    """States of all rows. ``level[row]`` says which of the distinct p0 a row has."""

    def __init__(self) -> None:
        self.capacity = 1024
        self.allowed: Floats = np.zeros(0)
        self.level: NDArray[np.uint16] = np.zeros(self.capacity, np.uint16)
        self.r: NDArray[np.float32] = np.zeros((self.capacity, WIDTH), np.float32)
        self.failed: NDArray[np.bool_] = np.zeros(self.capacity, np.bool_)
        self.good: Counts = np.zeros(self.capacity, np.int64)
        self.weighed: Counts = np.zeros(self.capacity, np.int64)
        self._factors = factors(self.allowed)

    ARRAYS = ("level", "r", "failed", "good", "weighed")

    def reserve(self, rows: int) -> None:
        """Makes room for ``rows`` rows."""
        if rows <= self.capacity:
            return
        capacity = max(rows, self.capacity * 3 // 2)
        for name in self.ARRAYS:
            old = getattr(self, name)
            grown = np.zeros((capacity, *old.shape[1:]), old.dtype)
            grown[: self.capacity] = old
            setattr(self, name, grown)
        self.capacity = capacity

    def level_of(self, allowed: float) -> int:
        """The number of a p0, new or known."""
        known = np.flatnonzero(self.allowed == allowed)
        if len(known):
            return int(known[0])
        if len(self.allowed) >= 2**16 - 1:
            raise ValueError("more than 65,535 different objectives")
        self.set_levels(np.append(self.allowed, allowed))
        return len(self.allowed) - 1

    def set_levels(self, allowed: Floats) -> None:
        """All distinct p0, by number."""
        self.allowed = allowed
        self._factors = factors(allowed)

    def count(self, good: Counts) -> None:
        """``good[row]`` more successes, to be weighed when the row is looked at. After :meth:`weigh` of the same tick."""
        self.good[: len(good)] += good

    def weigh(self, rows: Rows, bad: Counts, good: Counts) -> Floats:
        """Brings ``rows`` up to date: the successes so far, then ``bad`` failures, then ``good`` successes; ln M of each.

        ``good`` is still to be given to :meth:`count`.
        """
        log_m = np.empty(len(rows))
        for begin in range(0, len(rows), CHUNK):
            part = slice(begin, begin + CHUNK)
            log_m[part] = self._weigh(rows[part], bad[part], good[part])
        return log_m

    def _weigh(self, rows: Rows, bad: Counts, good: Counts) -> Floats:
        lines = self.level[rows]
        f = self._factors
        r = self.r[rows].astype(np.float64)
        flag = self.failed[rows]
        r, flag = _succeed(r, flag, self.good[rows] - self.weighed[rows], f, lines)
        r, flag = _fail(r, flag, bad, f, lines)
        r, flag = _succeed(r, flag, good, f, lines)
        self.r[rows], self.failed[rows] = r, flag
        self.weighed[rows] = self.good[rows] + good
        return np.asarray(np.log(np.maximum(r.mean(axis=1), 1e-300)))

    def forget(self, rows: Rows) -> None:
        """The evidence of ``rows`` is spent; always allowed, it only lowers states."""
        self.r[rows] = 0
        self.failed[rows] = False
        self.weighed[rows] = self.good[rows]


def log_threshold(updates_per_second: Floats, rows: int, false_pages_per_year: float) -> Floats:
    """Ln A of rows with so many requests a second, ``rows`` of which share the false pages that are allowed in a year.

    Each row gets an equal part of them: A = its updates in a year · rows / false pages. The sum of all e = M / A is then at most
    t · false pages per year in expectation, and so is the number of times that it reaches 1.
    """
    rate = np.maximum(updates_per_second, RATE_AT_LEAST)
    return np.asarray(np.log(rate) + log(SECONDS_PER_YEAR * max(1, rows) / false_pages_per_year))


def discovered(log_e: Floats) -> NDArray[np.bool_]:
    """e-d-BH: the k rows with the largest e, for the largest k with e(k) ≥ 1/k. Many that fail together lend each other strength.

    Costs no false pages: then Σ e ≥ 1, which is what the threshold bounds.
    """
    found = log_e >= 0
    weak = np.flatnonzero(~found)
    order = weak[np.argsort(-log_e[weak], kind="stable")]
    first = len(log_e) - len(weak) + 1
    enough = np.flatnonzero(log_e[order] + np.log(np.arange(first, first + len(order))) >= 0)
    if len(enough):
        found[order[: int(enough[-1]) + 1]] = True
    return found


def _fail(
    r: Floats, flag: NDArray[np.bool_], n: Counts, f: Factors, lines: NDArray[np.uint16]
) -> tuple[Floats, NDArray[np.bool_]]:
    some = n > 0
    if not some.any():
        return r, flag
    again, unit = f.again[lines], f.unit[lines]
    factor = np.where(flag[:, None], again, f.first[lines])
    once = np.minimum((unit + r) * factor, CEILING)
    more = np.minimum(run(once, again, np.minimum(n - 1, 2000)[:, None], unit), CEILING)
    return np.where(some[:, None], np.where(n[:, None] > 1, more, once), r), flag | some


def _succeed(
    r: Floats, flag: NDArray[np.bool_], n: Counts, f: Factors, lines: NDArray[np.uint16]
) -> tuple[Floats, NDArray[np.bool_]]:
    some = n > 0
    if not some.any():
        return r, flag
    good, unit = f.good[lines], f.unit[lines]
    after = np.where((flag & some)[:, None], (unit + r) * f.good_after[lines], r)
    left = n - (flag & some)
    many = run(after, good, np.maximum(left, 0)[:, None], unit)
    return np.where(left[:, None] > 0, many, after), flag & ~some


def run(r: Floats, factor: Floats, n: NDArray[np.int64], unit: Floats) -> Floats:
    """``n`` times ``r ← (unit + r) · factor`` in closed form: ``qⁿ r + unit · q (1 − qⁿ) / (1 − q)``; factor 1 adds ``unit`` each time."""
    near = np.abs(1 - factor) < 1e-12
    safe = np.where(near, 0.5, factor)
    power = np.exp(np.minimum(n * np.log(safe), 600.0))
    return np.asarray(np.where(near, r + n * unit, power * r + unit * safe * (1 - power) / (1 - safe)))
