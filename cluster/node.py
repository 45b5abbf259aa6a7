"""A storage node: its disk, the replicas it hosts, and the timers that drive them (shell)."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable
from functools import partial

import msgspec

from cluster.archive.hosting import Archive, NodeArchive
from cluster.control import catalogue
from cluster.control.autoadmin import Autoadmin
from cluster.control.healing import Patience
from cluster.disk import Disk
from cluster.fault_injection import FaultSet
from cluster.group import HostedGroup
from cluster.healer import Healer
from cluster.healing_metrics import HealingMetrics
from cluster.hosting import Replicas
from cluster.housekeeping import Housekeeping
from cluster.kept import Kept
from cluster.metrics import GroupView, NodeMetrics
from cluster.outgoing import Outgoing
from cluster.ports import ErrorKind, Evaluate, Item, Table, WriteRequest, WriteResult
from cluster.replication.membership import Config, names
from cluster.replication.messages import HandOver, NeedSnapshot, PeerMessage
from cluster.replication.timing import Timing
from cluster.routing.messages import (
    Body,
    Damaged,
    DropReplica,
    FetchSnapshot,
    FleetNow,
    HostReplica,
    MembersAre,
    NodeReport,
    NotLeader,
    ReadItem,
    ReadPage,
    ReadRange,
    Refused,
    Replicate,
    Routes,
    RoutesChanged,
    SnapshotPart,
    WhatDigest,
    WhatPrints,
    WhatRoutes,
    WhatRow,
    WriteItem,
)
from cluster.scrub.schedule import ScrubSettings
from cluster.scrub.scrub import Scrub
from cluster.storage.group_commit import GroupCommit
from cluster.storage.records import replay
from cluster.storage.table import CorruptItem, ItemTable, TableDamaged
from cluster.storage.wal import Wal
from cluster.table_keeping import TableKeeping
from cluster.transport import Hub, NoAnswer, Unreachable
from cluster.watch import Watch
from cluster.worker import Worker

logger = logging.getLogger("cluster")

TICK_SECONDS = 0.05
ROUTES_SECONDS = 1.0
REPORT_SECONDS = 1.0
HAND_OVER_SECONDS = 1.0
"""A planned stop waits so long for others to take over."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What a node is given once."""

    name: str
    zone: str
    memds: str
    timing: Timing
    catalogue: Table
    nodes: tuple[str, ...]
    """All storage nodes of the region: where replicas may go."""
    patience: Patience
    scrub: ScrubSettings = dataclasses.field(default_factory=ScrubSettings)


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
        self._settings, self._hub, self._faults, self._clock = settings, hub, faults, clock
        self.metrics = NodeMetrics(settings.name, settings.zone, self.views)
        self.paused = False
        self._outgoing = Outgoing(settings.name, hub)
        self._routes_version = -1
        self._fsyncs: list[float] = []
        self._look_for_routes = asyncio.Event()
        wal = Wal(disk)
        recovery = wal.recover()
        self.items = ItemTable(disk)
        self.log = GroupCommit(wal, worker, took=self._fsync_took, name=settings.name)
        self.keeping = TableKeeping(settings.name, items=self.items, log=self.log, disk=disk)
        self.lost = recovery.lost_among(self.items.groups())
        """Groups that may have lost promises or entries of theirs to a damaged disk."""
        wal.settle(self.lost)
        self.replicas = Replicas(
            self,
            hub=hub,
            timing=settings.timing,
            evaluate=lambda group: self._evaluate_catalogue if group == catalogue.GROUP else evaluate,
            logs=replay(recovery.records),
            clock=clock,
            watch=watch,
        )
        self.groups = self.replicas.groups
        self.archive = self._make_archive(archive) if archive else None
        self.scrub = Scrub(
            self, settings.scrub, hub=hub, groups=self.groups, archive=self.archive, clock=clock, resting=lambda: self.paused
        )  # fmt: skip
        self.replicas.recover(settings.catalogue)
        self._house = Housekeeping(
            settings.name, items=self.items, log=self.log, keeping=self.keeping, groups=self.groups,
            archive=self.archive, resting=lambda: self.paused,
        )  # fmt: skip
        self.autoadmin = Autoadmin(settings.name, hub=hub, groups=self.groups, nodes=settings.nodes, clock=clock)
        self.healer = self._make_healer()

    # --- opening and closing --------------------------------------------------------------------------------------------

    def _make_healer(self) -> Healer:
        return Healer(
            self.name,
            hub=self._hub,
            groups=self.groups,
            nodes=self._settings.nodes,
            autoadmin=self._settings.catalogue.partitions[0].replicas,
            patience=self._settings.patience,
            clock=self._clock,
            metrics=HealingMetrics(self.metrics.registry),
        )

    def _make_archive(self, archive: Archive) -> NodeArchive:
        made = NodeArchive(
            self.name,
            archive,
            groups=self.groups,
            rows=self.replicas.all_rows,
            counts=self.metrics.archive,
            wal_bytes=lambda: self.log.size,
            clock=self._clock,
            stalled=lambda: self._faults.archive_stalled(self.name),
            resting=lambda: self.paused,
        )
        self.metrics.show_archive(made.views, lambda: made.spent)
        return made

    async def run(self) -> None:
        """Serve until cancelled; raises :class:`TableDamaged` (in a group): close it then, and open it anew from its files."""
        self._hub.attach(self.name, self, at_once=self.answered_at_once)
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (
                    self.log.run, self._tick, self._keep_hosting, self.keeping.fall,
                    self._house.run,
                    self._keep_reporting, self.autoadmin.run, self._heal, self.scrub.run,
                ):  # fmt: skip
                    tasks.create_task(work())
                if self.archive is not None:
                    tasks.create_task(self.archive.run())
        finally:
            self._hub.detach(self.name)

    async def hand_over(self) -> None:
        """Give up leadership of every group, as far as others can take it, before a planned stop: nobody waits for a lease then."""
        at = self._clock()
        leads = [group for group in self.groups.values() if group.leads()]
        for group in leads:
            health = group.replica.health(at)
            able = [node for node, peer in health.peers.items() if peer.holds_items] if health is not None else []
            if health is not None and able:
                successor = min(able, key=lambda node: (health.peers[node].silent_seconds, node))
                group.step(HandOver(successor))
        give_up_at = at + HAND_OVER_SECONDS
        while any(group.leads() for group in leads) and self._clock() < give_up_at:
            await asyncio.sleep(TICK_SECONDS)

    async def close(self, *, crash: bool = False) -> None:
        """Let go of the files; a ``crash`` loses what was neither fsynced nor committed. :meth:`run` must have ended."""
        self.replicas.close()
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

    def _up(self, name: str) -> HostedGroup | None:
        """The replica of this group here, unless a fault holds it down."""
        group = self.groups.get(name)
        down = group is not None and self._faults.replica_down(self.name, group.table.name, group.partition.id)
        return None if down else group

    def told(self, sender: str, body: Body) -> None:
        """Replication, or a nudge."""
        if isinstance(body, Replicate):
            for name, message in body.messages:
                if (group := self._up(name)) is not None:
                    group.receive(sender, message)
        elif isinstance(body, RoutesChanged):
            self._look_for_routes.set()
        elif isinstance(body, FleetNow):
            self.healer.fleet_is(body)
            self.keeping.attempt(partial(self.replicas.catalogue_is, body.catalogue, body.config_lsn))
        elif isinstance(body, NodeReport):
            self.autoadmin.reported(body)
        elif isinstance(body, MembersAre):
            self.autoadmin.told(body)
        elif isinstance(body, Damaged):
            self.scrub.told(body)
        elif isinstance(body, DropReplica):
            self.keeping.attempt(partial(self.replicas.dropped, body))

    def answered_at_once(self, body: Body) -> Body | None:
        """The answer to a read of one item, which nothing has to be waited for; None: it is to be asked in the usual way."""
        if type(body) is not ReadItem or (group := self._up(body.group)) is None:
            return None
        if self._faults.node_fails(self.name, "read", group.table.name):
            return group.requests.refuse(body)
        return group.requests.answer_at_once(body)

    async def asked(self, sender: str, body: Body, deadline: float) -> Body:  # noqa: ARG002 (all askers are equal)
        """Answer a router, a MemDS node or another storage node."""
        try:
            return await self._answer(body, deadline)
        except CorruptItem as error:
            self.scrub.met(getattr(body, "group", catalogue.GROUP), error)
            return Refused(ErrorKind.CORRUPT, str(error))
        except TableDamaged as error:
            self.condemn(str(error))
            return Refused(ErrorKind.CORRUPT, str(error))

    async def _answer(self, body: Body, deadline: float) -> Body:
        if isinstance(body, WriteItem) and (group := self._up(body.group)) is not None:
            return await self._asked_of(group, body, deadline)
        if isinstance(body, WhatRoutes):
            return self._routes(body.known)
        if isinstance(body, HostReplica):
            return await self.replicas.host(body)
        if isinstance(body, WhatDigest | WhatPrints | WhatRow):
            return await self.scrub.answer(body, deadline)
        if not isinstance(body, ReadItem | ReadRange | ReadPage | WriteItem | FetchSnapshot):
            return Refused(ErrorKind.INTERNAL, "not a question for a storage node")
        group = self._up(body.group)
        if group is None:
            if isinstance(body, FetchSnapshot) or not getattr(body, "strong", True):
                return Refused(ErrorKind.UNAVAILABLE, f"{self.name} does not host {body.group}")
            return NotLeader(None, "not_hosted")
        if isinstance(body, FetchSnapshot):
            return self._snapshot_part(group, body)
        return await self._asked_of(group, body, deadline)

    async def _asked_of(
        self, group: HostedGroup, body: ReadItem | ReadRange | ReadPage | WriteItem, deadline: float
    ) -> Body:
        operation = "write" if isinstance(body, WriteItem) else "read"
        if self._faults.node_fails(self.name, operation, group.table.name):
            return group.requests.refuse(body)
        return await group.answer(body, deadline)

    def _snapshot_part(self, group: HostedGroup, body: FetchSnapshot) -> Body:
        applied, config = group.replica.applied_lsn, Config(group.replica.members, group.replica.config_lsn)
        if not body.items:
            return SnapshotPart(applied, (), more=False, config=config)
        if group.kept is not Kept.ITEMS:
            return Refused(ErrorKind.UNAVAILABLE, f"{self.name} has no items of {body.group}")
        rows, more = self.items.rows(body.group, body.after)
        return SnapshotPart(self.items.applied(body.group), rows, more, config)

    def _routes(self, known: int) -> Body:
        replica = self.groups.get(catalogue.GROUP)
        if replica is None or replica.kept is not Kept.ITEMS or not replica.replica.votes:
            # A log replica, or one whose items are still to come, would say that there are no tables, and be believed.
            return Refused(ErrorKind.UNAVAILABLE, "no catalogue here")
        version = self.items.applied(catalogue.GROUP)
        return Routes(version, None if version == known else self.tables())

    def tables(self) -> tuple[Table, ...]:
        """The catalogue as its replica here has it."""
        page = self.items.page(catalogue.GROUP, hash_=0, after=None, limit=None)
        return tuple(catalogue.table_in(msgspec.msgpack.decode(body)) for body in page.bodies)

    def send(self, to: str, group: str, message: PeerMessage) -> None:
        """Pass a message to the replica of ``group`` on another node."""
        self._outgoing.send(to, group, message)

    def applied(self, group: str) -> None:
        """The catalogue's changes are told to the zone's MemDS."""
        if group == catalogue.GROUP:
            self._hub.tell(self.name, self._settings.memds, RoutesChanged())

    def members_changed(self, group: HostedGroup) -> None:
        """A change of members was committed here; the next look of the healer tells autoadmin."""
        logger.info("%s: %s consists of %s", self.name, group.name, ", ".join(names(group.replica.members)))

    # --- timers ---------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self.paused:
                continue
            at = self._clock()
            for group in filter(None, map(self._up, list(self.groups))):
                group.tick(at)
            self._outgoing.hurry()

    async def _heal(self) -> None:
        await self.healer.run(lambda: self.paused)

    async def _keep_reporting(self) -> None:
        while True:
            if not self.paused:
                took, self._fsyncs = self._fsyncs, []
                mean = sum(took) / len(took) if took else 0.0
                report = NodeReport(self.name, self._settings.zone, len(self.groups), mean)
                for node in self._settings.catalogue.partitions[0].replicas:
                    self._hub.tell(self.name, node, report)
                self.replicas.rebuild()
            await asyncio.sleep(REPORT_SECONDS)

    def _fsync_took(self, seconds: float) -> None:
        self.metrics.fsync.observe(seconds)
        self._fsyncs.append(seconds)

    def _evaluate_catalogue(self, request: WriteRequest, table: Table, old: Item | None) -> WriteResult:
        """As the catalogue does, with new partitions placed by autoadmin, which is here if the write is."""
        return catalogue.evaluate(request, table, old, fleet=self.healer.fleet())

    async def _keep_hosting(self) -> None:
        while True:
            with contextlib.suppress(Unreachable, NoAnswer):
                answer = await self._hub.ask(
                    self.name, self._settings.memds, WhatRoutes(self._routes_version), timeout_seconds=1.0
                )
                if isinstance(answer, Routes) and answer.tables is not None:
                    self.keeping.attempt(partial(self._take_routes, answer.version, answer.tables))
            self._look_for_routes.clear()
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes just when the event does.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUTES_SECONDS):
                    await self._look_for_routes.wait()

    def _take_routes(self, version: int, tables: tuple[Table, ...]) -> None:
        # A zone's catalogue may be behind what this node has acted upon: an old list must not drop a new table.
        if version < self.items.fact("routes_version"):
            return
        # Written down before anything is hosted: after a power-off, no older list may drop what was hosted by this one.
        self.items.set_fact("routes_version", version)
        self.replicas.take_routes(tables)
        self._routes_version = version

    # --- snapshots ------------------------------------------------------------------------------------------------------

    def fetch(self, group: str, need: NeedSnapshot) -> None:
        """Fetch a snapshot in the background."""
        self.replicas.fetch(group, need)

    # --- for people -----------------------------------------------------------------------------------------------------

    def views(self) -> list[GroupView]:
        """The state of every replica here."""
        return [group.view() for group in self.groups.values()]
