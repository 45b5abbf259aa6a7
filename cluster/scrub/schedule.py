"""When a led group is scrubbed next, and what the last scrub has found (pure)."""

import zlib
from dataclasses import dataclass, field

HURRY_SHARE = 10
"""Damage that was met, or mended, and a scrub that could not begin, bring the next one near, but not nearer than this part of the usual time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubSettings:
    """How often; seconds. ``reference_every``: so many scrubs of a group, one of them compares with the archive as well."""

    every_seconds: float = 60.0
    reference_every: int = 10
    pages_every_seconds: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupScrub:
    """One scrub of a group. ``at``: UTC seconds of its end. ``mismatches``, ``repaired``, ``undecided``: rows.

    ``replicas``: whose rows were compared; ``complete``: those are all that hold items. ``reference``: ``not asked``, ``compared``,
    ``unavailable: …`` or ``damaged: …``. ``clean``: nothing was found to be wrong.
    """

    lsn: int
    at: float
    seconds: float
    replicas: tuple[str, ...]
    complete: bool
    reference: str
    mismatches: int = 0
    repaired: int = 0
    undecided: int = 0

    @property
    def clean(self) -> bool:
        """See the class."""
        return not self.mismatches and not self.undecided


@dataclass(slots=True)
class Standing:
    """A led group's turn. Times: the node's monotonic seconds; ``verified_at``: of the last complete scrub, or when the office was taken."""

    due_at: float
    verified_at: float
    begun_at: float = float("-inf")
    scrubs: int = 0
    last: GroupScrub | None = None


@dataclass(slots=True)
class Schedule:
    """The groups led here, each with its turn."""

    settings: ScrubSettings
    standings: dict[str, Standing] = field(default_factory=dict)

    def leads(self, groups: list[str], at: float) -> None:
        """These are led here now. Groups that begin together have their turns spread over the period, each always in the same place."""
        for gone in [name for name in self.standings if name not in groups]:
            del self.standings[gone]
        for name in groups:
            if name not in self.standings:
                share = zlib.crc32(name.encode()) / 2**32
                self.standings[name] = Standing(at + share * self.settings.every_seconds, at)

    def due(self, at: float) -> str | None:
        """Whose turn it is: the one that waits longest."""
        waiting = [(standing.due_at, name) for name, standing in self.standings.items() if standing.due_at <= at]
        return min(waiting)[1] if waiting else None

    def begins(self, name: str, at: float) -> bool:
        """A scrub begins; whether it is one that compares with the archive."""
        standing = self.standings.get(name)
        if standing is None:
            return False
        standing.begun_at, standing.due_at = at, at + self.settings.every_seconds
        standing.scrubs += 1
        return (standing.scrubs + zlib.crc32(name.encode())) % self.settings.reference_every == 0

    def ended(self, name: str, found: GroupScrub, at: float) -> None:
        """What it has found. Whatever was repaired is looked at again soon."""
        standing = self.standings.get(name)
        if standing is None:
            return
        standing.last = found
        if found.complete:
            standing.verified_at = at
        if found.repaired:
            self.hurry(name, at)

    def hurry(self, name: str, at: float) -> None:
        """Something is wrong there."""
        standing = self.standings.get(name)
        if standing is not None:
            soon = max(at, standing.begun_at + self.settings.every_seconds / HURRY_SHARE)
            standing.due_at = min(standing.due_at, soon)

    def age(self, at: float) -> float | None:
        """The longest time without a complete scrub; None when nothing is led here."""
        return max((at - standing.verified_at for standing in self.standings.values()), default=None)
