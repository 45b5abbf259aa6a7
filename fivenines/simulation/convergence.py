"""After the faults everything comes back by itself: leaders, answers, equal replicas (shell)."""

import asyncio

from cluster.archive.damage import Damage
from cluster.archive.reading import rebuild
from cluster.group import HostedGroup
from cluster.kept import Kept
from cluster.replication.membership import storage
from cluster.storage.table import CorruptItem
from fivenines.simulation.clients import SLOTS, Client
from fivenines.simulation.history import History, Kind, Operation, Outcome
from fivenines.simulation.world import Inline, World

GRACE_SECONDS = 10.0
"""After the last fault: a power-off of everything, a whole lease waited out, an election, a search for the leader."""
PATIENCE_SECONDS = 30.0
"""For the last replica to be rebuilt, and the last scrub to have mended what is rotten, once customers are served."""


async def judge(world: World, history: History, client: Client, *, keys: int, calm_at: float) -> None:
    """Judge the calm that began at ``calm_at``; ``client`` reads everything once more."""
    loop = asyncio.get_running_loop()
    for operation in history.operations:
        if operation.called_at >= calm_at + GRACE_SECONDS and operation.outcome not in _ANSWERED:
            world.verdict.breaks("calm_serves", loop.time(), f"nothing is broken, and yet: {operation}")
    until = loop.time() + PATIENCE_SECONDS
    while (problem := _unlike(world)) is not None and loop.time() < until:
        await asyncio.sleep(0.5)
    if problem is not None:
        world.verdict.breaks("replicas_equal", loop.time(), problem)
    elif world.archive is not None:
        await _compare_with_archive(world)
    for number in range(keys):
        for kind, sk in [(Kind.RANGE, SLOTS[0]), *((Kind.READ, sk) for sk in SLOTS)]:
            operation = await client.ask(kind, f"k{number}", sk, world.config.zones[number % 3])
            _must_be_answered(world, operation)


async def _compare_with_archive(world: World) -> None:
    """What is archived makes the same items as the replicas hold; writes have ended, so all of it gets there."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE_SECONDS
    while (problem := await _unarchived(world)) is not None and loop.time() < until:
        await asyncio.sleep(1.0)
    if problem is not None:
        world.verdict.breaks("archive_equal", loop.time(), problem)


async def _unarchived(world: World) -> str | None:
    assert world.archive is not None
    for node in world.nodes().values():
        for name, group in node.groups.items():
            if not group.leads():
                continue
            try:
                reference = await rebuild(world.archive, name, Inline())
            except Damage as error:
                return f"the archive of {name} is damaged: {error}"
            if reference.lsn != group.replica.applied_lsn:
                return f"{name} is applied up to {group.replica.applied_lsn} and archived up to {reference.lsn}"
            if reference.ordered() != node.items.rows(name, None)[0]:
                return f"{name}: the archive makes other items than {node.name} holds"
    return None


_ANSWERED = frozenset({Outcome.OK, Outcome.CONDITION_FALSE})


def _must_be_answered(world: World, operation: Operation) -> None:
    if operation.outcome not in _ANSWERED:
        world.verdict.breaks("calm_serves", operation.returned_at, f"in the end a read is not answered: {operation}")


def _unlike(world: World) -> str | None:
    """Why the region is not whole yet; None when every group has a leader and three members that hold the same items."""
    nodes = world.nodes()
    if len(nodes) < len(world.zone_of):
        return f"nodes are down: {sorted(set(world.zone_of) - set(nodes))}"
    groups: dict[str, list[HostedGroup]] = {}
    for node in nodes.values():
        for name, group in node.groups.items():
            groups.setdefault(name, []).append(group)
    problems = (_unwell(world, name, replicas) or _unequal(world, name, replicas) for name, replicas in groups.items())
    return next((problem for problem in problems if problem), None)


def _members(replicas: list[HostedGroup]) -> list[HostedGroup]:
    """Those that the leader says belong to the group and hold items."""
    leader = next(group for group in replicas if group.leads())
    named = storage(leader.replica.members)
    return [group for group in replicas if group.node in named]


def _unwell(world: World, name: str, replicas: list[HostedGroup]) -> str | None:
    leader = next((group for group in replicas if group.leads()), None)
    if leader is None:
        return f"{name} has no leader"
    members = leader.replica.members
    if not len(storage(members)) == len(members) == len(world.config.zones):
        return f"{name} is not whole: {members}"
    unwell = [g.node for g in _members(replicas) if not g.replica.votes or g.kept is not Kept.ITEMS]
    return f"{name} has no vote or no items on {unwell}" if unwell else None


def _unequal(world: World, name: str, replicas: list[HostedGroup]) -> str | None:
    members = _members(replicas)
    applied = {group.node: group.replica.applied_lsn for group in members}
    if len(set(applied.values())) > 1:
        return f"{name} is applied up to {applied}"
    try:
        rows = {group.node: world.nodes()[group.node].items.rows(name, None) for group in members}
    except CorruptItem as error:
        return f"{name} still has damaged rows, which no scrub has mended: {error}"
    first = next(iter(rows.values()))
    return f"{name} has different items: {rows}" if any(other != first for other in rows.values()) else None
