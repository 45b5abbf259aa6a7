"""What a suspicious follower and a candidate remember (pure)."""

from dataclasses import dataclass, field

from cluster.replication.messages import Ballot, Entry, Promise


@dataclass(slots=True)
class Canvass:
    """A round of questions to the peers before anybody raises a ballot (DynamoDB, ATC 2022, §5: gray failures)."""

    asked_at: float
    deadline: float
    unhealthy: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)
    """Those of them that have never stored anything."""


@dataclass(slots=True)
class Campaign:
    """A candidacy. ``ballot`` is None while the candidate waits for the lease that it has itself granted."""

    reason: str
    begins_at: float
    ends_at: float
    founding: bool = False
    """No member has ever stored anything; so every one of them must vote, and one without a past may."""
    ballot: Ballot | None = None
    token: int = 0
    """The own promise is on disk when this Append is."""
    voted: bool = False
    promises: dict[str, Promise] = field(default_factory=dict)
    ask_at: dict[str, float] = field(default_factory=dict)
    """When each peer that has not promised is asked (again)."""


def choose(own: tuple[Entry, ...], promises: list[Promise], ballot: Ballot, committed: int) -> tuple[Entry, ...]:
    """Phase 2a's values above ``committed``: for every LSN the one of the highest ballot that any voter has accepted.

    They are under ``ballot`` from now on; a hole becomes b"" (Lamport, "Paxos Made Simple", §2.2 and §3).
    """
    best: dict[int, Entry] = {entry.lsn: entry for entry in own}
    for promise in promises:
        for entry in promise.entries:
            known = best.get(entry.lsn)
            if known is None or entry.ballot > known.ballot:
                best[entry.lsn] = entry
    last = max(best, default=committed)
    return tuple(
        Entry(lsn, ballot, best[lsn].payload, best[lsn].members) if lsn in best else Entry(lsn, ballot, b"")
        for lsn in range(committed + 1, last + 1)
    )
