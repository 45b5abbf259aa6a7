"""Objective, error budget, burn rate and verdict: ratios computed from integer counts at the end (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import exp, lgamma, log, log1p, nan

from cfa.policy import CELL_ATTEMPTS_AT_LEAST, VERDICT_ALPHA


class Verdict(StrEnum):
    """What the counts say of the objective. Unknown is a value."""

    OK = "ok"
    BREACH = "breach"
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"
    UNOBSERVED = "unobserved"


@dataclass(frozen=True, slots=True)
class Objective:
    """An availability objective as a ratio; ``allowed`` (p0 = 1 − objective) is the failure ratio that it grants."""

    default: float
    tables: Mapping[str, float]

    def allowed(self, table: str | None = None) -> float:
        """p0 of a table, or of everything that is not one table's."""
        target = self.default if table is None else self.tables.get(table, self.default)
        return 1.0 - target


def availability(good: int, bad: int) -> float | None:
    """Good of valid; None when nothing was observed."""
    return good / (good + bad) if good + bad else None


def burn_rate(good: int, bad: int, allowed: float) -> float | None:
    """How many times faster than allowed the budget burns; None when nothing was observed."""
    return bad / (good + bad) / allowed if good + bad else None


def budget_remaining(good: int, bad: int, allowed: float) -> float | None:
    """1 − bad / (p0 · valid): 1 is untouched, 0 is spent, below 0 overspent; None when nothing was observed."""
    return 1.0 - bad / (allowed * (good + bad)) if good + bad else None


def log_choose(n: int, k: int) -> float:
    """The logarithm of n over k."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def tail(failures: int, attempts: int, allowed: float) -> float:
    """P(X ≥ failures) for X ~ Binomial(attempts, allowed), as an upper bound by a geometric series; ≤ 1.

    Meant for failures above the mean: ``P(X=f) / (1 − r)`` with ``r`` the ratio of the first two terms.
    """
    if failures <= attempts * allowed:
        return 1.0
    first = log_choose(attempts, failures) + failures * log(allowed) + (attempts - failures) * log1p(-allowed)
    ratio = (attempts - failures) / (failures + 1) * allowed / (1 - allowed)
    return min(1.0, exp(first) / (1 - ratio)) if ratio < 1 else 1.0


def verdict(good: int, bad: int, allowed: float) -> Verdict:
    """Of a window: breach if a service at its objective would hardly ever look so bad; ok if within budget on enough attempts.

    Enough is ln 2 / p0: a service exactly at its objective would more likely than not have shown a failure.
    """
    valid = good + bad
    if not valid:
        return Verdict.UNOBSERVED
    if bad > allowed * valid:
        return Verdict.BREACH if tail(bad, valid, allowed) <= VERDICT_ALPHA else Verdict.NOT_ENOUGH_EVIDENCE
    return Verdict.OK if valid >= log(2) / allowed else Verdict.NOT_ENOUGH_EVIDENCE


def cell_verdict(good: int, bad: int, allowed: float) -> Verdict:
    """Of one minute of one cell: too few attempts for the objective itself, so ok means "all answered well"."""
    valid = good + bad
    if not valid:
        return Verdict.UNOBSERVED
    if bad:
        return Verdict.BREACH if tail(bad, valid, allowed) <= VERDICT_ALPHA else Verdict.NOT_ENOUGH_EVIDENCE
    return Verdict.OK if valid >= CELL_ATTEMPTS_AT_LEAST else Verdict.NOT_ENOUGH_EVIDENCE


@lru_cache(maxsize=4096)
def jeffreys(failures: int, attempts: int, level: float = 0.95) -> tuple[float, float]:
    """The Jeffreys interval of a failure ratio: quantiles of Beta(f + ½, n − f + ½); (nan, nan) without attempts."""
    from scipy.special import betaincinv  # noqa: PLC0415 (half a second of import that a daemon's start need not pay)

    if not attempts:
        return nan, nan
    a, b, edge = failures + 0.5, attempts - failures + 0.5, (1 - level) / 2
    low = 0.0 if failures == 0 else float(betaincinv(a, b, edge))
    high = 1.0 if failures == attempts else float(betaincinv(a, b, 1 - edge))
    return low, high
