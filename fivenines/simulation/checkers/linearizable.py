"""Strong operations are linearizable: each took effect at one instant between its call and its return (pure).

The objects are partition keys: a map from sort key to value that puts, deletes and reads change and show (Herlihy & Wing,
"Linearizability", 1990). The search is Wing & Gong's with the memory of Lowe ("Testing for linearizability", 2017), and is
exact. What makes it quick:

* every written value is unique, so a write of unknown outcome whose value nobody has seen may be left out, and one whose
  value was seen was made before the first that saw it returned;
* a read that fits the present state may always be taken at once: no branch;
* a write's answer shows the item before it, which leaves one order for most writes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fivenines.simulation.history import UNRETURNED, WRITES, Kind, Operation, Outcome

State = tuple[str | None, ...]
"""The values of a partition key's slots."""


@dataclass(frozen=True, slots=True)
class Step:
    """An operation as the search sees it: it ``needs`` slots to hold values, and then puts ``value`` into ``slot`` (-1: a read).

    ``optional``: it may also never have happened.
    """

    called_at: float
    returned_at: float
    needs: tuple[tuple[int, str | None], ...]
    slot: int = -1
    value: str | None = None
    optional: bool = False
    of: Operation | None = None

    def fits(self, state: State) -> bool:
        """Whether it could take effect in ``state``."""
        return all(state[slot] == value for slot, value in self.needs)

    def after(self, state: State) -> State:
        """The state once it has taken effect."""
        if self.slot < 0:
            return state
        return (*state[: self.slot], self.value, *state[self.slot + 1 :])


def explain(operations: Iterable[Operation], slots: tuple[str, ...]) -> str | None:
    """Why these operations on one partition key cannot have happened one after the other; None when they can.

    ``slots``: its sort keys; all are absent at first.
    """
    steps = _settled([step for operation in operations if (step := _step(operation, slots)) is not None])
    stuck = _search(steps, tuple(None for _ in slots))
    if stuck is None:
        return None
    state, candidates = stuck
    shown = ", ".join(f"{slot}={value or 'nothing'}" for slot, value in zip(slots, state, strict=True))
    lines = "\n".join(f"  {steps[i].of}" for i in candidates)
    return f"not linearizable: in the longest order that fits, the items are {shown}, and none of these can come next:\n{lines}"


def _step(operation: Operation, slots: tuple[str, ...]) -> Step | None:
    """The operation for the search; None when it says nothing (failed, or a read without an answer)."""
    unknown = operation.outcome in (Outcome.UNKNOWN, Outcome.OPEN)
    if operation.outcome is Outcome.FAILED or operation.kind is Kind.EVENTUAL_READ:
        return None
    needs = tuple((slots.index(sk), value) for sk, value in sorted(operation.seen.items()))
    if operation.kind not in WRITES or operation.outcome is Outcome.CONDITION_FALSE:
        return None if unknown else Step(operation.called_at, operation.returned_at, needs, of=operation)
    slot = slots.index(operation.sk)
    if operation.kind is Kind.PUT_IF:
        # If its answer shows another item than the one that it was conditional on, nothing can ever fit.
        needs = (*needs, (slot, operation.expected))
    returned_at = UNRETURNED if unknown else operation.returned_at
    return Step(operation.called_at, returned_at, needs, slot, operation.value, unknown, operation)


def _settled(steps: list[Step]) -> list[Step]:
    """Decide writes of unknown outcome by whether their value was seen; in the order of calls."""
    seen_at: dict[str, float] = {}
    for step in steps:
        for _, value in step.needs:
            if value is not None and not step.optional:
                seen_at[value] = min(seen_at.get(value, UNRETURNED), step.returned_at)
    found = []
    # An optional write that is shown to have happened may itself show that another did.
    pending = [step for step in steps if step.optional and step.value is not None]
    while made := [step for step in pending if step.value in seen_at]:
        for step in made:
            pending.remove(step)
            until = seen_at[step.value or ""]
            found.append(replace(step, optional=False, returned_at=until))
            for _, value in step.needs:
                if value is not None:
                    seen_at[value] = min(seen_at.get(value, UNRETURNED), until)
    found += [step for step in steps if not step.optional or step.value is None]
    return sorted(found, key=lambda step: (step.called_at, step.returned_at))


def _search(steps: list[Step], state: State) -> tuple[State, list[int]] | None:
    """None when an order exists; else the state and the candidates where the longest attempt got stuck."""
    known: set[tuple[int, State]] = set()
    stack = [(0, 0, state)]
    best = (-1, state, list[int]())
    while stack:
        done, first, state = stack.pop()
        done, first, candidates = _take_reads(steps, done, first, state)
        if not any(not steps[i].optional for i in candidates):
            return None
        if (done, state) in known:
            continue
        known.add((done, state))
        if done.bit_count() > best[0]:
            best = (done.bit_count(), state, candidates)
        writes = _worth_trying(steps, candidates, state)
        stack.extend((done | 1 << i, first, steps[i].after(state)) for i in reversed(writes))
    return best[1], best[2]


def _worth_trying(steps: list[Step], candidates: list[int], state: State) -> list[int]:
    """Writes that may come next. Deletes of unknown outcome are all alike: the first will do, where there is something to delete."""
    found: list[int] = []
    deleted: set[int] = set()
    for i in candidates:
        step = steps[i]
        if step.slot < 0 or not step.fits(state):
            continue
        if step.optional and step.value is None:
            if step.slot in deleted or state[step.slot] is None:
                continue
            deleted.add(step.slot)
        found.append(i)
    return found


def _take_reads(steps: list[Step], done: int, first: int, state: State) -> tuple[int, int, list[int]]:
    """Take every read that may come next and fits; then what may come next, and the first operation that is not done."""
    while True:
        candidates: list[int] = []
        until = UNRETURNED
        taken = False
        while first < len(steps) and done >> first & 1:
            first += 1
        for i in range(first, len(steps)):
            if done >> i & 1:
                continue
            step = steps[i]
            if step.called_at > until:
                break
            if step.slot < 0 and step.fits(state):
                done |= 1 << i
                taken = True
                break
            candidates.append(i)
            until = min(until, step.returned_at)
        if not taken:
            return done, first, candidates
