"""Windows of many rows are exactly what a plain list of all events adds up to, at their documented edge."""

import itertools
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa.policy import WINDOWS
from cfa.tables.columns import merged, pack
from cfa.tables.policy import SEGMENTS
from cfa.tables.rings import KINDS, Rings

ROWS = 5
BEGIN = 1_795_000_000

EVENT = st.tuples(
    st.integers(0, ROWS - 1), st.integers(0, KINDS - 1), st.sampled_from([1, 2, 200, 70_000, 5_000_000_000])
)
MOVES = st.lists(
    st.tuples(
        st.sampled_from([10, 20, 60, 290, 310, 1_800, 3_610, 20_000, 90_000, 700_000]),
        st.sampled_from([0, 5, 70, 400, 2_000, 5_000, 40_000, 200_000]),
        st.lists(EVENT, max_size=4),
    ),
    min_size=1,
    max_size=30,
)


def test_the_windows_are_those_of_the_policy() -> None:
    """Each segment ends where one of the seven windows does, and its slots divide the next segment's."""
    assert tuple((segment.name, segment.seconds) for segment in SEGMENTS) == WINDOWS
    assert all(after.width % before.width == 0 for before, after in itertools.pairwise(SEGMENTS))
    assert all(segment.seconds % segment.width == 0 for segment in SEGMENTS)


def dense(events: list[tuple[int, int, int]]) -> tuple[np.ndarray | None, ...]:
    """Counts by kind of some (row, kind, count)."""
    kinds = [np.zeros(ROWS, np.int64) for _ in range(KINDS)]
    for row, kind, count in events:
        kinds[kind][row] += count
    return tuple(one if one.any() else None for one in kinds)


@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_windows_are_exact_to_their_edge(moves: list[tuple[int, int, list[tuple[int, int, int]]]]) -> None:
    """Whatever comes, however late, and however far time jumps: a window has all events since the beginning of the slot that its length falls into."""
    rings, now = Rings(), BEGIN
    events: list[tuple[int, int, int, int]] = []
    rings.advance(now)
    for step, late, found in moves:
        now += step
        rings.advance(now)
        at = (now - late) // 10 * 10
        rings.add(at, dense(found))
        events += [(at, *one) for one in found]
    for w, segment in enumerate(SEGMENTS):
        since = (now // segment.width - segment.seconds // segment.width) * segment.width
        expected = Counter[tuple[int, int]]()
        for at, row, kind, count in events:
            if at >= since:
                expected[row, kind] += count
        window = rings.window(w, np.arange(ROWS))
        assert [[int(window[kind][row]) for kind in range(KINDS)] for row in range(ROWS)] == [
            [expected[row, kind] for kind in range(KINDS)] for row in range(ROWS)
        ], segment.name


def test_many_parts_of_a_slot_become_one() -> None:
    """Late counts of one moment do not pile up: the number of parts stays small, the counts exact."""
    rings = Rings()
    rings.advance(BEGIN)
    for _ in range(100):
        rings.add(BEGIN - 400, dense([(1, 0, 3)]))
    assert sum(len(parts) for slots in rings.slots for parts in slots.values()) <= 13
    assert rings.window(1, np.arange(ROWS))[0].tolist() == [0, 300, 0, 0, 0]
    assert rings.window(0, np.arange(ROWS))[0].tolist() == [0] * ROWS


COUNTS = st.lists(st.sampled_from([0, 0, 0, 1, 7, 255, 256, 65_535, 65_536, 2**32, 2**40]), min_size=1, max_size=60)


@settings(deadline=None)
@given(COUNTS, COUNTS)
def test_packed_counts_are_the_counts(one: list[int], other: list[int]) -> None:
    """Packing loses nothing, whatever the sizes; sums of packed columns are the sums."""
    size = max(len(one), len(other))
    values, more = (np.array(x + [0] * (size - len(x)), np.int64) for x in (one, other))
    total = np.zeros(size, np.int64)
    columns = [pack(values), pack(more)]
    for column in columns:
        if column is not None:
            column.add_to(total)
    assert total.tolist() == (values + more).tolist()
    together = merged(columns, np.zeros(size + 3, np.int64))
    rows = np.arange(size)
    assert (np.zeros(size) if together is None else together.at(rows)).tolist() == (values + more).tolist()
    for column in columns:
        if column is not None:
            column.take_from(total)
    assert not total.any()


def test_quiet_rows_and_a_few_huge_ones_take_little_memory() -> None:
    """A hundred thousand rows with small counts and one of a billion take about a byte a row; failures of a few rows next to nothing."""
    values = np.random.default_rng(1).integers(0, 200, 100_000)
    values[7] = 10**9
    assert pack(values).nbytes < 101_000
    few = np.zeros(100_000, np.int64)
    few[::1000] = 3
    assert pack(few).nbytes < 2_000
