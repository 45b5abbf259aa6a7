"""Leases: one holder at a time, higher epochs, and nothing granted while an old one may still be held."""

from hypothesis import given
from hypothesis import strategies as st

from collector.lease import SECONDS_MOST, Leases


def asked(leases: Leases, holder: str, at: float, *, epoch: int = 0, seconds: float = 5.0) -> tuple[bool, int]:
    grant = leases.ask("j", holder, seconds=seconds, epoch=epoch, at=at, wall=1000.0 + at)
    return grant.granted, grant.epoch


def test_a_lease_is_the_holders_until_it_ends() -> None:
    """Another is refused while it lasts, and gets a higher epoch after."""
    leases = Leases(-SECONDS_MOST)
    assert asked(leases, "a", 0.0) == (True, 1_000_000)
    assert asked(leases, "b", 4.0) == (False, 1_000_000)
    assert asked(leases, "a", 4.0) == (True, 1_000_000)
    assert asked(leases, "b", 8.9)[0] is False
    granted, epoch = asked(leases, "b", 9.1)
    assert granted
    assert epoch > 1_000_000


def test_a_lease_given_back_is_free_at_once() -> None:
    """Its holder alone can give it back."""
    leases = Leases(-SECONDS_MOST)
    asked(leases, "a", 0.0)
    leases.release("j", "b", 1.0)
    assert asked(leases, "b", 1.0)[0] is False
    leases.release("j", "a", 1.0)
    assert asked(leases, "b", 1.0)[0] is True


def test_a_collector_that_has_just_started_waits_old_leases_out() -> None:
    """Only who says that it holds one goes on at once, with its epoch."""
    leases = Leases(0.0)
    assert asked(leases, "b", 1.0)[0] is False
    assert asked(leases, "a", 1.0, epoch=77) == (True, 77)
    assert asked(leases, "b", 1.5)[0] is False
    fresh = Leases(0.0)
    assert asked(fresh, "b", SECONDS_MOST + 0.1)[0] is True


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 8)), max_size=60))
def test_two_never_hold_it_at_once(steps: list[tuple[str, float]]) -> None:
    """Whoever asks when: grants of different holders never overlap, and epochs never go back."""
    leases, now, held, last = Leases(-SECONDS_MOST), 0.0, ("", 0.0), 0
    for holder, pause in steps:
        now += pause
        granted, epoch = asked(leases, holder, now)
        if granted:
            assert held[0] == holder or held[1] <= now
            assert epoch >= last
            held, last = (holder, now + 5.0), epoch
