"""What a replica's archive agent does next (pure).

All replicas run it. The leader seals; a follower takes over when the leader has not for three times as long; each replica that
finds a segment archived compares it with its own log before that log may be truncated (Elhemali et al., USENIX ATC 2022, §5.2).
Races are decided by the store's put-if-absent, so that the worst a wrong decision costs is a refused put.
"""

from dataclasses import dataclass
from typing import Literal

from cluster.archive.keys import segment_key

TAKE_OVER = 3.0
"""A follower seals when the oldest unarchived entry is so many times older than the leader lets it become."""
LOOK_SHARE = 0.5
"""A follower looks for the leader's segment at first after this share of ``seal_seconds``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a segment is sealed: with so many entries or bytes, or when its oldest entry is so old."""

    seal_seconds: float = 10.0
    seal_bytes: int = 4 * 1024 * 1024
    seal_entries: int = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One replica and what it knows of its group's archive. Times are monotonic seconds.

    ``first`` … ``committed``: what its own log holds of what is chosen. ``position``: the archive's chain is known, and verified
    here, up to this LSN (None: not looked for yet). ``cut``: where the next segment would end; ``full``: it has as much as a
    segment may have. ``found``: somebody has archived the next segment already. ``searched``: the ``first`` with which the archive
    was last searched.
    """

    group: str
    leads: bool
    first: int
    committed: int
    position: int | None
    cut: int
    full: bool
    oldest_at: float | None
    not_before: float = 0.0
    found: bool = False
    stopped: bool = False
    searched: int | None = None


@dataclass(frozen=True, slots=True)
class Locate:
    """Look in the archive for the segment that holds LSN ``first``, or for the end of the chain before it."""

    first: int


@dataclass(frozen=True, slots=True)
class Seal:
    """Archive the entries ``first`` … ``last``."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Verify:
    """Download the object ``key``, if it is there, and compare it with the log."""

    key: str


Reason = Literal["backing_off", "nothing_committed", "gathering", "leader_is_first"]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done now."""

    reason: Reason


Decision = Locate | Seal | Verify | Wait


def decide(view: View, limits: Limits, at: float) -> Decision:
    """The next step of one replica's agent."""
    if at < view.not_before:
        return Wait("backing_off")
    holds_next = view.position is not None and view.first <= view.position + 1
    if view.position is None or (not holds_next and view.searched != view.first):
        return Locate(view.first)
    if view.committed <= view.position:
        return Wait("nothing_committed")
    following = Verify(segment_key(view.group, view.position + 1))
    if view.found or view.stopped or not holds_next:
        return following
    age = at - view.oldest_at if view.oldest_at is not None else 0.0
    if view.leads:
        due = view.full or age >= limits.seal_seconds
        return Seal(view.position + 1, view.cut) if due else Wait("gathering")
    if age >= TAKE_OVER * limits.seal_seconds:
        return Seal(view.position + 1, view.cut)
    return following if view.full or age >= LOOK_SHARE * limits.seal_seconds else Wait("leader_is_first")
