"""A small share of ``make bench NAME=false-pages``: series at exactly their objective page nobody."""

import numpy as np
import pytest

from benchmarks.false_pages import AGAIN, Fleet, upper_bound
from benchmarks.probe_streams import Chain
from cfa.policy import SECONDS_PER_YEAR


@pytest.mark.parametrize("again", [1e-4, AGAIN])
def test_the_share_of_failures_is_kept(again: float) -> None:
    """Bursts change how failures come, not how many."""
    rng, chain = np.random.default_rng(1), Chain(share=1e-4, again=again)
    gaps = chain.gaps(rng, (200_000,))
    assert len(gaps) / (gaps.sum() + len(gaps)) == pytest.approx(1e-4, rel=0.02)


def test_the_bound_is_exact() -> None:
    """No event in three years: with 95 % confidence fewer than one a year."""
    assert upper_bound(0) / 3 == pytest.approx(0.9986, abs=1e-4)
    assert upper_bound(1) == pytest.approx(4.744, abs=1e-3)


@pytest.mark.proof
@pytest.mark.parametrize("again", [1e-4, AGAIN])
def test_a_tenth_of_a_year_pages_nobody(again: float) -> None:
    """10,000 series for five weeks, independent and in bursts: no ticket, and fewer crossings of lower thresholds than promised."""
    fleet = Fleet(1e-4, Chain(share=1e-4, again=again), np.random.default_rng(4))
    fleet.run(SECONDS_PER_YEAR / 10)
    assert fleet.failures == pytest.approx(3.16e6, rel=0.01)
    assert (fleet.tickets, fleet.pages) == (0, 0)
    assert fleet.crossings[-1] <= 100
