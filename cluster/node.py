"""A storage node: its disk, the replicas it hosts, and the timers that drive them (shell)."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import msgspec

from cluster.archive import budget
from cluster.archive.hosting import Archive, NodeArchive
from cluster.control import catalogue
from cluster.disk import Disk
from cluster.fault_injection import FaultSet
from cluster.group import HostedGroup
from cluster.metrics import GroupView, NodeMetrics
from cluster.ports import ErrorKind, Evaluate, Partition, Table
from cluster.replication.messages import NO_BALLOT, PeerMessage, Recovered, SnapshotInstalled
from cluster.replication.replica import Replica
from cluster.replication.timing import Timing
from cluster.routing.messages import (
    Body,
    FetchSnapshot,
    NotLeader,
    ReadItem,
    ReadPage,
    ReadRange,
    Refused,
    Replicate,
    Routes,
    RoutesChanged,
    Row,
    SnapshotPart,
    WhatRoutes,
    WriteItem,
)
from cluster.storage.group_commit import GroupCommit
from cluster.storage.records import WalRecord, replay
from cluster.storage.snapshot import fetch_snapshot
from cluster.storage.table import CorruptItem, ItemTable, TableDamaged
from cluster.storage.wal import Wal
from cluster.table_keeping import TableKeeping
from cluster.transport import Hub, NoAnswer, Unreachable
from cluster.watch import Watch
from cluster.worker import Worker

logger = logging.getLogger("cluster")

TICK_SECONDS = 0.05
ROUTES_SECONDS = 1.0
COMMIT_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 5.0
COMPACT_BYTES = 8 * 1024 * 1024
"""The WAL is rewritten when it has grown so large (or twice as large as after the last time)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What a node is given once."""

    name: str
    zone: str
    memds: str
    timing: Timing
    catalogue: Table


class StorageNode:
    """Opened from its files, run until cancelled, closed or crashed; then a new one may be opened from the same files."""

    def __init__(
        self,
        settings: NodeSettings,
        *,
        hub: Hub,
        faults: FaultSet,
        evaluate: Evaluate,
        disk: Disk,
        worker: Worker,
        clock: Callable[[], float] = time.monotonic,
        watch: Watch | None = None,
        archive: Archive | None = None,
    ) -> None:
        self.name = settings.name
        self._settings, self._hub, self._faults, self._evaluate = settings, hub, faults, evaluate
        self._disk, self._clock, self._watch = disk, clock, watch
        self.metrics = NodeMetrics(settings.name, settings.zone, self.views)
        self.groups: dict[str, HostedGroup] = {}
        self.paused = False
        self._outgoing: dict[str, list[tuple[str, PeerMessage]]] = defaultdict(list)
        self._routes_version = -1
        self._look_for_routes = asyncio.Event()
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._durable: dict[str, int] = {}
        self._compacted_size = 0
        self._forgotten = 0
        wal = Wal(disk)
        recovery = wal.recover()
        self.items = ItemTable(disk)
        self.log = GroupCommit(wal, worker, took=self.metrics.fsync.observe, name=settings.name)
        self.keeping = TableKeeping(settings.name, items=self.items, log=self.log, disk=disk)
        self.lost = recovery.lost_among(self.items.groups())
        """Groups that may have lost promises or entries of theirs to a damaged disk."""
        self.rebuilding: set[str] = set()
        """Groups whose items are not those of their log, and need a snapshot."""
        wal.settle(self.lost)
        self._logs = replay(recovery.records)
        self.archive = self._make_archive(archive) if archive else None
        self._recover()

    # --- opening and closing --------------------------------------------------------------------------------------------

    def _make_archive(self, archive: Archive) -> NodeArchive:
        made = NodeArchive(
            self.name,
            archive,
            groups=self.groups,
            rows=self._all_rows,
            counts=self.metrics.archive,
            wal_bytes=lambda: self.log.size,
            clock=self._clock,
            stalled=lambda: self._faults.archive_stalled(self.name),
            resting=lambda: self.paused,
        )
        self.metrics.show_archive(made.views, lambda: made.spent)
        return made

    def _recover(self) -> None:
        own = self._settings.catalogue
        for partition in own.partitions:
            if self.name in partition.replicas and catalogue.GROUP not in self.items.groups():
                self.items.host(catalogue.GROUP, own)
        for group, table in self.items.groups().items():
            self._open(group, table)

    def _recovered(self, group: str) -> Recovered | None:
        log, applied = self._logs.pop(group, None), self.items.applied(group)
        if log is None:
            return None
        if log.misses(applied):
            logger.warning("%s has lost items of %s: a snapshot is needed", self.name, group)
            self.rebuilding.add(group)
        recovered = log.recovered(applied, self.items.members(group))
        if self.archive is not None:
            after = self.items.fact(_snapshot_fact(group))
            self.archive.recovered(group, log.entries, upto=recovered.first_lsn - 1, after=after)
        return recovered

    def _open(self, group: str, table: Table) -> None:
        recovered = self._recovered(group)
        partition = next(p for p in table.partitions if catalogue.group_of(table, p) == group)
        members = catalogue.members_of(partition)
        replica = Replica(group, self.name, members, self._settings.timing, recovered, self._clock())
        evaluate = catalogue.evaluate if group == catalogue.GROUP else self._evaluate
        hosted = HostedGroup(
            group,
            table=table,
            partition=partition,
            replica=replica,
            evaluate=evaluate,
            node=self,
            clock=self._clock,
            watch=self._watch,
        )
        self.groups[group] = hosted
        if self._watch is not None:
            self._watch.opened(hosted, recovered)

    async def run(self) -> None:
        """Serve until cancelled; raises :class:`TableDamaged` (in a group): close it then, and open it anew from its files."""
        self._hub.attach(self.name, self)
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (
                    self.log.run, self._tick, self._keep_hosting, self._keep_committing, self._keep_house, self.keeping.fall,
                ):  # fmt: skip
                    tasks.create_task(work())
                if self.archive is not None:
                    tasks.create_task(self.archive.run())
        finally:
            self._hub.detach(self.name)

    async def close(self, *, crash: bool = False) -> None:
        """Let go of the files; a ``crash`` loses what was neither fsynced nor committed. :meth:`run` must have ended."""
        for task in self._fetching.values():
            task.cancel()
        if self.archive is not None:
            await self.archive.close()
        await self.log.close(crash=crash)
        self.keeping.close(crash=crash)

    def condemn(self, reason: str) -> None:
        """The item table is damaged: the node is to be opened anew, with another one."""
        self.keeping.condemn(reason)

    def sheds_writes(self) -> bool:
        """Whether the log's budget is nearly spent, because the archive does not take it."""
        return self.archive is not None and self.archive.sheds

    def wall_clock(self) -> float:
        """UTC epoch seconds as this node believes."""
        return self._faults.wall_clock(self.name)

    # --- the transport's side -------------------------------------------------------------------------------------------

    def told(self, sender: str, body: Body) -> None:
        """Replication, or a nudge."""
        if isinstance(body, Replicate):
            for name, message in body.messages:
                if (group := self.groups.get(name)) is not None:
                    group.receive(sender, message)
        elif isinstance(body, RoutesChanged):
            self._look_for_routes.set()

    async def asked(self, sender: str, body: Body, deadline: float) -> Body:  # noqa: ARG002 (all askers are equal)
        """Answer a router, a MemDS node or another storage node."""
        try:
            return await self._answer(body, deadline)
        except CorruptItem as error:
            return Refused(ErrorKind.CORRUPT, str(error))
        except TableDamaged as error:
            self.condemn(str(error))
            return Refused(ErrorKind.CORRUPT, str(error))

    async def _answer(self, body: Body, deadline: float) -> Body:
        if isinstance(body, WhatRoutes):
            return self._routes(body.known)
        if not isinstance(body, ReadItem | ReadRange | ReadPage | WriteItem | FetchSnapshot):
            return Refused(ErrorKind.INTERNAL, "not a question for a storage node")
        group = self.groups.get(body.group)
        if group is None:
            if isinstance(body, FetchSnapshot) or not getattr(body, "strong", True):
                return Refused(ErrorKind.UNAVAILABLE, f"{self.name} does not host {body.group}")
            return NotLeader(None, "not_hosted")
        if isinstance(body, FetchSnapshot):
            rows, more = self.items.rows(body.group, body.after)
            return SnapshotPart(self.items.applied(body.group), rows, more)
        operation = "write" if isinstance(body, WriteItem) else "read"
        if self._faults.node_fails(self.name, operation, group.table.name):
            return group.refuse(body)
        return await group.answer(body, deadline)

    def _routes(self, known: int) -> Body:
        if catalogue.GROUP not in self.groups:
            return Refused(ErrorKind.UNAVAILABLE, "no catalogue here")
        version = self.items.applied(catalogue.GROUP)
        return Routes(version, None if version == known else self.tables())

    def tables(self) -> tuple[Table, ...]:
        """The catalogue as its replica here has it."""
        page = self.items.page(catalogue.GROUP, hash_=0, after=None, limit=None)
        return tuple(catalogue.table_in(msgspec.msgpack.decode(body)) for body in page.bodies)

    def send(self, to: str, group: str, message: PeerMessage) -> None:
        """Gather what goes to the same node during one turn of the loop."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing[to].append((group, message))

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, defaultdict(list)
        for to, messages in outgoing.items():
            self._hub.tell(self.name, to, Replicate(tuple(messages)))

    def applied(self, group: str) -> None:
        """The catalogue's changes are told to the zone's MemDS."""
        if group == catalogue.GROUP:
            self._hub.tell(self.name, self._settings.memds, RoutesChanged())

    # --- timers ---------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self.paused:
                continue
            at = self._clock()
            for group in list(self.groups.values()):
                group.tick(at)

    async def _keep_hosting(self) -> None:
        while True:
            with contextlib.suppress(Unreachable, NoAnswer):
                answer = await self._hub.ask(
                    self.name, self._settings.memds, WhatRoutes(self._routes_version), timeout_seconds=1.0
                )
                if isinstance(answer, Routes) and answer.tables is not None:
                    self.keeping.attempt(partial(self._take_routes, answer.version, answer.tables))
            self._look_for_routes.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_for_routes.wait(), ROUTES_SECONDS)

    def _take_routes(self, version: int, tables: tuple[Table, ...]) -> None:
        # A zone's catalogue may be behind what this node has acted upon: an old list must not drop a new table.
        if version < self.items.fact("routes_version"):
            return
        wanted = {
            catalogue.group_of(table, partition): (table, partition)
            for table in tables
            for partition in table.partitions
            if self.name in partition.replicas
        }
        for group in [g for g in self.groups if g not in wanted and g != catalogue.GROUP]:
            self._drop(group)
        for group, (table, partition) in wanted.items():
            self._host(group, table, partition)
        self.items.set_fact("routes_version", version)
        self._routes_version = version

    def _host(self, group: str, table: Table, partition: Partition) -> None:
        if group not in self.groups:
            logger.info("%s hosts %s (%s, partition %s)", self.name, group, table.name, partition.id)
            self.items.host(group, table)
            self.items.make_durable()
            self._open(group, table)

    def _drop(self, group: str) -> None:
        logger.info("%s drops %s", self.name, group)
        hosted = self.groups.pop(group)
        hosted.close()
        self.items.drop(group)
        self.lost.discard(group)
        self.rebuilding.discard(group)
        self.metrics.forget(hosted.table.name, hosted.partition.id)

    async def _keep_committing(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            if not self.paused:
                self.keeping.commit()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            if self.paused:
                continue
            if self.items.changed_since_durable:
                applied = {group: self.items.applied(group) for group in self.groups}
                if not self.keeping.commit() or not await self.keeping.make_durable():
                    continue
                self._durable = applied
            keep_after = {group: self._may_forget(group) for group in self.groups}
            if self._worth_compacting(sum(keep_after.values())):
                await self._compact(keep_after)

    def _may_forget(self, group: str) -> int:
        """The LSN up to which a group's log is needed by nobody: durable in the table, archived, and old."""
        durable = self._durable.get(group, 0)
        if self.archive is not None:
            return self.archive.may_forget(group, durable)
        return max(0, durable - budget.KEEP_ENTRIES)

    def _worth_compacting(self, forgettable: int) -> bool:
        """When the log has grown; and when much of its budget is spent, as soon as anything can go (the archive takes it again)."""
        if self.log.size > max(COMPACT_BYTES, 2 * self._compacted_size):
            return True
        return self.archive is not None and self.archive.is_tight and forgettable > self._forgotten

    async def _compact(self, keep_after: dict[str, int]) -> None:
        self._forgotten = sum(keep_after.values())
        for name, upto in keep_after.items():
            if name in self.groups:
                self.groups[name].replica.truncate(upto)
        self.log.compact(keep_after)
        await self.keeping.checkpoint()
        await self.log.settled()
        self._compacted_size = self.log.size
        logger.info("%s compacted its WAL to %d bytes", self.name, self._compacted_size)

    # --- snapshots ------------------------------------------------------------------------------------------------------

    def fetch(self, group: str, source: str) -> None:
        """Fetch a snapshot in the background, one at a time per group."""
        if group not in self._fetching:
            task = asyncio.get_running_loop().create_task(self._fetch(group, source))
            self._fetching[group] = task
            task.add_done_callback(lambda _: self._fetching.pop(group, None))

    async def _fetch(self, group: str, source: str) -> None:
        try:
            lsn, rows = await fetch_snapshot(self._hub, self.name, source, group)
        except (Unreachable, NoAnswer, ValueError) as error:
            logger.warning("%s could not fetch %s from %s: %s", self.name, group, source, error)
            return
        if group not in self.groups or lsn <= self.items.applied(group):
            return
        if not self.keeping.attempt(lambda: self._install(group, rows, lsn)):
            return
        if not await self.keeping.make_durable():
            return
        self.metrics.snapshots.inc()
        self.rebuilding.discard(group)
        logger.info("%s has %s from %s: %d items at LSN %d", self.name, group, source, len(rows), lsn)
        # From now on the log says that everything up to there is in the table: it will be noticed if the table loses it.
        self.log.add(WalRecord(group, NO_BALLOT, lsn, (), lsn), lambda: self._installed(group, lsn))

    def _install(self, group: str, rows: list[Row], lsn: int) -> None:
        # In one transaction: of the log up to here, nobody knows after a restart what was chosen and what was replaced.
        self.items.set_fact(_snapshot_fact(group), lsn)
        self.items.install(group, rows, lsn)

    def _all_rows(self, group: str) -> tuple[int, tuple[Row, ...]] | None:
        if group in self.rebuilding or self.groups[group].replica.log_only:
            return None
        found: list[Row] = []
        more, after = True, None
        while more:
            rows, more = self.items.rows(group, after)
            found += rows
            after = (rows[-1].hash, rows[-1].partition_key, rows[-1].sort_key) if rows else None
        return self.items.applied(group), tuple(found)

    def _installed(self, group: str, lsn: int) -> None:
        if group in self.groups:
            self.groups[group].step(SnapshotInstalled(lsn))

    # --- for people -----------------------------------------------------------------------------------------------------

    def views(self) -> list[GroupView]:
        """The state of every replica here."""
        return [group.view() for group in self.groups.values()]


def _snapshot_fact(group: str) -> str:
    return f"snapshot:{group}"
