"""The archive of a running region: filled, verified, complete after a restart, in time before the disk is full, and restorable."""

import asyncio
import time

import pytest
from prometheus_client import generate_latest

from cluster.archive.audit import archived_groups, verify
from cluster.archive.directory import DirectoryStore
from cluster.archive.restore import read_table
from cluster.config import ArchiveConfig
from cluster.control import catalogue
from cluster.faults import Fault
from cluster.ports import ErrorKind, StoreError
from tests.cluster.archive_world import Inline

PATIENCE_SECONDS = 30


@pytest.fixture(autouse=True)
def quick_housekeeping(monkeypatch):
    """Items become durable, and the log is looked at, many times a second."""
    monkeypatch.setattr("cluster.housekeeping.HOUSEKEEPING_SECONDS", 0.1)
    monkeypatch.setattr("cluster.archive.agent.ROUND_SECONDS", 0.1)


def nodes(region):
    """Every storage node that is up."""
    return [node for zone in region.zones.values() for node in zone.components.nodes().values()]


def archived(region):
    """Whether every replica knows everything that it has committed as archived and verified."""
    return all(
        view.archived >= node.groups[view.group].replica.commit_lsn
        for node in nodes(region)
        for view in node.archive.views()
    )


async def eventually(condition, *arguments):
    """Wait until it is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition(*arguments):
            await asyncio.sleep(0.05)


async def everywhere(region, identity, **fault):
    """Put a fault in force in every zone."""
    for name in region.zones:
        await region.zones[name].actions.add(identity, Fault.model_validate({**fault, "zone": name}))


async def whole(path):
    """Every group of the archive is one sound chain; how many groups."""
    store = DirectoryStore(path)
    groups = await archived_groups(store)
    for group in groups:
        assert (await verify(store, group, Inline())).findings == []
    return len(groups)


async def values(path, at=None):
    """The canary table as the archive has it."""
    restored = await read_table(DirectoryStore(path), "canary", Inline(), at=at)
    return {item["pk"]["S"]: item["v"]["S"] for item in restored.items()}


async def test_a_region_fills_its_archive_and_a_table_comes_back_as_of_any_second(region, tmp_path):
    """What was written is archived within seconds, verified by every replica, and can be read back as of a time between writes."""
    for n in range(20):
        await region.put(f"k{n}", "first")
    await asyncio.sleep(0.05)
    between = time.time()
    await asyncio.sleep(0.05)
    for n in range(10):
        await region.put(f"k{n}", "second")
    await eventually(archived, region)
    path = tmp_path / "archive"
    assert await whole(path) == 4
    assert await values(path, between) == {f"k{n}": "first" for n in range(20)}
    assert await values(path) == {f"k{n}": "second" if n < 10 else "first" for n in range(20)}
    page = generate_latest(nodes(region)[0].metrics.registry).decode()
    for name in (
        "store_archive_oldest_unarchived_age_seconds{",
        "store_archive_unarchived_bytes{",
        "store_archive_verify_mismatch_total",
        "store_archive_gap_total",
        "store_archive_segments_total",
        "store_wal_budget_ratio ",
    ):
        assert name in page


async def test_what_was_not_archived_before_a_power_off_is_archived_after_it(region, tmp_path):
    """Entries that were applied and durable, but not archived, when all power went are in the archive later: no hole."""
    await region.put("a", "1")
    await eventually(archived, region)
    await everywhere(region, "stall", kind="archive_stall")
    for n in range(30):
        await region.put(f"k{n}", str(n))
    await asyncio.sleep(0.5)
    assert not archived(region)
    for name in region.config.zones:
        await region.kill(name)
    await region.start()
    await region.put("z", "1")
    await eventually(archived, region)
    assert await whole(tmp_path / "archive") == 4
    found = await values(tmp_path / "archive")
    assert found == {"a": "1", "z": "1", **{f"k{n}": str(n) for n in range(30)}}
    assert sum(node.metrics.archive._gaps._value.get() for node in nodes(region)) == 0


async def test_a_zone_that_cannot_archive_does_not_hold_the_others_up(region, tmp_path):
    """While one zone's nodes cannot reach the archive, followers elsewhere archive for the leaders there."""
    await region.zones["az1"].actions.add("stall", Fault.model_validate({"kind": "archive_stall", "zone": "az1"}))
    for n in range(12):
        await region.put(f"k{n}", str(n))
    others = [node for node in nodes(region) if not node.name.startswith("az1")]

    def others_archived():
        return all(
            view.archived >= node.groups[view.group].replica.commit_lsn > 0
            for node in others
            for view in node.archive.views()
        )

    await eventually(others_archived)
    stalled = [view for node in nodes(region) if node.name.startswith("az1") for view in node.archive.views()]
    assert any(view.oldest_age_seconds > 0 for view in stalled)
    assert len(await values(tmp_path / "archive")) == 12
    await region.zones["az1"].actions.remove("stall")
    await eventually(archived, region)
    assert await whole(tmp_path / "archive") == 4


async def test_writes_are_shed_before_the_disk_is_full_and_come_back(make_region, tmp_path):
    """A stalled archive lets the log grow to its budget; then writes are refused in words, reads go on, and afterwards all is well."""
    archive = ArchiveConfig(directory=tmp_path / "archive", seal_seconds=0.5, wal_budget_bytes=1024 * 1024)
    region = make_region(archive=archive)
    await region.start()
    await everywhere(region, "stall", kind="archive_stall")
    written = 0

    async def write_on():
        nonlocal written
        while written < 400:
            await region.put(f"k{written}", "x" * 10_000)
            written += 1

    with pytest.raises(StoreError) as refused:
        await write_on()
    assert refused.value.kind is ErrorKind.UNAVAILABLE
    assert "archive" in str(refused.value)
    assert written > 50
    assert await region.get("k0") == "x" * 10_000
    for name in region.zones:
        await region.zones[name].actions.remove("stall")
    await eventually(lambda: not any(node.sheds_writes() for node in nodes(region)))
    await region.put("after", "1")
    await eventually(archived, region)
    assert len(await values(tmp_path / "archive")) == written + 1
    assert await whole(tmp_path / "archive") == 4


async def test_the_catalogue_itself_is_archived(region, tmp_path):
    """The tables' definitions are in the archive as well, so that nothing else is needed for a restore."""
    await eventually(archived, region)
    assert catalogue.GROUP in await archived_groups(DirectoryStore(tmp_path / "archive"))
