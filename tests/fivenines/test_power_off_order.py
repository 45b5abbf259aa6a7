"""The search for an order of a key's operations: it agrees with trying every order, and is quick on the histories of a drill."""

import itertools
import random
import time

from fivenines.durability import SLOT
from fivenines.simulation.checkers.linearizable import explain
from fivenines.simulation.history import UNRETURNED, WRITES, History, Kind, Operation, Outcome

KINDS = (Kind.PUT, Kind.PUT, Kind.PUT_IF, Kind.DELETE, Kind.DELETE, Kind.READ, Kind.READ)


def made(operation: Operation, state: str | None) -> tuple[bool, str | None]:
    """Whether the operation can take effect in ``state`` with the answer that it had, and the state after it."""
    if operation.seen and operation.seen[SLOT] != state:
        return False, state
    if operation.kind is Kind.READ or operation.outcome is Outcome.CONDITION_FALSE:
        return True, state
    if operation.kind is Kind.PUT_IF and operation.expected != state:
        return False, state
    return True, operation.value


def every_order(history: list[Operation]) -> bool:
    """Whether any order of any choice of the unknown operations explains the history."""
    known = [o for o in history if o.outcome is not Outcome.UNKNOWN]
    unknown = [o for o in history if o.outcome is Outcome.UNKNOWN and o.kind in WRITES]
    choices = itertools.chain.from_iterable(itertools.combinations(unknown, n) for n in range(len(unknown) + 1))
    return any(follows(order) for some in choices for order in itertools.permutations([*known, *some]))


def follows(order: tuple[Operation, ...]) -> bool:
    """Whether the order respects time and every answer."""
    state = None
    for index, each in enumerate(order):
        fits, state = made(each, state)
        if not fits or any(later.returned_at < each.called_at for later in order[index + 1 :]):
            return False
    return True


def some_history(chance: random.Random) -> list[Operation]:
    """Five operations that overlap, with answers that may or may not be right."""
    history = History()
    for number in range(5):
        called = chance.randrange(7)
        operation = history.call("c", chance.choice(KINDS), pk="k", sk=SLOT, at=called)
        if operation.kind in (Kind.PUT, Kind.PUT_IF):
            operation.value = f"v{number}"
        operation.expected = chance.choice([None, "v0", "v1"]) if operation.kind is Kind.PUT_IF else None
        operation.outcome = chance.choice([Outcome.OK, Outcome.OK, Outcome.UNKNOWN])
        if operation.outcome is Outcome.OK:
            operation.returned_at = called + 1 + chance.randrange(4)
            operation.seen = {
                SLOT: operation.expected
                if operation.kind is Kind.PUT_IF
                else chance.choice([None, None, "v0", "v1", "v2"])
            }
    return sorted(history.operations, key=lambda o: o.called_at)


def test_the_search_agrees_with_trying_every_order() -> None:
    """On small histories of all sorts the verdict is that of brute force, and both verdicts occur often."""
    chance = random.Random(7)
    fine = 0
    for _ in range(1200):
        history = some_history(chance)
        expected = every_order(history)
        fine += expected
        assert (explain(history, (SLOT,)) is None) is expected, [str(o) for o in history]
    assert 100 < fine < 1100


def lived(chance: random.Random, count: int) -> list[Operation]:
    """A key's life in a store that is right: operations overlap, and every tenth is of unknown outcome."""
    history, state = History(), None
    for number in range(count):
        at = float(number)
        operation = history.call("c", chance.choice(KINDS), pk="k", sk=SLOT, at=at - chance.random() * 3)
        if operation.kind in (Kind.PUT, Kind.PUT_IF):
            operation.value = f"v{number}"
        operation.expected = chance.choice([state, "other"]) if operation.kind is Kind.PUT_IF else None
        holds = operation.kind is not Kind.PUT_IF or operation.expected == state
        writes = operation.kind in WRITES and holds
        if chance.random() < 0.1:
            operation.outcome = Outcome.UNKNOWN
            state = operation.value if writes and chance.random() < 0.5 else state
            continue
        operation.returned_at = at + chance.random() * 3
        operation.outcome, operation.seen = Outcome.OK if holds else Outcome.CONDITION_FALSE, {SLOT: state}
        state = operation.value if writes else state
    return sorted(history.operations, key=lambda o: o.called_at)


def test_a_long_life_is_judged_quickly_whether_it_is_right_or_wrong() -> None:
    """1,000 operations with a hundred of unknown outcome take moments, also when a write is lost after them all."""
    started = time.process_time()
    for seed in range(5):
        history = lived(random.Random(seed), 1000)
        assert explain(history, (SLOT,)) is None
        stale = Operation(
            1000, "c", Kind.READ, "k", SLOT, 1010.0, returned_at=1011.0, outcome=Outcome.OK, seen={SLOT: "v1"}
        )
        assert stale.returned_at < UNRETURNED
        assert explain([*history, stale], (SLOT,)) is not None
    assert time.process_time() - started < 30.0
