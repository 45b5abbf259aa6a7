"""Sets of rows are what Python's sets are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cfa.tables.rowsets import distinct, minus, sides, union, within

SETS = st.sets(st.integers(0, 40), max_size=20)


def rows(values: set[int]) -> np.ndarray:
    """Ascending."""
    return np.array(sorted(values), np.int64)


@given(SETS, SETS, SETS)
def test_set_algebra(a: set[int], b: set[int], c: set[int]) -> None:
    """Union, difference, membership, halves and sides."""
    assert union(rows(a), rows(b), rows(c)).tolist() == sorted(a | b | c)
    assert minus(rows(a), rows(b)).tolist() == sorted(a - b)
    assert within(rows(a), rows(b)).tolist() == [one in b for one in sorted(a)]
    assert distinct(rows(a) // 2).tolist() == sorted({one // 2 for one in a})
    assert sides(rows(a)) == sorted({one % 2 for one in a})
