"""What a storage node does for the groups that it leads: heal them, and say who belongs to them (shell).

The decisions are ``cluster.control.healing``'s. One task at a time for each group; the members are changed through the group's own log.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cluster.control import catalogue, healing
from cluster.control.healing import FleetNode, GroupState, Patience
from cluster.group import HostedGroup
from cluster.healing_metrics import HealingMetrics
from cluster.ports import Partition
from cluster.replication.health import Health
from cluster.replication.membership import Member, names, storage
from cluster.replication.messages import Accepted, HandOver, StopTeaching, Teach
from cluster.routing.messages import DropReplica, FleetNow, Hosting, HostReplica, MembersAre
from cluster.topology import zone_of
from cluster.transport import Hub, NoAnswer, Unreachable

logger = logging.getLogger("cluster")

LOOK_SECONDS = 0.25
TELL_SECONDS = 1.0
"""autoadmin is told the members so often, until the routes say what was told."""
HOST_SECONDS = 2.0
AGAIN_SECONDS = 2.0
"""What was tried in vain is tried again after so long."""
DROP_AFTER_SECONDS = 15.0
"""A removed replica is dropped so long afterwards: by then every item table has durably reached the change (``cluster.housekeeping``)."""
REFUSED_SECONDS = 5.0
"""A node that would not take a replica is not asked again for so long."""
FLEET_SECONDS = 10.0
"""The last word of autoadmin counts for so long; after that every node is taken to be alive until it refuses."""


@dataclass(slots=True)
class _Memory:
    """What is known of one led group from look to look. Times are the node's monotonic seconds."""

    learning: dict[str, Member] = field(default_factory=dict)
    lacking_since: float | None = None
    degraded_since: float | None = None
    told_at: float = float("-inf")
    action: healing.Action | None = None
    acted_at: float = float("-inf")


class Healer:
    """``nodes``: all storage nodes of the region; ``autoadmin``: where it may run."""

    def __init__(
        self,
        node: str,
        *,
        hub: Hub,
        groups: Mapping[str, HostedGroup],
        nodes: tuple[str, ...],
        autoadmin: tuple[str, ...],
        patience: Patience,
        clock: Callable[[], float],
        metrics: HealingMetrics,
    ) -> None:
        self._node, self._hub, self._groups, self._clock, self._metrics = node, hub, groups, clock, metrics
        self._nodes, self._autoadmin, self._patience = nodes, autoadmin, patience
        self._memory: dict[str, _Memory] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[str, float] = {}
        self._fleet: dict[str, FleetNode] = {}
        self._fleet_at = float("-inf")

    def fleet_is(self, now: FleetNow) -> None:
        """Autoadmin's word."""
        self._fleet = {name: FleetNode(zone, alive, slow, groups) for name, zone, alive, slow, groups in now.nodes}
        self._fleet_at = self._clock()

    def fleet(self) -> Mapping[str, FleetNode]:
        """The storage nodes as places for replicas, as far as is known here."""
        at = self._clock()
        known = self._fleet if at - self._fleet_at < FLEET_SECONDS else {}
        fleet = {name: known.get(name) or FleetNode(zone_of(name), alive=not known) for name in self._nodes}
        refused = [name for name, until in self._refused.items() if until > at]
        return fleet | {name: FleetNode(fleet[name].zone, alive=False) for name in refused}

    async def run(self, paused: Callable[[], bool]) -> None:
        """Look at every led group again and again, until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                if not paused():
                    self._look()
        finally:
            for task in self._busy.values():
                task.cancel()

    def _look(self) -> None:
        at, fleet = self._clock(), None
        for name, group in list(self._groups.items()):
            health = group.replica.health(at) if group.leads() else None
            if health is None:
                self._forget(name)
                continue
            fleet = fleet if fleet is not None else self.fleet()
            self._consider(group, health, fleet, at)
        for name in sorted(self._memory.keys() - self._groups.keys()):
            self._forget(name)

    def _forget(self, name: str) -> None:
        if self._memory.pop(name, None) is not None:
            self._metrics.forget(name)

    def _consider(self, group: HostedGroup, health: Health, fleet: Mapping[str, FleetNode], at: float) -> None:
        memory = self._memory.setdefault(group.name, _Memory())
        self._note(group, memory, healing.state(health, fleet, self._patience), health, at)
        self._tell(group, memory, at)
        if group.name in self._busy:
            return
        situation = healing.Situation(
            leader=self._node,
            zones=order_of(group.partition),
            health=health,
            learning=memory.learning,
            fleet=self._places(group, health, fleet),
            lacking_seconds=at - memory.lacking_since if memory.lacking_since is not None else 0.0,
            patience=self._patience,
        )
        action = healing.decide(situation)
        if action is not None and (action != memory.action or at - memory.acted_at > AGAIN_SECONDS):
            memory.action, memory.acted_at = action, at
            logger.info("%s heals %s: %s", self._node, group.name, action)
            task = asyncio.get_running_loop().create_task(self._carry_out(group, memory, action))
            self._busy[group.name] = task
            task.add_done_callback(lambda _: self._busy.pop(group.name, None))

    def _places(self, group: HostedGroup, health: Health, fleet: Mapping[str, FleetNode]) -> Mapping[str, FleetNode]:
        """The catalogue's items stay where everybody looks for them; any node may be its log replica, which comes first."""
        if group.name != catalogue.GROUP:
            return fleet
        home = group.partition.replicas
        logs = len(health.members) - len(healing.bad(health, fleet, self._patience))
        rebuilding = len(storage(health.members)) < healing.COPIES <= logs
        return {name: node for name, node in fleet.items() if name in home or not rebuilding}

    def _note(self, group: HostedGroup, memory: _Memory, state: GroupState, health: Health, at: float) -> None:
        """Since when something is missing; and how long it took to mend it."""
        lacking = len(storage(health.members)) < healing.COPIES
        if lacking and memory.lacking_since is None:
            memory.lacking_since = at
        if state is GroupState.DEGRADED and memory.degraded_since is None:
            silent = [
                p.silent_seconds for p in health.peers.values() if p.silent_seconds > self._patience.dead_after_seconds
            ]
            memory.degraded_since = at - max(silent, default=0.0)
        if state is not GroupState.DEGRADED and memory.degraded_since is not None:
            self._metrics.log_healed(at - memory.degraded_since)
            logger.info("%s: %s has three logs after %.1f s", self._node, group.name, at - memory.degraded_since)
            memory.degraded_since = None
        if state is GroupState.HEALTHY and memory.lacking_since is not None and not lacking:
            self._metrics.rebuilt(at - memory.lacking_since)
            logger.info("%s: %s is whole after %.1f s", self._node, group.name, at - memory.lacking_since)
            memory.lacking_since = None
        degraded = at - memory.degraded_since if memory.degraded_since is not None else 0.0
        self._metrics.state_is(group.name, state, degraded)

    def _tell(self, group: HostedGroup, memory: _Memory, at: float) -> None:
        replica, partition = group.replica, group.partition
        if group.name == catalogue.GROUP or replica.config_lsn <= partition.epoch or at - memory.told_at < TELL_SECONDS:
            return
        memory.told_at = at
        word = MembersAre(group.table.name, group.name, replica.members, replica.config_lsn)
        for node in self._autoadmin:
            self._hub.tell(self._node, node, word)

    # --- carrying out ---------------------------------------------------------------------------------------------------

    async def _carry_out(self, group: HostedGroup, memory: _Memory, action: healing.Action) -> None:
        match action:
            case healing.Teach(member):
                await self._teach(group, memory, member)
            case healing.Forget(node):
                memory.learning.pop(node, None)
                group.step(StopTeaching(node))
                self._drop_at(group, node)
            case healing.Change(members):
                await self._change(group, memory, members)
            case healing.Yield(successor):
                group.step(HandOver(successor))

    async def _teach(self, group: HostedGroup, memory: _Memory, member: Member) -> None:
        replica = group.replica
        order = HostReplica(group.name, group.table, member, replica.members, replica.config_lsn)
        try:
            answer = await self._hub.ask(self._node, member.node, order, timeout_seconds=HOST_SECONDS)
        except (Unreachable, NoAnswer) as error:
            answer, reason = None, str(error)
        else:
            reason = str(answer)
        if isinstance(answer, Hosting):
            memory.learning[member.node] = member
            group.step(Teach(member, answer.born))
        else:
            logger.warning("%s: %s would not host %s: %s", self._node, member.node, group.name, reason)
            self._refused[member.node] = self._clock() + REFUSED_SECONDS

    async def _change(self, group: HostedGroup, memory: _Memory, members: tuple[Member, ...]) -> None:
        before = set(names(group.replica.members))
        decision = await group.change_members(members)
        if not isinstance(decision, Accepted):
            logger.info("%s: %s did not change its members: %s", self._node, group.name, decision.reason)
            return
        for node in set(names(members)) - before:
            memory.learning.pop(node, None)
        for node in sorted(before - set(names(members))):
            asyncio.get_running_loop().call_later(DROP_AFTER_SECONDS, self._drop_removed, group, node)

    def _drop_removed(self, group: HostedGroup, node: str) -> None:
        """Until those who stay know durably that it was removed, its vote may be needed by one that has not heard of it."""
        memory = self._memory.get(group.name)
        taught = memory is not None and node in memory.learning
        if (
            self._groups.get(group.name) is group
            and group.leads()
            and node not in names(group.replica.members)
            and not taught
        ):
            self._drop_at(group, node)

    def _drop_at(self, group: HostedGroup, node: str) -> None:
        if group.name != catalogue.GROUP or node not in group.partition.replicas:
            self._hub.tell(self._node, node, DropReplica(group.name, group.replica.config_lsn))


def order_of(partition: Partition) -> tuple[str, ...]:
    """The zones in the partition's order of preference."""
    return partition.zones or tuple(dict.fromkeys(zone_of(node) for node in partition.replicas))
