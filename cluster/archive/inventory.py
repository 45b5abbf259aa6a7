"""What the names in a group's folder say, without opening an object: chain, snapshots, and what has had its time (pure)."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from cluster.archive.keys import parse


@dataclass(frozen=True, slots=True)
class Inventory:
    """First LSNs of segments and LSNs of snapshots of one group, ascending; ``manifests``: names of manifests."""

    group: str
    segments: tuple[int, ...] = ()
    snapshots: tuple[int, ...] = ()
    manifests: frozenset[str] = frozenset()

    def segment_with(self, lsn: int) -> int | None:
        """The first LSN of the last segment that does not begin after ``lsn``: if any holds it, this one."""
        index = bisect_right(self.segments, lsn)
        return self.segments[index - 1] if index else None

    def segments_from(self, lsn: int) -> tuple[int, ...]:
        """First LSNs of the segments that may hold ``lsn`` or later entries."""
        index = max(0, bisect_right(self.segments, lsn) - 1)
        return self.segments[index:]

    def next_segment(self, lsn: int) -> int | None:
        """The first LSN of the first segment that begins after ``lsn``."""
        index = bisect_right(self.segments, lsn)
        return self.segments[index] if index < len(self.segments) else None

    def beyond_hole(self, position: int) -> int | None:
        """Where the chain goes on when nobody can archive the entry after ``position``: with a snapshot over the hole.

        The LSN after which the chain goes on, or None when no snapshot bridges the hole.
        """
        snapshot = next((lsn for lsn in self.snapshots if lsn > position), None)
        if snapshot is None:
            return None
        following = self.next_segment(position + 1)
        return snapshot if following is None or following > snapshot else following - 1


def inventory(group: str, names: Iterable[str]) -> Inventory:
    """The inventory of ``group`` out of a listing; names that are not of it are left out."""
    keys = [(name, key) for name in names if (key := parse(name)) is not None and key.group == group]
    objects = [key for _, key in keys if not key.manifest]
    return Inventory(
        group,
        tuple(sorted(key.lsn for key in objects if key.kind == "wal")),
        tuple(sorted(key.lsn for key in objects if key.kind == "snapshot")),
        frozenset(name for name, key in keys if key.manifest),
    )


def groups(names: Iterable[str]) -> tuple[str, ...]:
    """The groups that have objects, in order."""
    return tuple(sorted({key.group for name in names if (key := parse(name)) is not None}))


def expired(found: Inventory, kept_snapshot: int, names: Iterable[str]) -> tuple[str, ...]:
    """Names that nobody needs for a rebuild as of ``kept_snapshot`` or later, the oldest first.

    A segment goes when the next one begins no later than the entry after the snapshot: all that it holds is in the snapshot.
    """
    gone = set[str]()
    for name in names:
        key = parse(name)
        if key is None or key.group != found.group:
            continue
        if key.kind == "snapshot" and key.lsn < kept_snapshot:
            gone.add(name)
        following = found.next_segment(key.lsn) if key.kind == "wal" else None
        if following is not None and following <= kept_snapshot + 1:
            gone.add(name)
    return tuple(sorted(gone))
