"""Who sends counters: which of its batches were seen, and what its series numbers mean (pure)."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector import sequence
from collector.bulk.refusals import BulkRefusal, BulkRefusedError
from collector.sequence import Ranges

UNKNOWN = np.uint32(0xFFFFFFFF)
SENDERS_MAX = 100_000
MAP_CELLS_MAX = 64 * 1024 * 1024
"""Series numbers that are remembered for all senders together (four bytes each). Above it the map of the sender that was
silent longest is forgotten: it is then told that its series are unknown, and registers them again."""
TOLD_RANGES_MAX = 100


@dataclass(slots=True)
class Sender:
    """One life (``boot``) of one host. ``ids[number]`` is the series id of one of its numbers."""

    host: str
    boot: str
    zone: str = ""
    seen: Ranges = ()
    last_at: float = 0.0
    dropped: int = 0
    ids: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))

    def translate(self, numbers: NDArray[Any]) -> NDArray[np.uint32]:
        """The series ids of ascending ``numbers``; raises :class:`BulkRefusedError` with the ranges that are unknown."""
        if not len(numbers):
            return np.empty(0, np.uint32)
        if int(numbers[-1]) < len(self.ids):
            ids: NDArray[np.uint32] = self.ids[numbers]
            if ids.max() != UNKNOWN:
                return ids
            unknown = numbers[ids == UNKNOWN]
        else:
            is_known = numbers < len(self.ids)
            is_known[is_known] = self.ids[numbers[is_known]] != UNKNOWN
            unknown = numbers[~is_known]
        raise BulkRefusedError(
            BulkRefusal.UNKNOWN_SERIES,
            f"{len(unknown)} series numbers are not registered for this boot: register them, then send the batch again",
            unknown=len(unknown),
            ranges=ranges_of(unknown, TOLD_RANGES_MAX),
        )

    def known(self, numbers: NDArray[Any]) -> NDArray[np.uint32]:
        """The ids of ``numbers``, ``UNKNOWN`` where there is none."""
        ids = np.full(len(numbers), UNKNOWN, np.uint32)
        is_inside = numbers < len(self.ids)
        ids[is_inside] = self.ids[numbers[is_inside]]
        return ids

    def learn(self, numbers: NDArray[Any], ids: NDArray[np.uint32]) -> None:
        """``numbers`` mean ``ids`` from now on."""
        size = int(numbers[-1]) + 1 if len(numbers) else 0
        if size > len(self.ids):
            grown = np.full(max(size, min(2 * len(self.ids), size + 2**20)), UNKNOWN, np.uint32)
            grown[: len(self.ids)] = self.ids
            self.ids = grown
        self.ids[numbers] = ids


class Senders:
    """All that are remembered, the longest silent first."""

    def __init__(self) -> None:
        self.by_name: dict[tuple[str, str], Sender] = {}
        self.cells = 0

    def of(self, host: str, boot: str) -> Sender | None:
        """The sender, if it is known."""
        return self.by_name.get((host, boot))

    def heard(self, host: str, boot: str, zone: str, at: float) -> Sender:
        """The sender, new or known, which has just spoken; raises :class:`BulkRefusedError` when there are too many."""
        sender = self.by_name.pop((host, boot), None)
        if sender is None:
            if len(self.by_name) >= SENDERS_MAX:
                raise BulkRefusedError(BulkRefusal.TOO_MANY_SENDERS, f"{SENDERS_MAX} senders are remembered already")
            sender = Sender(host, boot)
        self.by_name[host, boot] = sender
        sender.zone, sender.last_at = zone, max(sender.last_at, at)
        return sender

    def learn(self, sender: Sender, numbers: NDArray[Any], ids: NDArray[np.uint32]) -> None:
        """``sender``'s ``numbers`` mean ``ids``; others' maps may have to make room."""
        before = len(sender.ids)
        sender.learn(numbers, ids)
        self.cells += len(sender.ids) - before
        for other in self.by_name.values():
            if self.cells <= MAP_CELLS_MAX:
                break
            if other is not sender:
                self.cells -= len(other.ids)
                other.ids = np.empty(0, np.uint32)

    def restore(self, sender: Sender) -> None:
        """A sender out of a checkpoint."""
        self.by_name[sender.host, sender.boot] = sender
        self.cells += len(sender.ids)

    def forget(self, before: float) -> int:
        """Forget those last heard before this time: nothing that they may still repeat would be taken."""
        old = [name for name, sender in self.by_name.items() if sender.last_at < before]
        for name in old:
            self.cells -= len(self.by_name.pop(name).ids)
        return len(old)


def note(sender: Sender, number: int) -> None:
    """Remember that this batch was taken; raises :class:`BulkRefusedError` when there are too many holes."""
    after = sequence.add(sender.seen, number)
    if len(after) > sequence.RANGES_MAX:
        raise BulkRefusedError(
            BulkRefusal.TOO_MANY_HOLES, f"sequence: more than {sequence.RANGES_MAX} holes in boot {sender.boot!r}"
        )
    sender.seen = after


def missing(seen: Ranges) -> int:
    """How many batches up to the newest have not arrived (yet)."""
    return seen[-1][1] - sum(last - first + 1 for first, last in seen) if seen else 0


def ranges_of(numbers: NDArray[Any], most: int) -> list[list[int]]:
    """Ascending numbers as inclusive ranges, the first ``most`` of them: there may be millions."""
    breaks = np.flatnonzero(np.diff(numbers.astype(np.int64)) != 1)
    firsts, lasts = numbers[np.r_[0, breaks + 1][:most]], numbers[np.r_[breaks, len(numbers) - 1][:most]]
    return [[int(first), int(last)] for first, last in zip(firsts, lasts, strict=True)]
