"""What of a group is committed and not yet archived: how much, since when, and where the next segment ends (pure)."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cluster.archive.decision import Limits
from cluster.archive.segment import MAX_SEGMENT_ENTRIES
from cluster.replication.messages import Entry

ENTRY_BYTES = 64
"""What an entry costs beside its payload, about."""

Between = Callable[[int, int], Iterable[Entry]]
"""The entries of the log from one LSN to another, both included, as far as held."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Entries up to ``last`` that were first seen committed at ``at``, and their bytes."""

    last: int
    at: float
    size: int


@dataclass(slots=True)
class Backlog:
    """Kept by noting what is new once a round, so that its figures cost nothing to read."""

    noted: deque[Noted] = field(default_factory=deque)
    seen: int = 0
    size: int = 0

    def note(self, position: int, first: int, committed: int, between: Between, at: float) -> None:
        """Take in what was committed since the last round; ``position``: archived up to here, ``first``: held from here."""
        start = max(self.seen, position, first - 1) + 1
        if committed < start:
            return
        size = sum(size_of(entry) for entry in between(start, committed))
        self.noted.append(Noted(committed, at, size))
        self.seen, self.size = committed, self.size + size

    def archived(self, position: int) -> None:
        """Everything up to ``position`` is archived."""
        while self.noted and self.noted[0].last <= position:
            self.size -= self.noted.popleft().size

    @property
    def oldest_at(self) -> float | None:
        """When the oldest unarchived entry was first seen; None when there is none."""
        return self.noted[0].at if self.noted else None


def size_of(entry: Entry) -> int:
    """About what an entry adds to a segment."""
    return len(entry.payload) + ENTRY_BYTES


def cut(position: int, committed: int, between: Between, limits: Limits) -> tuple[int, bool]:
    """Where the segment after ``position`` ends, and whether it is as full as it may be."""
    most = min(limits.seal_entries, MAX_SEGMENT_ENTRIES)
    end = min(committed, position + most)
    last, size = position, 0
    for entry in between(position + 1, end):
        last, size = entry.lsn, size + size_of(entry)
        if size >= limits.seal_bytes:
            return last, True
    return last, last - position >= most
