"""A partial failure pages when it will have burned 2 % of the month's budget before anyone can act."""

import numpy as np
import pytest

from cfa.foresight import FORGIVEN_SECONDS, Course, budget_foreseen, worst_stretch
from cfa.policy import BUDGET_SHARE_PAGES


def steady(share: float, seconds: float, *, per_second: float = 3.0, tail: int = 0, part: float = 1.0) -> Course:
    """A failure of a constant share."""
    attempts = per_second * seconds
    return Course(
        failures=round(share * attempts),
        attempts=round(attempts),
        tail=tail,
        worst=round(share * per_second * FORGIVEN_SECONDS),
        seconds=seconds,
        part=part,
    )


@pytest.mark.parametrize(
    ("share", "allowed", "pages_at"),
    [(0.1, 1e-4, 20), (0.01, 1e-4, 230), (0.001, 1e-4, 5_000), (0.01, 1e-5, 30), (1.44e-3, 1e-4, 3_400)],
)
def test_when_a_steady_failure_pages(share: float, allowed: float, pages_at: float) -> None:
    """1 % at four nines pages after four minutes, 14.4 times the allowed after almost the hour of the SRE workbook."""
    before, after = (budget_foreseen(steady(share, pages_at * x, per_second=1e3), allowed) for x in (0.5, 1.1))
    assert after >= BUDGET_SHARE_PAGES
    assert before < BUDGET_SHARE_PAGES or pages_at <= 30


def test_a_fail_over_is_no_trend() -> None:
    """A burst of five seconds, with a stray failure a minute before it, foresees nothing."""
    at = np.array([0.0, *np.arange(50, 55, 0.1)])
    worst = worst_stretch(at, np.ones(len(at), np.int32))
    assert worst == 50
    assert budget_foreseen(Course(failures=50, attempts=500, tail=3, worst=50, seconds=9.0), 1e-4) == 0
    assert budget_foreseen(Course(failures=51, attempts=5_000, tail=3, worst=50, seconds=55.0), 1e-4) < 0.001


def test_what_may_be_over_does_not_page() -> None:
    """So many successes since the last failure that a tenth failing would hardly ever bring them: not a page."""
    assert budget_foreseen(steady(0.1, 60, tail=20), 1e-4) > BUDGET_SHARE_PAGES
    assert budget_foreseen(steady(0.1, 60, tail=40), 1e-4) == 0


def test_a_component_is_judged_by_what_the_region_loses() -> None:
    """The same share of a sixth of the region costs a sixth of its budget."""
    whole, sixth = (budget_foreseen(steady(0.1, 60, part=part), 1e-4) for part in (1.0, 1 / 6))
    assert sixth == pytest.approx(whole / 6)


def test_no_failure_is_no_stretch() -> None:
    """Nothing failed."""
    assert worst_stretch(np.arange(3.0), np.zeros(3, np.int32)) == 0
