"""Whether an archived segment says what a replica's own log says, entry by entry (pure).

Ballots are not compared: after a change of leader the same chosen entry may stand under different ballots on two replicas.
What was chosen - payload and members - is one and the same everywhere, or the replicas have diverged.
"""

from collections.abc import Iterable

from cluster.archive.damage import Mismatch
from cluster.archive.segment import Segment
from cluster.replication.messages import Entry


def compare(segment: Segment, local: Iterable[Entry], *, key: str) -> int:
    """How many of ``local`` were compared; raises :class:`Mismatch` at the first that differs from the archive."""
    compared = 0
    for entry in local:
        if not segment.first <= entry.lsn <= segment.last:
            continue
        archived = segment.entries[entry.lsn - segment.first]
        if (archived.payload, archived.members) != (entry.payload, entry.members):
            raise Mismatch("this replica's log has another entry than the archive", key=key, lsn=entry.lsn)
        compared += 1
    return compared
