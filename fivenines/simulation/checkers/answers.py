"""What clients were told makes sense: strong operations in one order, eventual reads of nothing that was never written (pure)."""

from fivenines.simulation.checkers.linearizable import explain
from fivenines.simulation.checkers.verdict import Verdict
from fivenines.simulation.history import WRITES, History, Kind, Operation, Outcome

REFUSED = frozenset({Outcome.FAILED, Outcome.CONDITION_FALSE})


def judge(history: History, slots: tuple[str, ...], verdict: Verdict, at: float) -> None:
    """Judge a whole history. ``slots``: the sort keys of each partition key."""
    for pk in sorted({operation.pk for operation in history.operations}):
        operations = history.of(pk)
        if (problem := explain(operations, slots)) is not None:
            verdict.breaks("linearizable", at, f"{pk} {problem}")
        _eventual(operations, verdict, at)


def _eventual(operations: list[Operation], verdict: Verdict, at: float) -> None:
    """An eventual read may show an old value, but one that somebody wrote, and not one from the future."""
    written = {operation.value: operation for operation in operations if operation.kind in WRITES and operation.value}
    for read in operations:
        if read.kind is not Kind.EVENTUAL_READ or read.outcome is not Outcome.OK:
            continue
        for sk, value in read.seen.items():
            write = written.get(value or "")
            if value is not None and not (write is not None and _may_show(read, sk, write)):
                verdict.breaks("only_what_was_written", at, f"{read} shows a value that was not written: {write}")


def _may_show(read: Operation, sk: str, write: Operation) -> bool:
    return write.sk == sk and write.called_at <= read.returned_at and write.outcome not in REFUSED
