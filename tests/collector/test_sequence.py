"""Ranges of sequence numbers behave like the set that they stand for."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from collector import sequence

numbers = st.lists(st.integers(1, 40), max_size=80)


@given(numbers)
def test_ranges_hold_exactly_what_was_added(arrivals: list[int]) -> None:
    """In any order and with repeats, the ranges contain what arrived and nothing else."""
    ranges: sequence.Ranges = ()
    for number in arrivals:
        ranges = sequence.add(ranges, number)
    assert {n for n in range(45) if sequence.contains(ranges, n)} == set(arrivals)


@given(numbers)
def test_ranges_are_sorted_and_never_touch(arrivals: list[int]) -> None:
    """Between two ranges there is always a hole, so that a sender without losses costs one pair."""
    ranges: sequence.Ranges = ()
    for number in arrivals:
        ranges = sequence.add(ranges, number)
    assert all(first <= last for first, last in ranges)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(ranges))
