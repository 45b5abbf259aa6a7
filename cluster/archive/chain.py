"""One replica's knowledge of its group's archive, and how each thing that happens changes it (pure)."""

from dataclasses import dataclass, field

from cluster.archive.backlog import Backlog, Between, cut
from cluster.archive.decision import Limits, View

AGAIN_SECONDS = 2.0
"""After the archive did not answer."""
LOOK_AGAIN_SHARE = 0.25
"""After the leader's segment was not there: this share of ``seal_seconds`` later."""
CATCH_UP_SECONDS = 1.0
"""After the archive was ahead of this replica."""
MISMATCH_SECONDS = 60.0
"""After the archive and this replica differed: perhaps somebody has mended it."""
GAP_PATIENCE = 6.0
"""An entry that this replica does not hold is missing in the archive for good after so many times ``seal_seconds``."""


@dataclass(slots=True)
class Chain:
    """See the module; the fields are those of :class:`cluster.archive.decision.View`.

    ``archived`` is what the node may truncate its log up to. ``gap``: entries are missing that nobody seems to have.
    """

    group: str
    limits: Limits
    position: int | None = None
    searched: int | None = None
    ceiling: int | None = None
    """The first LSN of a later segment: the next seal must not reach into it."""
    found: bool = False
    stopped: bool = False
    gap: bool = False
    not_before: float = 0.0
    missing_since: float | None = None
    sealed: int = 0
    backlog: Backlog = field(default_factory=Backlog)

    @property
    def archived(self) -> int:
        """Everything up to this LSN is archived, and verified by this replica."""
        return self.position or 0

    def view(self, *, leads: bool, first: int, committed: int, between: Between) -> View:
        """What :func:`cluster.archive.decision.decide` looks at."""
        position = self.position or 0
        end, full = cut(position, committed, between, self.limits)
        if self.ceiling is not None and position + 1 < self.ceiling <= end:
            end, full = self.ceiling - 1, True
        return View(
            group=self.group,
            leads=leads,
            first=first,
            committed=committed,
            position=self.position,
            cut=end,
            full=full,
            oldest_at=self.backlog.oldest_at,
            not_before=self.not_before,
            found=self.found,
            stopped=self.stopped,
            searched=self.searched,
        )

    def note(self, *, first: int, committed: int, between: Between, at: float) -> None:
        """Take in what was committed since the last round."""
        self.backlog.note(self.position or 0, first, committed, between, at)

    def located(self, position: int, *, first: int, ceiling: int | None) -> None:
        """A search for the segment that holds ``first`` ended: go on after ``position``."""
        self.position, self.searched, self.ceiling = position, first, ceiling
        self.found, self.missing_since = False, None
        self.backlog.archived(position)

    def taken(self) -> None:
        """The next segment is there already: verify it."""
        self.found = True

    def advanced(self, last: int) -> None:
        """Everything up to ``last`` is archived and verified."""
        self.position = max(self.position or 0, last)
        self.found = self.stopped = self.gap = False
        self.missing_since, self.not_before = None, 0.0
        self.sealed += 1
        self.backlog.archived(self.position)

    def absent(self, *, held: bool, at: float) -> bool:
        """The next segment is not there; ``held``: this replica could archive it. Whether it must be taken for lost, now."""
        self.found = self.stopped = False  # what differed has been taken away
        self.not_before = at + LOOK_AGAIN_SHARE * self.limits.seal_seconds
        if held:
            self.missing_since = None
            return False
        if self.missing_since is None:
            self.missing_since = at
        if at - self.missing_since < GAP_PATIENCE * self.limits.seal_seconds:
            return False
        self.missing_since = at
        return True

    def behind(self, at: float) -> None:
        """The segment reaches further than what is committed here."""
        self.not_before = at + CATCH_UP_SECONDS

    def unavailable(self, at: float) -> None:
        """The archive did not answer."""
        self.not_before = at + AGAIN_SECONDS

    def mismatched(self, at: float) -> None:
        """The archive and this replica differ: no truncation until they do not."""
        self.stopped = True
        self.not_before = at + MISMATCH_SECONDS
