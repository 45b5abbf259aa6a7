"""The reference: a group's rows as the archive alone has them, as of an LSN or a time (pure).

It is what scrub compares live replicas with, and what a restore writes back. A point in time is a prefix of the log: everything before
the first change that was made later. So a leader whose clock ran ahead can hide writes, but never mixes two states of the table.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.archive.damage import Gap
from cluster.archive.segment import Place, change_of, changed_at
from cluster.archive.snapshot import Snapshot
from cluster.replication.messages import Entry
from cluster.routing.messages import Row
from cluster.storage.records import item_checksum

Position = tuple[int, bytes, bytes]
"""A row's place: ring position, partition key, sort key; the order of rows is the order of these."""


@dataclass(frozen=True, slots=True)
class Until:
    """Where a rebuild ends: with the entry ``lsn``, or before the first change that was made after ``at`` (UTC seconds); or both."""

    lsn: int | None = None
    at: float | None = None

    def covers(self, entry: Entry) -> bool:
        """Whether ``entry`` still belongs to it."""
        if self.lsn is not None and entry.lsn > self.lsn:
            return False
        made_at = changed_at(entry) if self.at is not None else None
        return made_at is None or self.at is None or made_at <= self.at


LATEST = Until()
"""Everything that is archived."""


@dataclass(slots=True)
class Reference:
    """Rows by place as of ``lsn``. ``at``: UTC seconds of the latest change up to there (0.0: none).

    ``complete``: the end that was asked for was reached; otherwise the archive ends at ``lsn``.
    """

    group: str
    place: Place | None = None
    lsn: int = 0
    at: float = 0.0
    rows: dict[Position, Row] = field(default_factory=dict)
    complete: bool = False

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Reference":
        """The rows of a snapshot."""
        rows = {(row.hash, row.partition_key, row.sort_key): row for row in snapshot.rows}
        return cls(snapshot.place.group, snapshot.place, snapshot.lsn, snapshot.at, rows)

    def fold(self, entries: Iterable[Entry], until: Until = LATEST) -> None:
        """Take further entries of the log, in order, until the end is reached; raises :class:`Gap` on a hole."""
        for entry in entries:
            if entry.lsn <= self.lsn:
                continue
            if entry.lsn != self.lsn + 1:
                raise Gap(f"after LSN {self.lsn} comes {entry.lsn}", lsn=self.lsn + 1)
            if not until.covers(entry):
                self.complete = True
                return
            self._apply(entry)
        self.complete = self.complete or self.lsn == until.lsn

    def _apply(self, entry: Entry) -> None:
        self.lsn = entry.lsn
        self.at = max(self.at, changed_at(entry) or 0.0)
        change = change_of(entry)
        if change is None:
            return
        place = (change.hash, change.partition_key, change.sort_key)
        if change.body is None:
            self.rows.pop(place, None)
            return
        checksum = item_checksum(change.partition_key, change.sort_key, change.body, entry.lsn)
        self.rows[place] = Row(*place, entry.lsn, checksum, change.body)

    def ordered(self) -> tuple[Row, ...]:
        """Rows in the order of the ring, as a replica's item table gives them."""
        return tuple(row for _, row in sorted(self.rows.items()))

    def snapshot(self) -> Snapshot:
        """These rows, to be archived."""
        assert self.place is not None, "nothing has been read"
        return Snapshot(place=self.place, lsn=self.lsn, at=self.at, rows=self.ordered())
