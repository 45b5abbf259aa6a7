"""Rolling windows equal a naive recount, whatever the order of arrival."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa.policy import WINDOWS
from cfa.windows import RESOLUTIONS, Windows

START = 1_764_000_000


def counts(good: int, bad: int = 0, nodes: int = 1) -> np.ndarray:
    """Counts of the first node, reads."""
    value = np.zeros((nodes, 2, 3), np.int64)
    value[0, 0, :2] = good, bad
    return value


def naive(added: list[tuple[float, int]], now: float, window: int) -> int:
    """Recount: what lies within the buckets of a window that ends with the present one."""
    width = next(r.seconds for r in RESOLUTIONS if window in r.windows)
    last = now // width
    return sum(n for at, n in added if last - WINDOWS[window][1] // width < min(at // width, last) <= last)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 20_000), st.floats(0, 9_000), st.integers(1, 9)), min_size=1, max_size=40))
def test_windows_equal_a_recount(steps: list[tuple[float, float, int]]) -> None:
    """Every window holds what a recount of all additions gives, late ones too."""
    windows, now, added = Windows(), float(START), []
    for forward, late, n in steps:
        now += forward
        windows.advance(now)
        windows.add(now - late, counts(n))
        added.append((now - late, n))
    for window in range(len(WINDOWS)):
        assert windows.sums[window, 0, 0, 0] == naive(added, now, window)


def test_what_is_taken_back_leaves_no_trace() -> None:
    """Counts added and taken back leave every window as it was, now and later."""
    windows = Windows()
    windows.advance(START)
    windows.add(START, counts(5, 2))
    windows.add(START, -counts(5, 2))
    assert not windows.sums.any()
    windows.advance(START + 40 * 86_400)
    assert not windows.sums.any()


def test_room_for_new_nodes() -> None:
    """Nodes that appear later find room, and the old ones keep their counts."""
    windows = Windows()
    windows.advance(START)
    windows.add(START, counts(5))
    windows.reserve(1_000)
    windows.add(START, counts(2, nodes=1_000))
    assert windows.sums[0, 0, 0, 0] == 7


def test_a_month_of_silence_empties_everything() -> None:
    """After 30 days without data nothing is left."""
    windows = Windows()
    windows.advance(START)
    windows.add(START, counts(5))
    windows.advance(START + 31 * 86_400)
    assert not windows.sums.any()


def test_state_round_trip() -> None:
    """A snapshot's windows go on as the original."""
    windows, copy = Windows(), Windows()
    windows.advance(START)
    windows.add(START, counts(5, 1))
    copy.load(windows.state())
    for each in (windows, copy):
        each.advance(START + 1_000)
    assert (windows.sums == copy.sums).all()
