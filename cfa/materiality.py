"""How much it matters, and the two gates of a page: evidence *and* materiality (pure)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfa.incident import SEVERITY_ORDER, Severity
from cfa.objective import jeffreys
from cfa.policy import (
    BUDGET_PERIOD_SECONDS,
    CALM,
    KINDS,
    RUN_BREAKS_AFTER,
    SETTLED_SECONDS,
    SHARE_ENOUGH_ATTEMPTS,
    WRONG_ANSWERS_PAGE,
    Gates,
)

ANSWERED_SECONDS = 3.5
"""An attempt's deadline, a batch and some: seconds older than this will hardly bring another failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Failures without a recovery between them. ``failures`` of ``attempts`` are of its settled seconds only."""

    first_at: float
    last_at: float
    failures: int
    attempts: int
    ended: bool

    @property
    def span(self) -> float:
        """Seconds from the first to the last failure."""
        return self.last_at - self.first_at

    def fails_at_least(self, share: float) -> bool:
        """At least this share of the attempts fails: the share itself with enough attempts, else its lower bound."""
        if not self.attempts:
            return False
        if self.attempts >= SHARE_ENOUGH_ATTEMPTS:
            return self.failures / self.attempts >= share
        return jeffreys(self.failures, self.attempts)[0] >= share


def failing_run(at: NDArray[np.float64], good: NDArray[np.int32], bad: NDArray[np.int32], now: float) -> Run | None:
    """The latest run of failures among attempts asked at ``at``; None without a failure."""
    failing = bad > 0
    if not failing.any():
        return None
    base = int(at.min())
    second = at.astype(np.int64) - base
    bads = np.bincount(second, bad).astype(int).tolist()
    goods = np.bincount(second, good).astype(int).tolist()
    last = max(i for i, count in enumerate(bads) if count)
    first = _first_second(goods, bads, last)
    in_run = at[failing & (second >= first)]
    until = min(last, int(now - SETTLED_SECONDS) - base)
    # The first second may also hold successes from before the failure: then it counts only while there is no other.
    start = first + 1 if until > first and goods[first] else first
    until = _full_until(goods, bads, until, last) if until >= start else until
    answered = goods[last + 1 : max(last + 1, int(now - ANSWERED_SECONDS) - base)]
    failures = sum(bads[start : until + 1])
    return Run(
        first_at=float(in_run.min()),
        last_at=float(in_run.max()),
        failures=failures,
        attempts=failures + sum(goods[start : until + 1]),
        ended=sum(answered) >= RUN_BREAKS_AFTER,
    )


def _full_until(goods: list[int], bads: list[int], until: int, last: int) -> int:
    """Later seconds that already have as many failures as the last settled one had attempts need not be waited for."""
    full = goods[until] + bads[until]
    while full and until < last and bads[until + 1] >= full:
        until += 1
    return until


def _first_second(goods: list[int], bads: list[int], last: int) -> int:
    first, quiet = last, 0
    for i in range(last - 1, -1, -1):
        if bads[i]:
            first, quiet = i, 0
        else:
            quiet += goods[i]
        if quiet >= RUN_BREAKS_AFTER:
            break
    return first


def budget_burned(failures: int, attempts: int, allowed: float, region_rate: float) -> float:
    """The part of the region's 30-day budget that these failures cost, at the present rate of attempts a second."""
    budget = allowed * max(region_rate, 1e-9) * BUDGET_PERIOD_SECONDS
    return max(0.0, failures - allowed * attempts) / budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an explanation deserves, and why; ``severity`` None is nothing at all."""

    severity: Severity | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """All that the gates look at; ``foreseen`` is :func:`cfa.foresight.budget_foreseen`; ``gates`` are those of the second one."""

    kind: str
    gates: Gates = CALM
    log_evidence: float
    log_threshold: float
    run: Run | None
    span: float
    burned: float
    foreseen: float = 0.0
    burn_rule: Severity | None = None
    wrong: int = 0
    wrong_hosts: int = 0


def decide(weight: Weight) -> Decision:
    """What the gates say, or the burn-rate rules where they are wanted and ask for more."""
    found = _by_evidence(weight)
    rule = weight.burn_rule if KINDS[weight.kind].pages else None
    order = SEVERITY_ORDER.index
    if rule is not None and (found.severity is None or order(rule) > order(found.severity)):
        return Decision(severity=rule, reason="burn_rate")
    return found


def _by_evidence(weight: Weight) -> Decision:
    """Both gates → page; evidence alone → ticket; materiality alone → watch. Wrong answers go by count alone."""
    kind = KINDS[weight.kind]
    if weight.wrong >= WRONG_ANSWERS_PAGE or weight.wrong_hosts > 1:
        return Decision(severity="page" if kind.pages else "ticket", reason="wrong_answers")
    run = weight.run
    gates, sustained = weight.gates, weight.gates.sustained(kind)
    half = run is not None and not run.ended and run.fails_at_least(gates.share) and run.span >= sustained
    burned = weight.burned >= gates.budget_share and weight.span >= sustained
    if weight.log_evidence < weight.log_threshold:
        material = kind.pages and (half or burned)
        return Decision(severity="watch" if material else None, reason="not_enough_evidence")
    if kind.pages and half:
        return Decision(severity="page", reason="evidence_and_sustained_failure")
    if kind.pages and burned:
        return Decision(severity="page", reason="evidence_and_budget_burned")
    if kind.pages and weight.foreseen >= gates.budget_share:
        return Decision(severity="page", reason="evidence_and_budget_at_risk")
    return Decision(severity="ticket", reason="evidence_without_materiality" if kind.pages else "witnesses_in_trouble")
