"""Is everything there that was acknowledged, and nothing that nobody wrote? The verdict of a power-off drill (pure)."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from fivenines.simulation.checkers.linearizable import explain
from fivenines.simulation.history import WRITES, Kind, Operation, Outcome

SLOT = "item"
"""The one sort key of each partition key that the drill writes."""
READS = frozenset({Kind.READ, Kind.EVENTUAL_READ})
SHOWN = 20
"""So many findings of a kind are shown in full; the counts are of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostWrite:
    """An acknowledged write that is neither what a later strong read shows nor older than it. ``value`` None: a delete."""

    key: str
    value: str | None
    acknowledged_at: float
    read: str | None
    read_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Durability:
    """What a power-off drill has found. Times in UTC epoch seconds, lengths in seconds."""

    power_offs: int
    operations: int
    writes_acknowledged: int
    writes_indeterminate: int
    writes_refused: int
    keys_read_back: int
    keys_not_read_back: list[str] = field(default_factory=list)
    lost: list[LostWrite] = field(default_factory=list)
    never_written: list[str] = field(default_factory=list)
    unlinearizable: dict[str, str] = field(default_factory=dict)
    replicas_differ: list[str] = field(default_factory=list)
    scrub: str = "not built yet"
    longest_gap_seconds: dict[str, float] = field(default_factory=dict)
    groups_not_whole: dict[str, str] = field(default_factory=dict)
    whole_after_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As a part of the verdict."""
        return asdict(self)

    def problems(self, *, durable: bool, whole: bool) -> list[str]:
        """What is not as it must be, in words; ``durable`` and ``whole`` say what was promised."""
        found = []
        if self.power_offs == 0:
            found.append("no power-off fitted into the time; let it last longer")
        if self.writes_acknowledged == 0:
            found.append("no write was acknowledged, so that nothing is proved")
        if durable:
            found += _counted(len(self.lost), "acknowledged write(s) lost", (_told(each) for each in self.lost))
            found += _counted(len(self.never_written), "value(s) read that nobody wrote", self.never_written)
            found += _counted(len(self.unlinearizable), "key(s) not linearizable", self.unlinearizable)
            found += _counted(len(self.replicas_differ), "key(s) differ between replicas", self.replicas_differ)
            found += _counted(len(self.keys_not_read_back), "key(s) could not be read back", self.keys_not_read_back)
            found += [] if self.scrub in ("clean", "not built yet") else [f"scrub: {self.scrub}"]
        if whole:
            told = (f"{group} ({why})" for group, why in self.groups_not_whole.items())
            found += _counted(len(self.groups_not_whole), "group(s) not whole", told)
        return found


def _counted(count: int, what: str, told: Iterable[str]) -> list[str]:
    return [f"{count} {what}: {', '.join(list(told)[:3])}{' …' if count > 3 else ''}"] if count else []


def _told(lost: LostWrite) -> str:
    return f"{lost.key} = {lost.value or '(deleted)'}, read {lost.read or 'nothing'}"


def by_key(history: Iterable[Operation]) -> dict[str, list[Operation]]:
    """The operations of each key in the order of their calls."""
    keys: dict[str, list[Operation]] = {}
    for operation in history:
        keys.setdefault(operation.pk, []).append(operation)
    return {key: sorted(keys[key], key=lambda o: o.called_at) for key in sorted(keys)}


def lost_writes(operations: Iterable[Operation], epoch: float) -> list[LostWrite]:
    """Acknowledged writes of one key that its last strong read proves to be lost; ``epoch`` makes UTC of the clock's times.

    The read shows a value; that value's write may be the last one of an order only if no acknowledged write was called after it
    had returned. (Whether every read in between can be explained is for the search for an order to say.)
    """
    known = list(operations)
    reads = [o for o in known if o.kind is Kind.READ and o.outcome is Outcome.OK]
    if not reads:
        return []
    last = max(reads, key=lambda o: o.called_at)
    shown = last.seen[SLOT]
    made = [o for o in known if o.kind in WRITES and o.outcome is Outcome.OK and o.returned_at < last.called_at]
    sources = [o for o in known if o.kind in WRITES and o.value == shown and o.outcome in _PERHAPS_MADE]
    began = shown is None and not sources  # nothing was ever deleted: it shows the state before the first write
    latest = max((o.returned_at if o.outcome is Outcome.OK else float("inf") for o in sources), default=0.0)
    lost = [o for o in made if o.value != shown and (began or (sources and o.called_at > latest))]
    return [
        LostWrite(
            key=o.pk, value=o.value, acknowledged_at=epoch + o.returned_at, read=shown, read_at=epoch + last.called_at
        )
        for o in sorted(lost, key=lambda o: o.returned_at)[-1:]
    ]


_PERHAPS_MADE = frozenset({Outcome.OK, Outcome.UNKNOWN, Outcome.OPEN})


def never_written(operations: Iterable[Operation]) -> list[str]:
    """Answers of one key that show a value which nobody (or nobody yet) had asked to be written, or which was refused."""
    known = list(operations)
    asked = {o.value: o for o in known if o.kind in WRITES and o.value is not None}
    found = []
    for operation in known:
        for shown in operation.seen.values():
            if shown is None:
                continue
            write = asked.get(shown)
            if (
                write is not None
                and write.called_at <= operation.returned_at
                and (write.outcome in _PERHAPS_MADE or write is operation)
            ):
                continue
            why = "never asked for" if write is None else f"written by {write}"
            found.append(f"{operation.pk} showed {shown} to a {operation.kind} ({why})")
    return found


def unlinearizable(keys: Mapping[str, list[Operation]]) -> dict[str, str]:
    """Keys whose history no order explains, and where the longest attempt got stuck."""
    found = {key: explain(operations, (SLOT,)) for key, operations in keys.items()}
    return {key: problem for key, problem in found.items() if problem is not None}


def longest_gaps(
    successes: Iterable[tuple[str, float]], partitions: Iterable[str], began: float, ended: float
) -> dict[str, float]:
    """By partition the longest time without a write that succeeded. ``successes``: partition and when it was answered."""
    times: dict[str, list[float]] = {partition: [began] for partition in partitions}
    for partition, at in successes:
        times.setdefault(partition, [began]).append(at)
    gaps = {}
    for partition, answered in sorted(times.items()):
        ordered = [*sorted(answered), ended]
        gaps[partition] = round(max(after - before for before, after in pairwise(ordered)), 3)
    return gaps
