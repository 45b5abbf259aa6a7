"""How long after a fault its end is told, with which evidence: the clearing rule against attempts in virtual time."""

import random
from statistics import median

import pytest

from cfa.alarm import clear_reason, share_at_most, successes_needed

RUNS = 400
BATCH_SECONDS = 1.0
"""Successes are told in batches of a second."""


def seconds_to_resolve(share: float, rate: int, dice: random.Random) -> float:
    """From the end of a fault that has lasted ten minutes to "recovered", at ``rate`` attempts a second in its scope."""
    since_last = next(k for k in range(1, 10**6) if dice.random() < share) / rate  # the last failure, before the end
    successes, after = round(since_last * rate), 0.0
    while True:
        reason = clear_reason(
            quiet=since_last + after - BATCH_SECONDS,
            successes=round(successes + max(0.0, after - BATCH_SECONDS) * rate),
            share=share,
            returns=0,
            attempts_lately=rate,
            region_well=True,
        )
        if reason is not None:
            return after
        after += 0.5


@pytest.mark.parametrize(
    ("share", "rate", "most"),
    [
        (1.0, 3, 20.0),  # one cell, asked once a second by three zones
        (0.1, 3, 50.0),
        (0.1, 18, 12.0),  # an endpoint: eighteen cells
        (0.01, 18, 30.0),
        (0.01, 8, 60.0),
    ],
)
def test_the_end_is_told_within_a_minute(share: float, rate: int, most: float) -> None:
    """A fault of 100 % or 10 % in one cell, of 1 % in a scope that is asked eight times a second: all within 60 s."""
    dice = random.Random(1)
    times = [seconds_to_resolve(share, rate, dice) for _ in range(RUNS)]
    assert max(times) <= most <= 60.0


def test_one_percent_in_a_single_cell_takes_longer_than_a_minute_and_why() -> None:
    """At three attempts a second a minute holds 180 successes: a fault of 1 % that goes on shows none of itself in one of six such minutes."""
    dice = random.Random(1)
    times = [seconds_to_resolve(0.01, 3, dice) for _ in range(RUNS)]
    assert 60 < median(times) <= 155
    assert 0.99**180 > 0.15
    assert successes_needed(0.01) / 60 == pytest.approx(7.7, abs=0.1)


@pytest.mark.parametrize("share", [1.0, 0.1, 0.03, 0.01])
def test_what_goes_on_is_rarely_called_over(share: float) -> None:
    """So many successes in a row happen to a fault that goes on in at most one of a hundred gaps; the upper bound says it as well."""
    needed = successes_needed(share)
    assert (1 - min(share, 0.999)) ** needed <= 0.01
    assert share_at_most(round(needed)) <= share
