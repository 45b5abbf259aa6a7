"""Burn rate and verdict of every row and window at a tick, in chunks that stay in the processor's cache (pure)."""

from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from cfa.objective import Verdict
from cfa.policy import VERDICT_ALPHA
from cfa.tables.columns import Counts, Rows
from cfa.tables.policy import SEGMENTS
from cfa.tables.rings import BAD, GOOD, Rings

CHUNK = 16_384
VERDICTS: tuple[Verdict, ...] = (
    Verdict.UNOBSERVED,
    Verdict.NOT_ENOUGH_EVIDENCE,
    Verdict.OK,
    Verdict.BREACH,
)
"""By number; 0 is what nothing has been said of."""
_UNOBSERVED, _NOT_ENOUGH, _OK, _BREACH = range(len(VERDICTS))
Floats = NDArray[np.float64]


class Assessment:
    """``burn[window, row]`` (how many times faster than allowed; NaN: unobserved) and ``verdict[window, row]``, as of the last :meth:`take`."""

    def __init__(self) -> None:
        self.burn: NDArray[np.float32] = np.zeros((len(SEGMENTS), 0), np.float32)
        self.verdict: NDArray[np.uint8] = np.zeros((len(SEGMENTS), 0), np.uint8)
        self.tally: NDArray[np.int64] = np.zeros((len(SEGMENTS), len(VERDICTS)), np.int64)

    def take(self, rings: Rings, rows: int, level: NDArray[np.uint16], allowed: Floats) -> None:
        """Computes everything anew from the counts."""
        if self.burn.shape[1] < rows:
            self.burn = np.zeros((len(SEGMENTS), rings.capacity), np.float32)
            self.verdict = np.zeros((len(SEGMENTS), rings.capacity), np.uint8)
        self.tally[:] = 0
        for begin in range(0, rows, CHUNK):
            part = slice(begin, min(begin + CHUNK, rows))
            p0 = allowed[level[part]] if len(allowed) > 1 else float(allowed[0])
            self._take(rings.sums[GOOD][:, part], rings.sums[BAD][:, part], p0, part)

    def _take(self, good: Counts, bad: Counts, p0: Floats | float, part: slice) -> None:
        enough_at = log(2) / p0
        valid = np.zeros(good.shape[1], np.int64)
        failed = np.zeros(good.shape[1], np.int64)
        any_bad = False
        for w in range(len(SEGMENTS)):
            valid += good[w]
            if bad[w].any():
                any_bad = True
                failed += bad[w]
                valid += bad[w]
            verdict, burn = self.verdict[w, part], self.burn[w, part]
            seen = valid > 0
            verdict[:] = seen
            verdict += valid >= enough_at
            if any_bad:
                allowance = valid * p0
                np.divide(failed, allowance, out=burn, casting="same_kind", where=seen)
                over = np.flatnonzero(failed > allowance)
                if len(over):
                    odds = p0[over] if isinstance(p0, np.ndarray) else np.full(len(over), p0)
                    verdict[over] = np.where(
                        is_breach(failed[over], valid[over], odds), _BREACH, _NOT_ENOUGH
                    )  # fmt: skip
            else:
                burn[:] = 0
            if not seen.all():
                burn[~seen] = np.nan
            self.tally[w] += np.bincount(verdict, minlength=len(VERDICTS))


def is_breach(failures: Counts, attempts: Counts, allowed: Floats) -> NDArray[np.bool_]:
    """Whether :func:`cfa.objective.tail` is at most ``VERDICT_ALPHA``; failures are above their mean.

    Chernoff's bound, exp(−n·KL), is the cheaper and larger: what it decides is decided.
    """
    limit = -log(VERDICT_ALPHA)
    share = failures / attempts
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(failures < attempts, (attempts - failures) * np.log((1 - share) / (1 - allowed)), 0.0)
    nats = failures * np.log(share / allowed) + rest
    found = nats >= limit
    close = np.flatnonzero(~found & (nats >= limit - NATS_CLOSE))
    if len(close):
        found[close] = _log_tail(failures[close], attempts[close], allowed[close]) <= -limit
    return found


NATS_CLOSE = 12.0
"""Chernoff's bound is never worse than the exact tail by more than about ln √(2πn) in the range where it matters."""


def _log_tail(failures: Counts, attempts: Counts, allowed: Floats) -> Floats:
    """Ln of :func:`cfa.objective.tail`."""
    f, n = failures.astype(np.float64), attempts.astype(np.float64)
    choose = gammaln(n + 1) - gammaln(f + 1) - gammaln(n - f + 1)
    first = choose + f * np.log(allowed) + (n - f) * np.log1p(-allowed)
    ratio = (n - f) / (f + 1) * allowed / (1 - allowed)
    return np.where(ratio < 1, first - np.log1p(-np.minimum(ratio, 1 - 1e-12)), 0.0)


def most(burn: NDArray[np.float32], k: int) -> Rows:
    """The rows with the highest burn rate, highest first; those without any are left out."""
    values = np.nan_to_num(burn, nan=0.0)
    k = min(k, len(values))
    if not k:
        return np.empty(0, np.int64)
    top = np.argpartition(-values, k - 1)[:k]
    top = top[values[top] > 0]
    return np.asarray(top[np.lexsort((top, -values[top]))], np.int64)
