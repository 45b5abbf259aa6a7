"""Healing in a small region over real sockets and files: a node dies, and its groups become whole without it."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster import hosting
from cluster.config import HealingConfig
from cluster.control import catalogue
from cluster.kept import Kept
from cluster.replication.membership import Member
from cluster.routing.messages import Hosting, HostReplica
from tests.cluster.small_region import Region, quick_config

HEALING = HealingConfig(dead_after_seconds=0.6, rebuild_after_seconds=0.4)


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Region]:
    region = Region(quick_config(tmp_path, healing=HEALING))
    await region.start()
    yield region
    for name in list(region.zones):
        await region.stop(name)


def leads(region: Region) -> dict[str, str]:
    """Each led group's leader."""
    return {
        group.name: node.name
        for zone in region.zones.values()
        for node in zone.components.nodes().values()
        for group in node.groups.values()
        if group.leads()
    }


def members(region: Region, group: str) -> list[tuple[str, bool]]:
    """The members of a group as its leader has them, and which are log replicas."""
    leader = leads(region).get(group)
    for zone in region.zones.values():
        if leader is not None and (node := zone.components.node(leader)) is not None:
            return [(m.node, m.log_only) for m in node.groups[group].replica.members]
    return []


async def until(condition: object, seconds: float = 12.0) -> float:
    """Wait for a condition; how long it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def canary_groups(region: Region) -> list[str]:
    table = await region.table()
    return [f"{table.id}/{partition.id}" for partition in table.partitions]


async def test_a_dead_node_is_replaced_by_log_replicas_and_then_rebuilt_elsewhere(region: Region) -> None:
    """Its groups have three logs within seconds, three storage replicas soon after, and every write is where it should be."""
    for n in range(30):
        await region.put(f"k{n}", f"v{n}")
    groups = await canary_groups(region)
    await region.zones["az3"].components.stop("az3-node-1", crash=True)
    log_healed = await until(
        lambda: all(len(members(region, g)) == 3 and "az3-node-1" not in dict(members(region, g)) for g in groups)
    )
    for n in range(30, 60):
        await region.put(f"k{n}", f"v{n}")
    rebuilt = await until(lambda: all([log for _, log in members(region, g)] == [False] * 3 for g in groups))
    assert log_healed < 6
    assert rebuilt < 10
    for n in range(60):
        assert await region.get(f"k{n}") == f"v{n}"
        for zone in region.zones:
            assert await region.get(f"k{n}", zone=zone, strong=False) == f"v{n}"


async def test_routes_follow_the_members(region: Region) -> None:
    """The catalogue names the nodes that hold the items now, and routers use them."""
    await region.put("k", "v")
    await region.zones["az2"].components.stop("az2-node-1", crash=True)
    groups = await canary_groups(region)
    await until(
        lambda: (
            all([log for _, log in members(region, g)] == [False] * 3 for g in groups)
            and all("az2-node-1" not in dict(members(region, g)) for g in groups)
        )
    )

    async def named() -> bool:
        return all("az2-node-1" not in p.replicas and p.epoch > 0 for p in (await region.table()).partitions)

    async with asyncio.timeout(8):
        while not await named():
            await asyncio.sleep(0.05)
    assert await region.get("k") == "v"


async def test_a_node_with_a_new_disk_does_not_vote_and_is_built_anew(region: Region, tmp_path: Path) -> None:
    """A node whose disk was swapped is replaced like a dead one, comes back by being taught, and loses nobody's write."""
    for n in range(20):
        await region.put(f"k{n}", f"v{n}")
    groups = await canary_groups(region)
    components = region.zones["az1"].components
    await components.stop("az1-node-1", crash=True)
    for path in sorted((tmp_path / "az1-node-1").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    await components.start("az1-node-1")
    node = components.node("az1-node-1")
    assert node is not None
    await until(lambda: all([log for _, log in members(region, g)] == [False] * 3 for g in groups))
    await until(lambda: all(g.kept is Kept.ITEMS for g in node.groups.values()))
    for n in range(20):
        assert await region.get(f"k{n}") == f"v{n}"


async def test_a_planned_stop_costs_no_lease(region: Region) -> None:
    """Leadership is handed over before a node stops: writes go on within a fraction of a lease."""
    await region.put("k", "v")
    groups = await canary_groups(region)
    stopped = min({leads(region)[g] for g in groups})
    zone = region.zones[stopped.split("-node-")[0]]
    await zone.components.stop(stopped, crash=False)
    began = time.monotonic()
    other = next(z for z in region.zones if z != zone.zone.name)
    for n in range(12):
        await region.put(f"k{n}", "w", zone=other)
    assert time.monotonic() - began < region.config.timing.lease_seconds


async def test_a_replica_of_the_catalogue_that_was_removed_while_away_is_dropped(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears no leader for ever: its zone is ready all the same, and it goes when autoadmin says who the members are now."""
    monkeypatch.setattr(hosting, "FORGOTTEN_SECONDS", 0.5)
    process = region.zones["az1"]
    await until(lambda: process.unready() is None)
    founders = process._catalogue.partitions[0].replicas
    name, node = next((n, node) for n, node in process.components.nodes().items() if n not in founders)
    members = tuple(Member(founder, founder.split("-")[0]) for founder in founders)
    order = HostReplica(catalogue.GROUP, process._catalogue, Member(name, "az1", log_only=True), members, 1)
    assert isinstance(await node.replicas.host(order), Hosting)
    assert process.unready() is None
    node.replicas.catalogue_is(founders, 2)
    assert catalogue.GROUP in node.groups, "it may yet be taught"
    await until(lambda: node.groups[catalogue.GROUP].silent_seconds() > 0.5)
    node.replicas.catalogue_is(founders, 1)
    assert catalogue.GROUP in node.groups, "what is said is not newer than what it knows"
    node.replicas.catalogue_is(founders, 2)
    assert catalogue.GROUP not in node.groups
