"""Ratios, verdicts and intervals: unknown is a value."""

from math import isnan

import pytest

from cfa.objective import (
    Objective,
    Verdict,
    availability,
    budget_remaining,
    burn_rate,
    cell_verdict,
    jeffreys,
    tail,
    verdict,
)


def test_no_data_is_neither_nothing_nor_all() -> None:
    """Without data there is no availability, no burn rate, no budget, and the verdict says so."""
    assert availability(0, 0) is burn_rate(0, 0, 1e-4) is budget_remaining(0, 0, 1e-4) is None
    assert verdict(0, 0, 1e-4) is cell_verdict(0, 0, 1e-4) is Verdict.UNOBSERVED
    assert all(isnan(x) for x in jeffreys(0, 0))


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        (100, 0, Verdict.NOT_ENOUGH_EVIDENCE),
        (9_000, 0, Verdict.OK),
        (9_999, 1, Verdict.OK),
        (4_999, 1, Verdict.NOT_ENOUGH_EVIDENCE),
        (9_990, 10, Verdict.BREACH),
    ],
)
def test_verdict_of_a_window(good: int, bad: int, expected: Verdict) -> None:
    """A window is ok only on enough attempts, and in breach only when chance would hardly do it."""
    assert verdict(good, bad, 1e-4) is expected


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        (3, 0, Verdict.NOT_ENOUGH_EVIDENCE),
        (30, 0, Verdict.OK),
        (29, 1, Verdict.NOT_ENOUGH_EVIDENCE),
        (28, 2, Verdict.BREACH),
    ],
)
def test_verdict_of_a_cell(good: int, bad: int, expected: Verdict) -> None:
    """A minute of one cell is in breach with the second failure, in doubt with the first."""
    assert cell_verdict(good, bad, 1e-4) is expected


@pytest.mark.parametrize(
    ("failures", "attempts", "low", "high"),
    [(0, 300, 0, 8.3e-3), (3, 300, 2.82e-3, 2.64e-2), (26, 2_592_000, 6.7e-6, 1.45e-5)],
)
def test_jeffreys(failures: int, attempts: int, low: float, high: float) -> None:
    """The Jeffreys interval has the known figures."""
    assert jeffreys(failures, attempts) == pytest.approx((low, high), rel=0.02)


def test_tail_is_an_upper_bound() -> None:
    """The binomial tail is never understated, and close."""
    from scipy.stats import binom

    for f, n, p in [(1, 60, 1e-4), (2, 60, 1e-4), (10, 10_000, 1e-4), (3, 300, 1e-5)]:
        exact = float(binom.sf(f - 1, n, p))
        assert exact <= tail(f, n, p) * (1 + 1e-9) <= exact * 1.2


def test_a_table_may_have_its_own_objective() -> None:
    """A table's objective replaces the default for that table only."""
    objective = Objective(0.9999, {"orders": 0.99999})
    assert objective.allowed("orders") == pytest.approx(1e-5)
    assert objective.allowed("canary") == objective.allowed() == pytest.approx(1e-4)


def test_burn_and_budget() -> None:
    """Two failures of 10,000 at 99.99 % burn the budget twice as fast as allowed, and overspend it by one."""
    assert burn_rate(9_998, 2, 1e-4) == pytest.approx(2)
    assert budget_remaining(9_998, 2, 1e-4) == pytest.approx(-1)
