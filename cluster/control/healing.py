"""What the leader of a replication group does about members that are gone: a log replica in seconds, a rebuilt one in minutes (pure).

DynamoDB (Elhemali et al., USENIX ATC 2022, §3, §5): when a storage replica is unhealthy, the leader adds a log replica, which needs only
the recent log; the storage replica, items and all, is rebuilt afterwards. One change at a time; the order of the rules is below.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cluster.replication.health import Health, PeerHealth
from cluster.replication.membership import Member, Members, storage, with_member, without_member

COPIES = 3
"""A group is whole with so many storage replicas."""
CAUGHT_UP_ENTRIES = 64
"""A learner that lacks no more than so many committed entries may vote."""


class GroupState(StrEnum):
    """How whole a group is (the label ``state`` of ``store_groups_by_state``)."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """Fewer than three members store the log."""
    LOG_HEALED = "log_healed"
    """Three members store the log, fewer than three the items."""
    REBUILDING = "rebuilding"
    """Log-healed, and a storage replica is on its way."""


@dataclass(frozen=True, slots=True)
class FleetNode:
    """A storage node as a place for replicas. ``groups``: how many it holds."""

    zone: str
    alive: bool
    slow: bool = False
    groups: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a leader waits, in seconds."""

    dead_after_seconds: float = 3.0
    """A member that is silent so long is replaced: longer than an election, so that a new leader has heard everybody."""
    rebuild_after_seconds: float = 5.0
    """A rebuild begins when the group has lacked a storage replica so long: the old one may be back in a moment."""
    zone_after_seconds: float = 600.0
    """While a zone has no node left, its member is not replaced by one in another zone before that: two members in one zone are an
    extra copy, but when that zone falls as well, the group stands still, though the lost zone is back with a good copy."""


@dataclass(frozen=True, slots=True)
class Teach:
    """Make a replica on ``member.node`` and send it the log."""

    member: Member
    reason: str


@dataclass(frozen=True, slots=True)
class Forget:
    """The learner is no use any more."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """Let the group choose these members."""

    members: Members
    reason: str


@dataclass(frozen=True, slots=True)
class Yield:
    """Hand leadership to ``successor``."""

    successor: str
    reason: str


Action = Teach | Forget | Change | Yield


def bad(health: Health, fleet: Mapping[str, FleetNode], patience: Patience) -> list[str]:
    """Members that are to be replaced: silent, without their past, or on a node that is called slow."""
    found = []
    for member in health.members:
        peer = health.peers.get(member.node)
        node = fleet.get(member.node)
        if peer is not None and (_gone(peer, patience) or (node is not None and node.slow)):
            found.append(member.node)
    return found


def _gone(peer: PeerHealth, patience: Patience) -> bool:
    return peer.lost or peer.silent_seconds > patience.dead_after_seconds


def state(health: Health, fleet: Mapping[str, FleetNode], patience: Patience) -> GroupState:
    """How whole the group is."""
    gone = set(bad(health, fleet, patience))
    well = [member for member in health.members if member.node not in gone]
    if len(well) < COPIES:
        return GroupState.DEGRADED
    holding = [m for m in well if not m.log_only and (m.node not in health.peers or health.peers[m.node].holds_items)]
    if len(holding) >= COPIES:
        return GroupState.HEALTHY
    if len(_with_items(well)) >= COPIES:
        return GroupState.REBUILDING
    learns = any(node not in gone for node in health.learners)
    return GroupState.REBUILDING if learns else GroupState.LOG_HEALED


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a decision rests on."""

    leader: str
    """The node that decides."""
    zones: Sequence[str]
    """The group's order of preference."""
    health: Health
    learning: Mapping[str, Member]
    """What the learners are to become."""
    fleet: Mapping[str, FleetNode]
    lacking_seconds: float
    """For how long it has had fewer storage replicas than it should."""
    patience: Patience


def decide(s: Situation) -> Action | None:
    """The next step, or None when there is nothing to do (or only to wait)."""
    if s.health.change_open:
        return None
    gone = bad(s.health, s.fleet, s.patience)
    return _about_leader(s, gone) or _about_learners(s, gone) or _about_members(s, gone)


def _about_leader(s: Situation, gone: list[str]) -> Action | None:
    """A slow node should not lead while another could."""
    own = s.fleet.get(s.leader)
    peers = s.health.peers
    able = [
        node for node in storage(s.health.members) if node in peers and node not in gone and peers[node].holds_items
    ]
    if own is None or not own.slow or not able:
        return None
    return Yield(able[0], "the leader's node is slow")


def _about_learners(s: Situation, gone: list[str]) -> Action | None:
    """A learner that has caught up becomes a member, if it is still needed; one that went silent is given up."""
    well = [member for member in s.health.members if member.node not in gone]
    for node, peer in s.health.learners.items():
        member = s.learning.get(node)
        whole = len(well) >= COPIES if member is not None and member.log_only else len(_with_items(well)) >= COPIES
        if member is None or whole:
            return Forget(node, "not needed any more")
        if _gone(peer, s.patience):
            return Forget(node, "the learner is gone")
        ready = peer.lag <= CAUGHT_UP_ENTRIES and (member.log_only or peer.holds_items)
        if ready and peer.silent_seconds < s.patience.dead_after_seconds / 2:
            kind = "log replica" if member.log_only else "storage replica"
            return Change(with_member(s.health.members, member, s.zones), f"a {kind} has caught up")
    return None


def _with_items(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if not member.log_only]


def _about_members(s: Situation, gone: list[str]) -> Action | None:
    """First three logs, then rid of the dead, then three storage replicas, then rid of log replicas."""
    members = s.health.members
    well = [member for member in members if member.node not in gone]
    learning = [s.learning[node] for node in s.health.learners if node in s.learning]
    if len(well) < COPIES:
        return (
            None
            if learning
            else _new_member(s, well, log_only=True, reason="too few logs", anywhere=_for_good(s, gone))
        )
    if gone:
        return Change(without_member(members, gone[0]), "replaced")
    spare = next((member for member in reversed(members) if member.log_only), None)
    if spare is not None and (len(members) > COPIES or len(_with_items(members)) >= COPIES):
        return Change(without_member(members, spare.node), "one log replica too many")
    if len(_with_items(members)) >= COPIES:
        return None
    return _grown_up(s) or _rebuilt(s, learning)


def _grown_up(s: Situation) -> Action | None:
    """A log replica that holds the items by now becomes a storage replica."""
    for member in s.health.members:
        if member.log_only and member.node in s.health.peers and s.health.peers[member.node].holds_items:
            grown = Member(member.node, member.zone)
            return Change(with_member(s.health.members, grown, s.zones), "the log replica holds the items")
    return None


def _rebuilt(s: Situation, learning: Sequence[Member]) -> Action | None:
    """A storage replica on another node; if there is none, on that of a log replica in a zone without items."""
    if learning or s.lacking_seconds < s.patience.rebuild_after_seconds:
        return None
    action = _new_member(s, _with_items(s.health.members), log_only=False, reason="a storage replica is missing")
    if action is not None:
        return action
    taken = {member.zone for member in _with_items(s.health.members)}
    for member in s.health.members:
        if member.log_only and member.node in s.fleet and member.zone not in taken:
            return Teach(Member(member.node, member.zone), "no other node can hold the items")
    return None


def _for_good(s: Situation, gone: list[str]) -> bool:
    """Whether a member will not be back by itself: its past is lost, or it has been silent for very long; or none is left to wait for."""
    if len(s.health.members) < COPIES:
        return True
    peers = s.health.peers
    return any(peers[node].lost or peers[node].silent_seconds > s.patience.zone_after_seconds for node in gone)


def _new_member(
    s: Situation, well: Sequence[Member], *, log_only: bool, reason: str, anywhere: bool = False
) -> Action | None:
    """The best node for one more replica: in a zone that has none, or ``anywhere`` if need be."""
    taken = {member.zone for member in well}
    members = {member.node for member in s.health.members}
    able = [
        (node.zone in taken, node.groups, name)
        for name, node in s.fleet.items()
        if node.alive and not node.slow and name not in members and name != s.leader
    ]
    fits = [place for place in able if anywhere or not place[0]]
    if not fits:
        return None
    name = min(fits)[2]
    return Teach(Member(name, s.fleet[name].zone, log_only), reason)
