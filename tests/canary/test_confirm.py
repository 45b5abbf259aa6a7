"""What one zone's canaries see fail, those of the others look at, too: at once, within a budget, counted apart."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from canary.confirm import TWICE_SECONDS, Confirmer
from canary.plan import Cell, Key
from canary.transport.config import JetStreamConfig
from collector.ask import Ask
from collector.config import CollectorConfig
from collector.observation import Connection, Level, OperationClass, Outcome
from collector.transport.config import JetStreamIntakeConfig
from tests.canary.test_process import call, config, dns_server, free_ports, store_server
from tests.canary.test_process import running as canary
from tests.collector.samples import Client, free_port
from tests.collector.samples import running as collector
from tests.transports.ways import Nats

CELL = Cell(3, "standard", OperationClass.WRITE, Connection.FRESH)
KEYS = (Key("canary-1", "p-1"), Key("canary-2", "p-2"))


def ask(**changes: Any) -> Ask:
    known: dict[str, Any] = {
        "number": 1,
        "at": 0.0,
        "zone": "az1",
        "host": "az1-canary-1",
        "endpoint": "standard",
        "operation": OperationClass.WRITE,
        "connection": Connection.FRESH,
        "partition": "p-2",
        "address": "127.0.1.1:8443",
    }
    return Ask(**{**known, **changes})


def test_another_zones_failure_is_looked_at_where_it_failed() -> None:
    """The same cell, the same partition's key, the same address; a partition without a key goes by the turn."""
    confirmer = Confirmer("az2", [CELL], 10)
    found = confirmer.take(ask(), KEYS, 100.0)
    assert found is not None
    assert (found.cell, found.key, found.address) == (CELL, KEYS[1], "127.0.1.1:8443")
    found = confirmer.take(ask(partition="p-9"), KEYS, 100.0 + TWICE_SECONDS)
    assert found is not None
    assert found.key is None


def test_ones_own_zone_unknown_cells_and_what_two_collectors_tell_are_not_asked() -> None:
    """Each with its count."""
    confirmer = Confirmer("az2", [CELL], 10)
    assert confirmer.take(ask(zone="az2"), KEYS, 0.0) is None
    assert confirmer.take(ask(endpoint="other"), KEYS, 0.0) is None
    assert confirmer.take(ask(), KEYS, 0.0) is not None
    assert confirmer.take(ask(number=77), KEYS, 0.1) is None
    assert confirmer.counts == {"looked": 1, "own_zone": 1, "unknown_cell": 1, "twice": 1, "budget": 0}


def test_a_minutes_budget_is_not_exceeded() -> None:
    """Whatever is asked; afterwards there is a new one."""
    cells = [Cell(i, f"e{i}", OperationClass.WRITE, Connection.FRESH) for i in range(5)]
    confirmer = Confirmer("az2", cells, 3)
    taken = [confirmer.take(ask(endpoint=cell.endpoint), KEYS, 10.0 + i) for i, cell in enumerate(cells)]
    assert [found is not None for found in taken] == [True, True, True, False, False]
    assert confirmer.take(ask(endpoint="e4"), KEYS, 71.0) is not None


async def confirmations(client: Client) -> list[dict[str, Any]]:
    """The ledger's rows of what was asked because of a failure."""
    rows = (await client.get("/v1/intervals?start=0&end=9999999999"))[1]
    return [row for row in rows if row["series"].get("level") == "confirm"]


async def until_confirmed(client: Client) -> list[dict[str, Any]]:
    async with asyncio.timeout(15):
        while not (rows := await confirmations(client)):
            await asyncio.sleep(0.1)
    return rows


async def test_one_zones_failure_makes_the_others_look_and_counts_apart(tmp_path: Path) -> None:
    """A cell of az1 fails; az2's host asks it at once. Its answer is in the ledger as a confirming attempt, in no other count."""
    settings = CollectorConfig(port=free_port(), data_dir=tmp_path / "ledger")
    async with dns_server() as dns, store_server() as store, collector(settings) as client:
        ports = free_ports()
        told = {"cadence_seconds": 30.0, "hosts_per_zone": 1, "zones": ("az1", "az2"), "extra_probes_per_second": 0.0}
        both = config(dns, store, (client.base,), ports, **told)
        # What az1 asks from now on fails; the plan of az2 has nothing to ask for half a minute.
        async with canary(both, "az2") as seer:
            await until_listening(ports["az2"])
            store.hook = fails_for("az1-canary-1")
            async with canary(both.model_copy(update={"cadence_seconds": 0.5}), "az1"):
                rows = await until_confirmed(client)
                page = (await call(ports["az2"], "/metrics"))[1].decode()
        del seer
    assert {row["series"]["host"] for row in rows} == {"az2-canary-1"}
    assert 'canary_confirm_asks_total{result="looked"}' in page
    assert "canary_confirm_probes_total{" in page


def fails_for(host: str) -> Any:
    """500 for whatever is written or read under this host's items."""

    def hook(_target: str, parameters: dict[str, Any]) -> Any:
        error = b'{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "broken"}'
        return (500, {}, error) if f"'{host}/" in str(parameters) else None

    return hook


async def until_listening(port: int) -> None:
    """The admin port answers, and a moment for the first poll of the board."""
    async with asyncio.timeout(10):
        while True:
            try:
                await call(port, "/metrics")
            except OSError:
                await asyncio.sleep(0.05)
            else:
                break
    await asyncio.sleep(1.0)


@pytest.mark.peer("nats-server")
async def test_asks_travel_over_nats_as_well(tmp_path: Path) -> None:
    """Batches through the stream, asks beside it: the other zone looks just the same."""
    nats = Nats(tmp_path)
    await nats.start()
    settings = CollectorConfig(
        port=free_port(), data_dir=tmp_path / "ledger", jetstream=JetStreamIntakeConfig(servers=(nats.url,))
    )
    try:
        async with dns_server() as dns, store_server() as store, collector(settings) as client:
            ports = free_ports()
            told = {"cadence_seconds": 30.0, "hosts_per_zone": 1, "zones": ("az1", "az2")}
            stream = JetStreamConfig(servers=(nats.url,))
            both = config(dns, store, (), ports, jetstream=stream, extra_probes_per_second=0.0, **told)
            async with canary(both, "az2"):
                await until_listening(ports["az2"])
                store.hook = fails_for("az1-canary-1")
                async with canary(both.model_copy(update={"cadence_seconds": 0.5}), "az1"):
                    rows = await until_confirmed(client)
    finally:
        await nats.kill()
    assert {row["series"]["host"] for row in rows} == {"az2-canary-1"}
    assert all(sum(row["counts"].values()) == row["counts"].get(Outcome.SUCCESS.value, 0) for row in rows)
    assert {row["series"]["level"] for row in rows} == {Level.CONFIRM.value}
