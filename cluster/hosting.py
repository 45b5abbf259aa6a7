"""The replicas of one storage node: founded, taught, rebuilt and dropped (shell).

A replica comes to a node in two ways only: its table is new and the routes name the node (it takes part in the founding of its group), or
the group's leader asks for it (it is taught the log, and becomes a member by a change of members). A node that finds itself named
without remembering anything does not vote (``cluster.replication``), so a disk that was swapped does no harm.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial as bind
from typing import Protocol

import msgspec

from cluster.control import catalogue
from cluster.group import HostedGroup
from cluster.kept import Kept
from cluster.metrics import NodeMetrics
from cluster.ports import ErrorKind, Evaluate, Partition, Table
from cluster.replication.membership import Config, Members, names, storage
from cluster.replication.messages import NO_BALLOT, NeedSnapshot, Recovered, SnapshotInstalled
from cluster.replication.replica import Replica
from cluster.replication.timing import Timing
from cluster.routing.messages import Body, DropReplica, Hosting, HostReplica, Refused, Row
from cluster.storage.group_commit import GroupCommit
from cluster.storage.records import GroupLog, WalRecord
from cluster.storage.snapshot import Snapshot, fetch_snapshot
from cluster.storage.table import ItemTable
from cluster.table_keeping import TableKeeping
from cluster.transport import Hub, NoAnswer, Unreachable
from cluster.watch import Watch

logger = logging.getLogger("cluster")

_DISK_REFUSES = "the disk refuses a new replica"
FORGOTTEN_SECONDS = 30.0
"""A replica that the routes do not name, and that has heard no leader for so long, is dropped."""


class HostingNode(Protocol):
    """The node around its replicas."""

    name: str
    items: ItemTable
    log: GroupCommit
    keeping: TableKeeping
    metrics: NodeMetrics
    lost: set[str]


class Replicas:
    """See the module. ``groups`` is what the node answers with."""

    def __init__(
        self,
        node: HostingNode,
        *,
        hub: Hub,
        timing: Timing,
        evaluate: Callable[[str], Evaluate],
        logs: dict[str, GroupLog],
        clock: Callable[[], float],
        watch: Watch | None,
    ) -> None:
        self._node, self._hub, self._timing, self._evaluate = node, hub, timing, evaluate
        self._logs, self._clock, self._watch = logs, clock, watch
        self.groups: dict[str, HostedGroup] = {}
        self.rebuilding: set[str] = set()
        """Groups whose items are not those of their log, and need a snapshot."""
        self._fetching: dict[str, asyncio.Task[None]] = {}

    # --- opening --------------------------------------------------------------------------------------------------------

    def recover(self, founding: Table) -> None:
        """Open everything that the files tell of; ``founding``: the catalogue's table, which is there from the start."""
        items = self._node.items
        for partition in founding.partitions:
            if self._node.name in partition.replicas and catalogue.GROUP not in items.groups():
                items.host(catalogue.GROUP, founding)
        for group, table in items.groups().items():
            self._open(group, table)

    def _open(self, group: str, table: Table) -> None:
        partition = next(p for p in table.partitions if catalogue.group_of(table, p) == group)
        recovered, lost = self._recovered(group)
        logs_only = self._node.items.fact(_log_only(group)) > 0
        replica = Replica(
            group,
            self._node.name,
            catalogue.members_of(partition),
            self._timing,
            recovered,
            self._clock(),
            log_only=logs_only or group in self.rebuilding,
            lost=lost,
        )
        hosted = HostedGroup(
            group,
            table=table,
            partition=partition,
            replica=replica,
            evaluate=self._evaluate(group),
            node=self._node,  # type: ignore[arg-type]  # a storage node is both
            clock=self._clock,
            watch=self._watch,
        )
        hosted.kept = Kept.LOG if logs_only else Kept.NOTHING if group in self.rebuilding else Kept.ITEMS
        self.groups[group] = hosted
        if self._watch is not None:
            self._watch.opened(hosted, recovered)

    def _recovered(self, group: str) -> tuple[Recovered | None, bool]:
        """What the replica remembers, and whether it has lost something."""
        log, items = self._logs.pop(group, None), self._node.items
        applied, config = items.applied(group), items.config(group)
        if log is None:
            taught = bool(config.members) and self._node.name not in names(config.members)
            newcomer = self._newcomer(group, config) if taught and not applied else None
            return newcomer, applied > 0 or group in self._node.lost
        # What a log replica has followed looks like what a table has applied: that its items never came has to be remembered.
        if (log.misses(applied) and not items.fact(_log_only(group))) or items.fact(_lacks_items(group)):
            logger.warning("%s has lost items of %s: a snapshot is needed", self._node.name, group)
            self.rebuilding.add(group)
        recovered = log.recovered(applied, config, ballot=items.ballot(group), after=items.fact(snapshot_fact(group)))
        return msgspec.structs.replace(recovered, born=items.fact(_born(group))), group in self._node.lost

    def _newcomer(self, group: str, config: Config) -> Recovered:
        born = self._node.items.fact(_born(group))
        return Recovered(NO_BALLOT, 0, (), members=config.members, config_lsn=config.lsn, born=born)

    # --- the leader's word ----------------------------------------------------------------------------------------------

    async def host(self, order: HostReplica) -> Body:
        """Keep a replica that a leader is going to teach. One that has lost its past, or never had one, begins anew."""
        known = self.groups.get(order.group)
        if known is not None and (known.replica.votes or known.replica.last_lsn) and order.group not in self._node.lost:
            if not order.member.log_only and not self._node.keeping.attempt(bind(self._want_items, known)):
                return Refused(ErrorKind.DISK_FULL, _DISK_REFUSES)
            return Hosting(known.replica.born)
        if known is not None and not self._node.keeping.attempt(bind(self.drop, order.group)):
            return Refused(ErrorKind.DISK_FULL, _DISK_REFUSES)
        if not self._node.keeping.attempt(bind(self._begin, order)) or not await self._node.keeping.make_durable():
            return Refused(ErrorKind.DISK_FULL, _DISK_REFUSES)
        begun = asyncio.get_running_loop().create_future()
        self._node.log.add(WalRecord(order.group, NO_BALLOT, 0, lost=False), lambda: begun.set_result(None))
        await begun
        if order.group not in self.groups:
            self._node.lost.discard(order.group)
            logger.info("%s hosts %s to be taught", self._node.name, order.group)
            self._open(order.group, order.table)
        return Hosting(order.config_lsn)

    def _begin(self, order: HostReplica) -> None:
        items = self._node.items
        items.host(order.group, order.table)
        items.set_fact(_log_only(order.group), int(order.member.log_only))
        items.set_fact(_born(order.group), order.config_lsn)
        items.set_config(order.group, Config(order.members, order.config_lsn))
        items.commit()

    def _want_items(self, known: HostedGroup) -> None:
        """A log replica is to become a storage replica: its items come by snapshot."""
        if self._node.items.fact(_log_only(known.name)):
            self._node.items.set_fact(_log_only(known.name), 0)
            self._node.items.set_fact(_lacks_items(known.name), 1)
            self.rebuilding.add(known.name)
            known.kept = Kept.NOTHING

    def dropped(self, order: DropReplica) -> None:
        """A leader says that this node is no member any more, as of a change that is newer than what is known here."""
        known = self.groups.get(order.group)
        if known is not None and known.replica.config_lsn <= order.config_lsn:
            self.drop(order.group)

    def catalogue_is(self, members: tuple[str, ...], config_lsn: int) -> None:
        """Who belongs to the catalogue's group: a replica that was removed while it was away is not kept for ever."""
        known = self.groups.get(catalogue.GROUP)
        if known is None or self._node.name in (*members, *known.partition.replicas):
            return
        if config_lsn > known.replica.config_lsn and known.silent_seconds() > FORGOTTEN_SECONDS:
            self.drop(known.name)

    # --- the routes -----------------------------------------------------------------------------------------------------

    def take_routes(self, tables: tuple[Table, ...]) -> None:
        """Found what is new, drop what is gone, and take each partition's definition as it is now."""
        wanted = {catalogue.group_of(t, p): (t, p) for t in tables for p in t.partitions}
        for group in [g for g in self.groups if g not in wanted and g != catalogue.GROUP]:
            self.drop(group)
        for group, (table, partition) in wanted.items():
            known = self.groups.get(group)
            if known is not None:
                self._compare(known, table, partition)
            elif self._node.name in partition.replicas and partition.epoch == 0:
                logger.info("%s hosts %s (%s, partition %s)", self._node.name, group, table.name, partition.id)
                self._node.items.host(group, table)
                self._node.items.make_durable()
                self._open(group, table)

    def _compare(self, known: HostedGroup, table: Table, partition: Partition) -> None:
        known.table, known.partition = table, partition
        replica = known.replica
        named = self._node.name in (*partition.replicas, *partition.log_replicas)
        if not named and partition.epoch > replica.config_lsn and known.silent_seconds() > FORGOTTEN_SECONDS:
            self.drop(known.name)

    def drop(self, group: str) -> None:
        """Keep a replica no longer. Nothing is changed when the disk refuses."""
        for fact in (_log_only(group), _born(group), _lacks_items(group)):
            self._node.items.set_fact(fact, 0)
        self._node.items.drop(group)
        logger.info("%s drops %s", self._node.name, group)
        hosted = self.groups.pop(group)
        hosted.close()
        if self._watch is not None:
            self._watch.dropped(hosted)
        self._node.lost.discard(group)
        self.rebuilding.discard(group)
        self._node.metrics.forget(hosted.table.name, hosted.partition.id)

    # --- snapshots ------------------------------------------------------------------------------------------------------

    def rebuild(self) -> None:
        """Ask for the items of groups that have lost theirs; called now and then."""
        for group in sorted(self.rebuilding & self.groups.keys()):
            source = self._source(self.groups[group].replica.members, self.groups[group].replica.leader_hint)
            if source is not None:
                self.fetch(group, NeedSnapshot(source, 0))

    def _source(self, members: Members, leader: str | None) -> str | None:
        others = [node for node in storage(members) if node != self._node.name]
        return leader if leader in others else next(iter(others), None)

    def fetch(self, group: str, need: NeedSnapshot) -> None:
        """Fetch a snapshot in the background, one at a time per group; a log replica needs none and goes on after the LSN."""
        if group in self._fetching:
            return
        task = asyncio.get_running_loop().create_task(self._fetch(group, need))
        self._fetching[group] = task
        task.add_done_callback(lambda _: self._fetching.pop(group, None))

    async def _fetch(self, group: str, need: NeedSnapshot) -> None:
        node, hosted = self._node, self.groups[group]
        with_items = need.members is None or group in self.rebuilding
        try:
            snapshot = await fetch_snapshot(self._hub, node.name, need.source, group, items=with_items)
        except (Unreachable, NoAnswer, ValueError) as error:
            logger.warning("%s could not fetch %s from %s: %s", node.name, group, need.source, error)
            return
        lsn = snapshot.lsn if with_items else need.lsn
        # Items that are not there yet may come as of an LSN that the log has passed: they are brought up to it.
        older = lsn <= node.items.applied(group) and group not in self.rebuilding
        wanted = with_items or group not in self.rebuilding
        if self.groups.get(group) is not hosted or older or not wanted or lsn < hosted.replica.first_lsn - 1:
            return
        install = bind(self._install, group, lsn, snapshot, with_items=with_items)
        if not node.keeping.attempt(install) or not await node.keeping.make_durable():
            return
        node.metrics.snapshots.inc()
        logger.info("%s has %s from %s: %d items at LSN %d", node.name, group, need.source, len(snapshot.rows), lsn)
        # From now on the log says that everything up to there is in the table: it will be noticed if the table loses it.
        installed = bind(self._installed, hosted, lsn, snapshot.config, with_items=with_items)
        node.log.add(WalRecord(group, NO_BALLOT, lsn, (), lsn), installed)

    def _install(self, group: str, lsn: int, snapshot: Snapshot, *, with_items: bool) -> None:
        # In one transaction: of the log up to here, nobody knows after a restart what was chosen and what was replaced.
        self._node.items.set_fact(snapshot_fact(group), lsn)
        self._node.items.install(group, snapshot.rows, lsn, snapshot.config)
        if with_items:
            self._node.items.set_fact(_lacks_items(group), 0)

    def _installed(self, hosted: HostedGroup, lsn: int, config: Config, *, with_items: bool) -> None:
        if self.groups.get(hosted.name) is not hosted:
            return
        hosted.step(SnapshotInstalled(lsn, config.members))
        goes_on = hosted.replica.first_lsn <= self._node.items.applied(hosted.name) + 1
        if hosted.name in self.rebuilding and with_items and goes_on:
            self.rebuilding.discard(hosted.name)
            hosted.has_items()

    def all_rows(self, group: str) -> tuple[int, tuple[Row, ...]] | None:
        """All rows of a group here, and the LSN they are as of; None when there are none (a log replica)."""
        if self.groups[group].kept is not Kept.ITEMS:
            return None
        found: list[Row] = []
        more, after = True, None
        while more:
            rows, more = self._node.items.rows(group, after)
            found += rows
            after = (rows[-1].hash, rows[-1].partition_key, rows[-1].sort_key) if rows else None
        return self._node.items.applied(group), tuple(found)

    def close(self) -> None:
        """Ask for nothing any more."""
        for task in self._fetching.values():
            task.cancel()


def snapshot_fact(group: str) -> str:
    """The fact that remembers the LSN of the last snapshot that was installed for ``group``."""
    return f"snapshot:{group}"


def _born(group: str) -> str:
    return f"born:{group}"


def _lacks_items(group: str) -> str:
    """The fact that the replica's items are still to be fetched."""
    return f"lacks_items:{group}"


def _log_only(group: str) -> str:
    return f"log_only:{group}"
