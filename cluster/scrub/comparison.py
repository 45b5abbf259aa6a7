"""Who differs from whom: by buckets first, then by rows (pure)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cluster.routing.messages import DigestIs, Print
from cluster.scrub.digest import Place


@dataclass(frozen=True, slots=True)
class Finding:
    """A bucket that is not the same everywhere, or has damaged rows. ``differ``: whoever is not with the majority (all, if there is none)."""

    bucket: int
    differ: tuple[str, ...]
    damaged: int


def compare(digests: Mapping[str, DigestIs]) -> tuple[Finding, ...]:
    """What the digests of one LSN, by who took them, say about the rows."""
    by_number = {name: {b.number: b for b in digest.buckets} for name, digest in digests.items()}
    numbers = sorted({number for buckets in by_number.values() for number in buckets})
    found = []
    for number in numbers:
        seen = {name: buckets.get(number) for name, buckets in by_number.items()}
        differ = dissenters({name: bucket and bucket.digest for name, bucket in seen.items()})
        damaged = sum(bucket.damaged for bucket in seen.values() if bucket is not None)
        if differ or damaged:
            found.append(Finding(number, differ, damaged))
    return tuple(found)


def dissenters(votes: Mapping[str, object]) -> tuple[str, ...]:
    """Whoever does not vote as more than half of all do; everybody, if there is no such half."""
    tally = Counter(votes.values())
    winner, count = next(iter(tally.most_common(1)), (None, 0))
    if count * 2 <= len(votes):
        return tuple(sorted(votes))
    return tuple(sorted(name for name, vote in votes.items() if vote != winner))


def suspicious(prints: Mapping[str, Iterable[Print]], upto: int) -> tuple[Place, ...]:
    """Places whose rows are not known to be the same everywhere, or are damaged, in order.

    The prints were taken at different moments after ``upto``: a sound row that was written later says nothing about what was there
    then. A row that was deleted meanwhile is suspected in vain, which costs a question.
    """
    rows = {name: {(p.hash, p.partition_key, p.sort_key): p for p in taken} for name, taken in prints.items()}
    places = sorted({place for taken in rows.values() for place in taken})
    return tuple(place for place in places if _suspicious([taken.get(place) for taken in rows.values()], upto))


def _suspicious(prints: list[Print | None], upto: int) -> bool:
    if any(found is not None and not found.sound for found in prints):
        return True
    seen = {found and (found.lsn, found.checksum) for found in prints if found is None or found.lsn <= upto}
    return len(seen) > 1
