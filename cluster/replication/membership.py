"""Who belongs to a replication group, and what a quorum of it has stored (pure).

The members are an entry of the group's own log. It takes effect when it is committed, and the leader proposes nothing above it until
then (Lamport, "Paxos Made Simple", §3 and "Reconfiguring a State Machine", with alpha = 1); one member is added or removed at a time,
so that quorums before and after share a member. Log replicas are DynamoDB's (Elhemali et al., USENIX ATC 2022, §3): recent log, a vote,
no items.
"""

from collections.abc import Mapping, Sequence

import msgspec

from cluster.replication.quorum import reached

ZONES_OF_A_COMMIT = 2
"""An acknowledged write is on disks in so many zones, when the group spans as many: a majority alone may sit in one zone while
a log replica stands in for a lost zone."""


class Member(msgspec.Struct, frozen=True, array_like=True):
    """A voter. ``log_only``: a log replica, which stores the recent log and votes, never campaigns and holds no items."""

    node: str
    zone: str
    log_only: bool = False


Members = tuple[Member, ...]
"""In order of preference: the first that is no log replica is the preferred leader."""


class Config(msgspec.Struct, frozen=True, array_like=True):
    """Who belongs to a group since the change at ``lsn`` was committed (0: as the group was founded)."""

    members: Members = ()
    lsn: int = 0


def members_in_zones_of_their_own(*nodes: str) -> Members:
    """Storage members whose zones are named after them (for worlds in which zones do not matter)."""
    return tuple(Member(node, node) for node in nodes)


def names(members: Members) -> tuple[str, ...]:
    """The nodes of all members."""
    return tuple(member.node for member in members)


def storage(members: Members) -> tuple[str, ...]:
    """The nodes of those that hold items, and so may lead and serve."""
    return tuple(member.node for member in members if not member.log_only)


def differ_by_one(before: Members, after: Members) -> bool:
    """Whether exactly one member was added or removed, or a log replica became a storage replica; and one is left that can lead.

    What a member keeps beside the log makes no difference to quorums.
    """
    old, new = set(before), set(after)
    other_kind = len(old ^ new) == 2 and set(names(before)) == set(names(after))
    return (other_kind or len(old ^ new) == 1) and len(set(names(after))) == len(after) and bool(storage(after))


def chosen(stored: Mapping[str, int], members: Members, zone_of: Mapping[str, str]) -> int:
    """The highest LSN that counts as committed: in a majority of ``members``, and in two zones if the group spans two.

    ``stored``: by node, learners included, whose copies count for the zones only; ``zone_of`` the zone of each of those nodes.
    """
    by_majority = reached([stored.get(member.node, 0) for member in members], len(members))
    spanned = len({member.zone for member in members})
    if spanned < ZONES_OF_A_COMMIT:
        return by_majority
    best: dict[str, int] = {}
    for node, lsn in stored.items():
        zone = zone_of.get(node, node)
        best[zone] = max(best.get(zone, 0), lsn)
    in_zones = sorted(best.values(), reverse=True)
    return min(by_majority, in_zones[ZONES_OF_A_COMMIT - 1] if len(in_zones) >= ZONES_OF_A_COMMIT else 0)


def with_member(members: Members, member: Member, zones: Sequence[str]) -> Members:
    """``members`` and one more, in the order of ``zones`` (the group's own order of preference), storage before log replicas."""
    return ordered((*(m for m in members if m.node != member.node), member), zones)


def without_member(members: Members, node: str) -> Members:
    """``members`` without the one on ``node``."""
    return tuple(member for member in members if member.node != node)


def ordered(members: Members, zones: Sequence[str]) -> Members:
    """In the order of ``zones``, storage before log replicas; the order of preference of the leader."""
    place = {zone: index for index, zone in enumerate(zones)}
    return tuple(sorted(members, key=lambda m: (m.log_only, place.get(m.zone, len(place)), m.node)))
