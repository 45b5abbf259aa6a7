"""The transition table and the hysteresis."""

import pytest

from cfa.alarm import TABLE, Signal, State, clear_reason, quiet_needed, share_at_most, successes_needed, transition


def test_every_pair_has_an_answer() -> None:
    """Every state takes every signal; what is not in the table changes nothing and tells nobody."""
    for state in State:
        for signal in Signal:
            found = transition(state, signal, paged=True)
            assert (state, signal) in TABLE or (found.state is state and not found.events)


def test_a_page_goes_out_once() -> None:
    """Whoever was paged is not paged again for the same alarm."""
    assert transition(State.OK, Signal.PAGE, paged=False).events == (("opened", None), ("paged", "trigger"))
    assert transition(State.ALARM, Signal.PAGE, paged=True).events == ()


def test_a_ticket_tells_nobody() -> None:
    """An alarm that never paged resolves in silence, and may still page."""
    assert transition(State.OK, Signal.TICKET, paged=False).events == (("opened", None),)
    assert transition(State.ALARM, Signal.CLEAR, paged=False).events == (("closed", None),)
    assert transition(State.ALARM, Signal.PAGE, paged=False).events == (("paged", "trigger"),)


def test_a_page_is_always_resolved() -> None:
    """Out of every state in which people wait, the end is told."""
    for state in (State.ALARM, State.INSUFFICIENT_DATA):
        found = transition(state, Signal.CLEAR, paged=True)
        assert found.state is State.OK
        assert found.events == (("closed", "resolve"),)


def test_blind_alarms_stay() -> None:
    """Without data an alarm neither closes nor pages."""
    assert transition(State.ALARM, Signal.BLIND, paged=True).state is State.INSUFFICIENT_DATA
    assert transition(State.INSUFFICIENT_DATA, Signal.PAGE, paged=False).events == ()


@pytest.mark.parametrize(("share", "needed"), [(1.0, 46), (0.1, 138), (0.02, 230), (0.01, 460), (0.0014, 3_289)])
def test_successes_needed(share: float, needed: int) -> None:
    """The rarer the failures were, the more successes must speak for the end."""
    assert successes_needed(share) == pytest.approx(needed, abs=1)


def test_an_end_called_too_early_asks_for_more_the_next_time() -> None:
    """Each return multiplies what may be by chance by a tenth."""
    assert successes_needed(0.1, returns=1) == pytest.approx(1.5 * successes_needed(0.1), rel=0.01)
    assert successes_needed(0.1, returns=2) == pytest.approx(2.0 * successes_needed(0.1), rel=0.01)


def test_successes_bound_the_share_that_may_still_fail() -> None:
    """The rule of three: three hundred successes and no failure leave at most one in a hundred; nothing asked leaves all."""
    assert share_at_most(299) == pytest.approx(0.01, rel=0.01)
    assert share_at_most(0) == 1.0


def test_what_a_broader_incident_takes_over_is_folded() -> None:
    """The narrower one ends as folded: whoever was paged for it is released, with the reason."""
    assert transition(State.ALARM, Signal.FOLD, paged=True).events == (("folded", "resolve"),)
    assert transition(State.ALARM, Signal.FOLD, paged=False).events == (("folded", None),)


def test_flapping_closes_less_and_less_easily() -> None:
    """Each return makes the alarm wait longer before it closes."""
    waits = [quiet_needed(n) for n in range(9)]
    assert waits == sorted(waits)
    assert waits[0] == 8
    assert waits[-1] >= 120


@pytest.mark.parametrize(
    ("quiet", "successes", "attempts", "well", "reason"),
    [
        (7.9, 1_000, 100, True, None),
        (8.0, 46, 10, True, None),
        (8.0, 47, 10, True, "recovered"),
        (29.0, 0, 0, True, None),
        (60.0, 0, 0, True, "attempts_vanished"),
        (60.0, 0, 0, False, None),
        (60.0, 3, 3, True, None),
        (170.0, 3, 3, True, "quiet"),
    ],
)
def test_clearing(quiet: float, successes: int, attempts: int, well: bool, reason: str | None) -> None:
    """An alarm closes on enough successes, or when nobody asks there any more and the region is well."""
    found = clear_reason(
        quiet=quiet, successes=successes, share=1.0, returns=0, attempts_lately=attempts, region_well=well
    )
    assert found == reason
