"""Several collectors' feeds as one: in which order entries are judged, and how that order is found again (pure).

Entries are taken by their ``received_at``. A feed that is silent is waited for, but only :data:`HOLD_SECONDS`, and one
that is down not at all: judging goes on. So the order depends on when things arrived, and is not reproducible by itself;
therefore it is written down, as :class:`Run` s, in the same transaction as what followed from it. After a restart the
runs since the snapshot are followed first. ``docs/decisions/0016-lanes-and-the-spool.md`` has the argument.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from collector.series import FeedEntry

HOLD_SECONDS = 0.2
"""How long an entry waits for the feeds that have nothing to say."""

FOLLOW_SECONDS = 10.0
"""How long a restarted judgement waits for a feed that it must follow; then it judges what there is, in another order."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive entries of one feed. ``index``: the number, in the merged order, of the last; ``cursor``: its own one."""

    index: int
    feed: str
    cursor: int


@dataclass(slots=True)
class _Source:
    """One feed. ``position``: the cursor of the last entry that was judged."""

    name: str
    position: int = 0
    up: bool = True
    waiting: deque[tuple[FeedEntry, float]] = field(default_factory=deque)

    @property
    def asked(self) -> int:
        """After which cursor to read on."""
        return self.waiting[-1][0].cursor if self.waiting else self.position


class Merge:
    """The merged order, from the entry after ``index`` on. ``known``: all runs that are written down."""

    def __init__(
        self, feeds: Sequence[str], known: Iterable[Run], *, index: int, received_at: float, at: float
    ) -> None:
        known = sorted(known, key=lambda run: run.index)
        self.index = index
        self._received_at = received_at
        self._sources = {name: _Source(name) for name in feeds}
        self._script = deque(run for run in known if run.index > index)
        self._follow_until = at + FOLLOW_SECONDS
        self._runs: list[Run] = []
        self._abandoned: int | None = None
        for run in known:
            if run.index <= index and run.feed in self._sources:
                self._sources[run.feed].position = run.cursor
        if not known and index:
            self._sources[feeds[0]].position = index  # there was one feed until now

    @property
    def following(self) -> bool:
        """Whether the order is still that of an earlier life."""
        return bool(self._script)

    def asked(self, feed: str) -> int:
        """After which cursor the feed is to be read."""
        return self._sources[feed].asked

    def waiting(self, feed: str) -> int:
        """How many of its entries wait."""
        return len(self._sources[feed].waiting)

    def arrived(self, feed: str, entries: Iterable[FeedEntry], at: float) -> None:
        """The feed answered."""
        source = self._sources[feed]
        source.up = True
        source.waiting.extend((entry, at) for entry in entries)

    def down(self, feed: str) -> None:
        """The feed does not answer."""
        self._sources[feed].up = False

    @property
    def all_down(self) -> bool:
        """Nobody answers."""
        return not any(source.up for source in self._sources.values())

    def jumped(self, feed: str, oldest: int) -> None:
        """What was asked for is gone: the feed goes on at ``oldest``, later than ours, or earlier when it is another ledger."""
        source = self._sources[feed]
        source.position = oldest - 1
        source.waiting.clear()
        if any(run.feed == feed for run in self._script):
            self._abandon()

    def take(self, limit: int, at: float) -> list[FeedEntry]:
        """The next entries in the merged order, numbered by it, with times that never go back."""
        taken: list[FeedEntry] = []
        while len(taken) < limit and (source := self._next(at)) is not None:
            entry, _ = source.waiting.popleft()
            self.index += 1
            source.position = entry.cursor
            self._received_at = max(self._received_at, entry.received_at)
            self._note(source.name, entry.cursor)
            taken.append(replace(entry, cursor=self.index, received_at=self._received_at))
        return taken

    def ready_at(self) -> float | None:
        """When something can be taken though nothing more arrives; None: not before something does."""
        if self._script:
            return self._follow_until
        arrivals = [source.waiting[0][1] for source in self._sources.values() if source.waiting]
        return min(arrivals) + HOLD_SECONDS if arrivals else None

    def journal(self) -> tuple[int | None, tuple[Run, ...]]:
        """Since the last call: after which index what is written down is not what was judged (None: it is), and the new runs."""
        told = self._abandoned, tuple(self._runs)
        self._abandoned = None
        self._runs.clear()
        return told

    def _note(self, feed: str, cursor: int) -> None:
        if self._runs and self._runs[-1].feed == feed:
            self._runs[-1] = Run(self.index, feed, cursor)
        else:
            self._runs.append(Run(self.index, feed, cursor))

    def _next(self, at: float) -> _Source | None:
        if self._script:
            source = self._followed(at)
            if self._script:
                return source
        heads = [source for source in self._sources.values() if source.waiting]
        if not heads:
            return None
        first = min(heads, key=lambda source: (source.waiting[0][0].received_at, source.name))
        silent = any(source.up and not source.waiting for source in self._sources.values())
        return None if silent and at < first.waiting[0][1] + HOLD_SECONDS else first

    def _followed(self, at: float) -> _Source | None:
        """The feed that was next in the earlier life; drops the script when it is at its end, or cannot be followed."""
        while self._script and self.index >= self._script[0].index:
            self._script.popleft()
        if not self._script:
            return None
        run = self._script[0]
        source = self._sources.get(run.feed)
        if source is not None and source.waiting and source.waiting[0][0].cursor <= run.cursor:
            return source
        if source is None or source.waiting or at >= self._follow_until:
            self._abandon()
        return None

    def _abandon(self) -> None:
        self._script.clear()
        self._abandoned = self.index
