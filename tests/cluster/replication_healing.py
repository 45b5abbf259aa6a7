"""Healing in virtual time: what a leader's node does about its group's members, carried out in a :class:`World`."""

from collections.abc import Callable

from cluster.control import healing
from cluster.control.healing import FleetNode, Patience
from cluster.replication import messages as m
from cluster.replication.membership import Member, storage
from tests.cluster.replication_world import World


def zone_of(node: str) -> str:
    """The zone of a node of these worlds: ``az1`` and ``az1b`` are both in az1."""
    return node[:3]


def describe(action: healing.Action) -> str:
    """One line for an action."""
    match action:
        case healing.Teach(member, reason):
            return f"teach {member.node}{' as a log replica' if member.log_only else ''} ({reason})"
        case healing.Forget(node, reason):
            return f"forget {node} ({reason})"
        case healing.Change(members, reason):
            return f"change to {' '.join(m.node for m in members)} ({reason})"
        case healing.Yield(successor, reason):
            return f"yield to {successor} ({reason})"


class Healer:
    """Looks at the group now and then, as each leader's node would."""

    def __init__(self, world: World, patience: Patience, every: float = 0.1) -> None:
        self.world, self.patience, self.every = world, patience, every
        self.learning: dict[str, Member] = {}
        self.tell: Callable[[str], None] = lambda _: None
        self.lacking_since: float | None = None
        self._numbers = 0
        world.at(world.now + every, self._look)

    def _look(self) -> None:
        for name in list(self.world.nodes):
            self._heal(name)
        self.world.at(self.world.now + self.every, self._look)

    def fleet(self) -> dict[str, FleetNode]:
        """Every node, and whether it runs."""
        world = self.world
        return {
            name: FleetNode(zone_of(name), node.paused_until <= world.now and node.up)
            for name, node in world.nodes.items()
        }

    def _heal(self, name: str) -> None:
        world, node = self.world, self.world.nodes[name]
        if node.replica is None or node.paused_until > world.now:
            return
        health = node.replica.health(node.clock(world.now))
        if health is None:
            return
        whole = len(storage(health.members)) >= healing.COPIES
        self.lacking_since = None if whole else self.lacking_since or world.now
        situation = healing.Situation(
            leader=name,
            zones=tuple(zone_of(member) for member in world.members),
            health=health,
            learning=self.learning,
            fleet=self.fleet(),
            lacking_seconds=world.now - (self.lacking_since or world.now),
            patience=self.patience,
        )
        action = healing.decide(situation)
        if action is not None:
            self.tell(f"{name}: heals: {describe(action)}")
            self._carry_out(name, action)

    def _carry_out(self, leader: str, action: healing.Action) -> None:
        world = self.world
        replica = world.nodes[leader].replica
        assert replica is not None
        match action:
            case healing.Teach(member):
                world.host(member, replica.members, replica.config_lsn)
                taught = world.nodes[member.node].replica
                if taught is not None:
                    self.learning[member.node] = member
                    world.step(leader, m.Teach(member, taught.born))
            case healing.Forget(node):
                world.step(leader, m.StopTeaching(node))
            case healing.Change(after):
                self._numbers -= 1
                world.step(leader, m.ChangeMembers(self._numbers, after))
            case healing.Yield(successor):
                world.step(leader, m.HandOver(successor))


def is_whole(world: World) -> bool:
    """Whether three storage replicas, with their pasts, serve the group, and no log replica is left."""
    leader = world.leader()
    if leader is None:
        return False
    node = world.nodes[leader]
    assert node.replica is not None
    health = node.replica.health(node.clock(world.now))
    if health is None or len(health.members) != healing.COPIES or health.change_open or health.learners:
        return False
    replicas = [world.nodes[name].replica for name in storage(health.members)]
    return len(replicas) == healing.COPIES and all(replica is not None and replica.votes for replica in replicas)
