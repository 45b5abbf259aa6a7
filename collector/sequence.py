"""Which sequence numbers of one sender have been seen, exactly and in little room (pure).

A sender numbers its batches 1, 2, 3, … without holes; they may arrive doubled or out of order. Sorted, disjoint,
non-adjacent ranges hold what was seen: one pair of numbers for a sender that loses nothing, one more for each hole.
"""

from bisect import bisect_right

Ranges = tuple[tuple[int, int], ...]
"""Inclusive ``(first, last)`` pairs."""

RANGES_MAX = 1000
"""More holes than this in one life of one sender is not loss but nonsense."""


def contains(ranges: Ranges, number: int) -> bool:
    """Whether ``number`` was seen."""
    i = bisect_right(ranges, (number, number)) - 1
    return any(first <= number <= last for first, last in ranges[max(i, 0) : i + 2])


def add(ranges: Ranges, number: int) -> Ranges:
    """``ranges`` with ``number`` seen as well."""
    if contains(ranges, number):
        return ranges
    if ranges and ranges[-1][1] + 1 == number:  # the common case: the next one
        return (*ranges[:-1], (ranges[-1][0], number))
    first = last = number
    kept = []
    for low, high in ranges:
        if high == number - 1:
            first = low
        elif low == number + 1:
            last = high
        else:
            kept.append((low, high))
    return tuple(sorted([*kept, (first, last)]))
