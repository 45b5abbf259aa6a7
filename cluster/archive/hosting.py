"""The archive as a storage node uses it: its agent, what may be truncated, and the budget of its log (shell)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from cluster.archive import budget
from cluster.archive.agent import ArchiveAgent, ArchiveView, Counts
from cluster.archive.decision import Limits
from cluster.archive.reading import rebuild
from cluster.archive.reference import Reference, Until
from cluster.archive.segment import Place
from cluster.archive.snapshots import Snapshots
from cluster.archive.store import ArchiveUnavailable, ObjectStore
from cluster.config import ArchiveConfig
from cluster.ports import Partition, Table
from cluster.replication.messages import Entry
from cluster.replication.replica import Replica
from cluster.routing.messages import Row
from cluster.worker import Worker

T = TypeVar("T")
Rows = Callable[[str], tuple[int, tuple[Row, ...]] | None]
"""All rows of a group here, and the LSN they are as of; None when there are none (a log replica)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What a node is given to archive with. ``worker``: for encoding and checking; ``wall``: UTC seconds."""

    store: ObjectStore
    worker: Worker
    config: ArchiveConfig
    wall: Callable[[], float]


class Hosted(Protocol):
    """A replica with its table, as a node hosts it."""

    name: str
    table: Table
    partition: Partition
    replica: Replica

    def leads(self) -> bool:
        """Whether it leads its group now."""
        ...


class HostedSource:
    """A hosted replica as the agent sees it."""

    def __init__(self, hosted: Hosted, rows: Rows) -> None:
        self._hosted, self._rows = hosted, rows

    @property
    def place(self) -> Place:
        """See :class:`cluster.archive.agent.Source`."""
        table, partition = self._hosted.table, self._hosted.partition
        return Place(
            table=table.name,
            partition=partition.id,
            group=self._hosted.name,
            start=partition.start,
            end=partition.end,
        )

    @property
    def leads(self) -> bool:
        """See :class:`cluster.archive.agent.Source`."""
        return self._hosted.leads()

    @property
    def first(self) -> int:
        """See :class:`cluster.archive.agent.Source`."""
        return self._hosted.replica.first_lsn

    @property
    def committed(self) -> int:
        """See :class:`cluster.archive.agent.Source`."""
        return self._hosted.replica.commit_lsn

    def between(self, first: int, last: int) -> tuple[Entry, ...]:
        """See :class:`cluster.archive.agent.Source`."""
        return self._hosted.replica.entries(first, last)

    def rows(self) -> tuple[int, tuple[Row, ...]] | None:
        """See :class:`cluster.archive.agent.Source`."""
        return self._rows(self._hosted.name)


class NodeArchive:
    """One for each storage node that archives; :meth:`run` beside the node's other tasks."""

    def __init__(
        self,
        node: str,
        archive: Archive,
        *,
        groups: Mapping[str, Hosted],
        rows: Rows,
        counts: Counts,
        wal_bytes: Callable[[], int],
        clock: Callable[[], float],
        stalled: Callable[[], bool],
        resting: Callable[[], bool],
    ) -> None:
        config = archive.config
        self._groups, self._rows, self._wal_bytes, self._budget = groups, rows, wal_bytes, config.wal_budget_bytes
        self._worker, self._store, self._stalled = archive.worker, archive.store, stalled
        self._agent = ArchiveAgent(
            node,
            store=archive.store,
            worker=archive.worker,
            limits=Limits(
                seal_seconds=config.seal_seconds, seal_bytes=config.seal_bytes, seal_entries=config.seal_entries
            ),
            snapshots=Snapshots(
                archive.worker,
                every=config.snapshot_segments,
                retention_days=config.retention_days,
                wall=archive.wall,
            ),
            sources=self._sources,
            counts=counts,
            clock=clock,
            stalled=stalled,
            resting=resting,
        )

    def _sources(self) -> list[HostedSource]:
        return [HostedSource(hosted, self._rows) for hosted in self._groups.values()]

    def may_forget(self, group: str, durable: int) -> int:
        """The LSN up to which the log may be truncated; ``durable``: applied to the items and fsynced."""
        return max(0, min(durable - budget.kept_entries(self.spent), self._agent.archived_lsn(group)))

    @property
    def spent(self) -> float:
        """The share of the log's budget that is spent."""
        return budget.ratio(self._wal_bytes(), self._budget)

    @property
    def is_tight(self) -> bool:
        """Whether so much of it is spent that everything goes which may go."""
        return budget.kept_entries(self.spent) < budget.KEEP_ENTRIES

    @property
    def sheds(self) -> bool:
        """Whether writes are to be refused because the archive does not take the log."""
        return budget.sheds(self.spent)

    def views(self) -> Iterable[ArchiveView]:
        """Every replica here, for metrics and people."""
        return self._agent.views()

    async def reference(self, group: str, lsn: int) -> Reference:
        """The rows of a group hosted here as of ``lsn``, from the archive, and above it from the log here.

        Raises :class:`~cluster.archive.damage.Damage` and :class:`ArchiveUnavailable`.
        """
        if self._stalled():
            raise ArchiveUnavailable("a fault keeps the archive away")
        until = Until(lsn=lsn)
        found = await rebuild(self._store, group, self._worker, until)
        if found.lsn < lsn:
            if group not in self._groups:
                raise ArchiveUnavailable(f"{group} was dropped here meanwhile")
            source = HostedSource(self._groups[group], self._rows)
            entries = source.between(found.lsn + 1, lsn)
            if not entries or (entries[0].lsn, entries[-1].lsn) != (found.lsn + 1, lsn):
                raise ArchiveUnavailable(f"it ends at LSN {found.lsn}, and the log here does not go on from there")
            await self._worker.run(lambda: found.fold(entries, until))
        return found

    async def in_worker(self, work: Callable[[], T]) -> T:
        """Do other work that takes long beside the event loop, in turn."""
        return await self._worker.run(work)

    async def run(self) -> None:
        """Archive until cancelled."""
        await self._agent.run()

    async def close(self) -> None:
        """Take no more work."""
        await self._worker.close()
