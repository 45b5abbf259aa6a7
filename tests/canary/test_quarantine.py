"""What has just failed is asked more often, within a budget, until it has been well for a while."""

from hypothesis import given
from hypothesis import strategies as st

from canary.plan import Cell, Key
from canary.quarantine import CALM_SECONDS, GAP_SECONDS, MAX_PLACES, Place, Quarantine
from collector.observation import Connection, OperationClass

CELL = Cell(0, "standard", OperationClass.STRONG_READ, Connection.POOLED)


def place(number: int) -> Place:
    return Place(CELL, Key(f"canary-{number}", f"p{number}"))


def test_nothing_is_asked_while_all_is_well() -> None:
    """Good answers bring nobody in."""
    pool = Quarantine(1.0)
    pool.answered(place(1), bad=False, at=0.0)
    assert len(pool) == 0
    assert pool.due(100.0) == ()


def test_a_failed_place_is_asked_again_after_a_gap_and_once_at_a_time() -> None:
    """Not at once, not twice while the answer is out, again a gap after the answer."""
    pool = Quarantine(10.0)
    pool.answered(place(1), bad=True, at=0.0)
    assert pool.due(GAP_SECONDS * 0.9) == ()
    assert pool.due(GAP_SECONDS) == (place(1),)
    assert pool.due(GAP_SECONDS * 3) == ()
    pool.answered(place(1), bad=True, at=GAP_SECONDS * 3)
    assert pool.due(GAP_SECONDS * 4) == (place(1),)
    pool.gave_up(place(1))
    assert pool.due(GAP_SECONDS * 5) == (place(1),)


def test_a_place_leaves_when_it_has_been_well_for_a_while() -> None:
    """Three good answers are not enough within ten seconds of the last failure; a failure starts it all anew."""
    pool = Quarantine(10.0)
    pool.answered(place(1), bad=True, at=0.0)
    for at in (1.0, 2.0, 3.0, 4.0):
        pool.answered(place(1), bad=False, at=at)
    assert len(pool) == 1
    pool.answered(place(1), bad=True, at=9.0)
    pool.answered(place(1), bad=False, at=CALM_SECONDS + 8.0)
    pool.answered(place(1), bad=False, at=CALM_SECONDS + 8.5)
    assert len(pool) == 1
    pool.answered(place(1), bad=False, at=CALM_SECONDS + 9.0)
    assert len(pool) == 0


def test_keys_that_are_no_more_are_forgotten() -> None:
    """After a new plan only its keys are asked."""
    pool = Quarantine(10.0)
    for number in (1, 2):
        pool.answered(place(number), bad=True, at=0.0)
    pool.keep(frozenset({place(2).key}))
    assert pool.due(1.0) == (place(2),)


@given(
    places=st.integers(1, 400),
    rate=st.floats(0.1, 20.0),
    waits=st.lists(st.floats(0.05, 3.0), min_size=1, max_size=60),
)
def test_the_budget_holds_however_much_fails(places: int, rate: float, waits: list[float]) -> None:
    """Never more than the rate times the time and one bucket, and the pool is bounded."""
    pool, now, asked = Quarantine(rate), 1.0, 0
    for number in range(places):
        pool.answered(place(number), bad=True, at=0.0)
    assert len(pool) == min(places, MAX_PLACES)
    for wait in waits:
        for one in pool.due(now):
            asked += 1
            pool.answered(one, bad=True, at=now)
        now += wait
    assert asked <= max(1.0, rate) + rate * (now - 1.0) + 1e-6


@given(places=st.integers(2, 20), rounds=st.integers(1, 10))
def test_all_failed_places_are_asked_evenly(places: int, rounds: int) -> None:
    """The one that waited longest comes first: no place is asked twice more often than another."""
    pool, now = Quarantine(1.0), 1.0
    counts = dict.fromkeys(range(places), 0)
    for number in counts:
        pool.answered(place(number), bad=True, at=0.0)
    for _ in range(places * rounds):
        for one in pool.due(now):
            counts[int(one.key.pk.rsplit("-", 1)[1])] += 1
            pool.answered(one, bad=True, at=now)
        now += 1.0
    assert max(counts.values()) - min(counts.values()) <= 1


def test_without_a_budget_nothing_is_kept() -> None:
    """0 switches it off."""
    pool = Quarantine(0.0)
    pool.answered(place(1), bad=True, at=0.0)
    assert len(pool) == 0
