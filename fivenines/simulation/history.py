"""What clients asked and what they were told: the only evidence that the promises are judged by (pure).

The words are Jepsen's: an operation that timed out is *unknown*, not failed; it may have happened, may yet happen, or never.
"""

from dataclasses import dataclass, field
from enum import StrEnum

UNRETURNED = float("inf")


class Kind(StrEnum):
    """What a client asked for."""

    PUT = "put"
    PUT_IF = "put_if"
    """A put on condition that the item is what the client believes it to be."""
    DELETE = "delete"
    READ = "read"
    EVENTUAL_READ = "eventual_read"
    RANGE = "range"
    """A strong read of all items of one partition key."""


class Outcome(StrEnum):
    """What became of it, as far as the client knows."""

    OPEN = "open"
    OK = "ok"
    CONDITION_FALSE = "condition_false"
    """Certainly not written; ``seen`` holds the item as it was."""
    FAILED = "failed"
    """Certainly not done."""
    UNKNOWN = "unknown"


WRITES = frozenset({Kind.PUT, Kind.PUT_IF, Kind.DELETE})


@dataclass(slots=True)
class Operation:
    """One operation. Values are texts, each written once in the whole history; None is "no such item".

    ``seen``: by sort key, what the answer showed (a write's answer shows the item before it). Times in true (virtual) seconds.
    """

    number: int
    client: str
    kind: Kind
    pk: str
    sk: str
    called_at: float
    value: str | None = None
    expected: str | None = None
    returned_at: float = UNRETURNED
    outcome: Outcome = Outcome.OPEN
    seen: dict[str, str | None] = field(default_factory=dict)
    reason: str = ""

    def __str__(self) -> str:
        """One line of a readable history."""
        what = {
            Kind.PUT: f"{self.sk} := {self.value}",
            Kind.PUT_IF: f"{self.sk} := {self.value} if it is {self.expected}",
            Kind.DELETE: f"{self.sk} := nothing",
        }.get(self.kind, self.sk)
        seen = ", ".join(f"{sk}={value or 'nothing'}" for sk, value in sorted(self.seen.items()))
        times = f"{self.called_at:.4f} .. {self.returned_at:.4f}"
        return f"[{times}] {self.client} {self.kind} {self.pk}: {what} -> {self.outcome} {self.reason}{seen}"


@dataclass(slots=True)
class History:
    """All operations of a run in the order in which they were called."""

    operations: list[Operation] = field(default_factory=list)

    def call(self, client: str, kind: Kind, *, pk: str, sk: str, at: float) -> Operation:
        """A client asks."""
        operation = Operation(len(self.operations), client, kind, pk, sk, at)
        self.operations.append(operation)
        return operation

    def of(self, pk: str) -> list[Operation]:
        """The operations on one partition key."""
        return [operation for operation in self.operations if operation.pk == pk]
