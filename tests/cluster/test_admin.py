"""The admin API of a zone process and the metrics pages of its nodes, over HTTP."""

import asyncio

import aiohttp
import pytest

from cluster.config import TableConfig
from cluster.faults import Fault
from cluster.ports import StoreError


@pytest.fixture
async def http():
    """A client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def guarded(make_region, tmp_path):
    """A region whose admin API wants a token."""
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    region = make_region(admin_token_file=token)
    await region.start()
    return region


TOKEN = {"Authorization": "Bearer t0ken"}


def admin(region, path, zone=0):
    """A URL of the admin API."""
    return f"http://{region.topology.zones[zone].admin}{path}"


async def test_token_is_needed(guarded, http):
    """Without the token nothing can be seen or broken."""
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        for path in ("/state", "/faults"):
            assert (await http.get(admin(guarded, path), headers=headers)).status == 401
        order = {"id": "f", "fault": {"kind": "crash", "node": "az1-node-1"}}
        assert (await http.post(admin(guarded, "/faults"), json=order, headers=headers)).status == 401
    assert guarded.zones["az1"].components.up("az1-node-1")


async def test_ready_and_state(guarded, http):
    """A zone that serves says so, and shows its replicas; every group has one leader that serves."""
    assert (await http.get(admin(guarded, "/ready"), headers=TOKEN)).status == 200
    serving = {}
    for zone in range(3):
        state = await (await http.get(admin(guarded, "/state", zone), headers=TOKEN)).json()
        for name, node in state["nodes"].items():
            assert node["up"]
            serving.update({g["group"]: name for g in node["groups"] if g["serving"]})
    assert len(serving) == 4


async def test_fault_by_http(guarded, http):
    """A fault is in force when the answer comes, is listed, and is gone when its removal is answered."""
    order = {"id": "f1", "fault": {"kind": "crash", "node": "az1-node-1"}}
    answer = await http.post(admin(guarded, "/faults"), json=order, headers=TOKEN)
    assert answer.status == 200
    assert (await answer.json())["in_force_at"] > 0
    assert not guarded.zones["az1"].components.up("az1-node-1")
    assert (await http.get(admin(guarded, "/ready"), headers=TOKEN)).status == 503
    assert (await (await http.get(admin(guarded, "/faults"), headers=TOKEN)).json())["faults"] == [order]
    assert (await http.post(admin(guarded, "/faults"), json=order, headers=TOKEN)).status == 409
    assert (await http.delete(admin(guarded, "/faults/f1"), headers=TOKEN)).status == 200
    assert guarded.zones["az1"].components.up("az1-node-1")
    assert (await http.delete(admin(guarded, "/faults/f1"), headers=TOKEN)).status == 404


BAD_ORDERS = (
    ({"id": "f", "fault": {"kind": "version", "node": "az1-node-1", "version": "2"}}, 400),
    ({"id": "f", "fault": {"kind": "melt"}}, 400),
    ({"id": "f", "fault": {"kind": "crash", "endpoint": "fips"}}, 400),
    ({"fault": {"kind": "crash", "node": "az1-node-1"}}, 400),
    ({"id": "f", "fault": {"kind": "dns", "endpoint": "fips", "answer": "empty"}}, 422),
    ([], 400),
)


async def test_bad_orders_are_refused(guarded, http):
    """What cannot be done is refused with a sentence, and a body without bound is not read."""
    for order, status in BAD_ORDERS:
        answer = await http.post(admin(guarded, "/faults"), json=order, headers=TOKEN)
        assert answer.status == status
        assert (await answer.json())["error"]
    assert (await http.post(admin(guarded, "/faults"), data=b"x" * 1_000_000, headers=TOKEN)).status == 413


async def metrics(http, region, node):
    """The samples on a node's page, or the status when it does not show them."""
    place = next(n for n in region.topology.nodes if n.name == node)
    answer = await http.get(place.metrics_url)
    if answer.status != 200:
        return answer.status
    lines = [line for line in (await answer.text()).splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_metrics_count_what_was_asked(region, http):
    """Requests, leaders, fsyncs and elections are on the pages of the nodes that had them."""
    for number in range(20):
        await region.put(str(number), "x")
        await region.get(str(number))
        await region.get(str(number), zone="az2", strong=False)
    pages = [await metrics(http, region, node.name) for node in region.topology.nodes]

    def total(start):
        return sum(value for page in pages for name, value in page.items() if name.startswith(start))

    for operation in ("write", "strong_read", "eventual_read"):
        counted = sum(
            value
            for page in pages
            for name, value in page.items()
            if name.startswith("store_replica_requests_total{")
            and f'operation="{operation}"' in name
            and 'table="canary"' in name
            and 'outcome="success"' in name
        )
        assert counted == 20
    assert total("store_leader{") == 4
    assert total("store_wal_fsync_seconds_count") > 20
    assert total("store_elections_total") >= 4
    assert all(any(name.startswith("store_build_info") for name in page) for page in pages)


async def test_muted_metrics(region, http):
    """A muted node shows no metrics and serves as before."""
    await region.zones["az1"].actions.add("f", Fault.model_validate({"kind": "mute_metrics", "node": "az1-node-1"}))
    assert await metrics(http, region, "az1-node-1") == 503
    assert isinstance(await metrics(http, region, "az1-node-2"), dict)
    await region.put("a", "1")
    await region.zones["az1"].actions.remove("f")
    assert isinstance(await metrics(http, region, "az1-node-1"), dict)


async def test_throttling(make_region, http):
    """A partition asked for more than its units refuses the rest as throttled, and recovers."""
    region = make_region(tables=(TableConfig(name="canary", partitions=1, write_units_per_partition=20),))
    await region.start()
    answers = await asyncio.gather(*(region.put(str(n), "x") for n in range(60)), return_exceptions=True)
    refused = [a for a in answers if isinstance(a, StoreError)]
    assert refused
    assert {a.kind.value for a in refused} == {"throttled"}
    await asyncio.sleep(1.0)
    await region.put("later", "x")
