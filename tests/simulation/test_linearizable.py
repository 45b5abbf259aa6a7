"""The checker of strong operations, against a naive twin that tries every order."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivenines.simulation.checkers.linearizable import explain
from fivenines.simulation.history import UNRETURNED, WRITES, Kind, Operation, Outcome

SLOTS = ("a", "b")


def operation(number, kind, called, returned, *, sk="a", value=None, expected=None, seen=None, outcome=Outcome.OK):
    """An operation of a history."""
    at = UNRETURNED if outcome is Outcome.UNKNOWN else returned
    return Operation(number, "c", kind, "k", sk, called, value, expected, at, outcome, seen or {})


def possible(operations):
    """Whether some order of these operations, each within its time, explains all answers: every subset, every order."""
    unknown = [o for o in operations if o.outcome is Outcome.UNKNOWN and o.kind in WRITES]
    known = [o for o in operations if o.outcome in (Outcome.OK, Outcome.CONDITION_FALSE)]
    for count in range(len(unknown) + 1):
        for made in itertools.combinations(unknown, count):
            if any(_explains(order) for order in itertools.permutations([*known, *made])):
                return True
    return False


def _explains(order):
    for i, earlier in enumerate(order):
        if any(later.returned_at < earlier.called_at for later in order[i + 1 :]):
            return False
    state = dict.fromkeys(SLOTS)
    for one in order:
        if any(state[sk] != value for sk, value in one.seen.items()):
            return False
        written = one.kind in WRITES and one.outcome is not Outcome.CONDITION_FALSE
        if written and one.kind is Kind.PUT_IF and state[one.sk] != one.expected:
            return False
        if written:
            state[one.sk] = one.value
    return True


@st.composite
def histories(draw):
    """Short histories of overlapping operations, some of them impossible."""
    found = []
    values = [None, *(f"v{number}" for number in range(6))]
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from([Kind.PUT, Kind.PUT_IF, Kind.DELETE, Kind.READ, Kind.RANGE]))
        called = draw(st.integers(0, 8))
        sk = draw(st.sampled_from(SLOTS))
        outcome = draw(st.sampled_from([Outcome.OK, Outcome.OK, Outcome.UNKNOWN])) if kind in WRITES else Outcome.OK
        seen = {}
        if outcome is Outcome.OK:
            shown = SLOTS if kind is Kind.RANGE else (sk,)
            seen = {slot: draw(st.sampled_from(values)) for slot in shown}
        found.append(
            operation(
                number,
                kind,
                called,
                called + draw(st.integers(0, 4)),
                sk=sk,
                value=f"v{number}" if kind in (Kind.PUT, Kind.PUT_IF) else None,
                expected=draw(st.sampled_from(values)) if kind is Kind.PUT_IF else None,
                seen=seen,
                outcome=outcome,
            )
        )
    return found


@pytest.mark.proof
@settings(max_examples=400, deadline=None)
@given(histories())
def test_the_checker_says_what_trying_every_order_says(history):
    """Whatever the history, the quick search and the naive one agree."""
    assert (explain(history, SLOTS) is None) == possible(history)


@pytest.mark.parametrize("lost", [False, True])
def test_an_acknowledged_write_must_be_read(lost):
    """A read after an acknowledged write shows it; one that does not is explained by its history."""
    history = [
        operation(0, Kind.PUT, 0, 1, value="v0", seen={"a": None}),
        operation(1, Kind.READ, 2, 3, seen={"a": None if lost else "v0"}),
    ]
    problem = explain(history, SLOTS)
    assert (problem is not None) == lost
    if problem:
        assert "a=v0" in problem
        assert "read k" in problem


def test_a_write_of_unknown_outcome_may_come_late_but_not_go_again():
    """It may be seen by the second read and not by the first; never by the first and not by the second."""
    write = operation(0, Kind.PUT, 0, 1, value="v0", outcome=Outcome.UNKNOWN)

    def seen(first, second):
        return [
            write,
            operation(1, Kind.READ, 2, 3, seen={"a": first}),
            operation(2, Kind.READ, 4, 5, seen={"a": second}),
        ]

    assert explain(seen(None, "v0"), SLOTS) is None
    assert explain(seen("v0", None), SLOTS) is not None


def test_a_refused_write_must_not_be_seen():
    """A value whose write was certainly not made cannot be read."""
    history = [
        operation(0, Kind.PUT, 0, 1, value="v0", outcome=Outcome.FAILED),
        operation(1, Kind.READ, 2, 3, seen={"a": "v0"}),
    ]
    assert explain(history, SLOTS) is not None


def test_a_range_is_one_instant():
    """Two items that were never there together are not shown together."""
    history = [
        operation(0, Kind.PUT, 0, 1, sk="a", value="v0", seen={"a": None}),
        operation(1, Kind.DELETE, 2, 3, sk="a", seen={"a": "v0"}),
        operation(2, Kind.PUT, 4, 5, sk="b", value="v2", seen={"b": None}),
        operation(3, Kind.RANGE, 0, 9, seen={"a": "v0", "b": "v2"}),
    ]
    assert explain(history, SLOTS) is not None


def test_long_histories_are_quick():
    """Hundreds of overlapping operations of four clients are judged in milliseconds."""
    history, state = [], None
    for number in range(600):
        at = number * 1.0
        if number % 3:
            history.append(operation(number, Kind.READ, at - 2.5, at + 2.5, seen={"a": state}))
        else:
            history.append(operation(number, Kind.PUT, at - 2.5, at + 2.5, value=f"v{number}", seen={"a": state}))
            state = f"v{number}"
    assert explain(history, SLOTS) is None
