"""A small region of three zones inside one event loop, on addresses of its own."""

import asyncio
import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

from cluster.api.evaluation import evaluate
from cluster.config import ArchiveConfig, ClusterConfig, TableConfig, TimingConfig
from cluster.ports import ItemKey, Table, WriteAnswer, WriteRequest
from cluster.process import ZoneProcess
from cluster.routing.router import RouterBack
from cluster.topology import Address, Topology, build

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Tests that run side by side in several processes have ports of their own."""


def moved(value: Any) -> Any:
    """``value`` with every address 127.0.i.m as an address in 127.77.2.x."""
    if isinstance(value, Address):
        _, _, zone, member = map(int, value.host.split("."))
        return Address(f"127.77.2.{70 * (zone - 1) + min(member, 60)}", value.port) if zone else value
    if isinstance(value, tuple):
        return tuple(moved(part) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{f.name: moved(getattr(value, f.name)) for f in dataclasses.fields(value)})
    return value


class Region:
    """Zone processes by name; ``start`` and ``kill`` are what a supervisor would do."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.topology: Topology = moved(build(config, single=False))
        self.zones: dict[str, ZoneProcess] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, *names: str, wait: bool = True) -> None:
        """Start zones (all by default) and wait until they are ready."""
        waits = []
        for name in names or self.config.zones:
            ready = asyncio.Event()
            self.zones[name] = ZoneProcess(self.config, name, topology=self.topology, evaluate=evaluate, front=None)
            self._tasks[name] = asyncio.create_task(self.zones[name].run(ready))
            waits.append(ready.wait())
        if wait:
            async with asyncio.timeout(20):
                await asyncio.gather(*waits)

    async def stop(self, name: str) -> None:
        """End one zone in good order."""
        self.zones.pop(name)
        task = self._tasks.pop(name)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def kill(self, name: str) -> None:
        """The power of a zone goes: nothing that was not durable stays."""
        zone = self.zones[name]
        for component in zone.zone.components:
            await zone.components.stop(component, crash=True)
        await self.stop(name)

    def store(self, zone: str = "az1") -> RouterBack:
        """The first router of a zone."""
        return self.zones[zone].stores[f"{zone}-router-1"]

    async def table(self, name: str = "canary", zone: str = "az1") -> Table:
        """A table that must be there."""
        table = await self.store(zone).table(name)
        assert table is not None
        return table

    async def put(self, pk: str, value: str, *, zone: str = "az1", table: str = "canary") -> WriteAnswer:
        """Write an item."""
        item = {"pk": {"S": pk}, "sk": {"S": "s"}, "v": {"S": value}}
        request = WriteRequest(operation="PutItem", parameters={"TableName": table, "Item": item})
        return await self.store(zone).write(await self.table(table, zone), key(pk), request)

    async def get(self, pk: str, *, zone: str = "az1", table: str = "canary", strong: bool = True) -> str | None:
        """Read an item's value."""
        answer = await self.store(zone).read(await self.table(table, zone), key(pk), strong=strong)
        return None if answer.item is None else answer.item["v"]["S"]


def key(pk: str) -> ItemKey:
    """The place of an item written by :meth:`Region.put`."""
    return ItemKey(pk.encode(), b"s")


def quick_config(directory: Path, **changes: Any) -> ClusterConfig:
    """A region with short timings and one table."""
    timing = TimingConfig(heartbeat_seconds=0.1, lease_seconds=0.6, drift_bound_seconds=0.02)
    tables = (TableConfig(name="canary", partitions=3),)
    ports = {"transport_port": 7000 + 2 * WORKER, "admin_port": 7001 + 2 * WORKER, "metrics_port": 9100 + WORKER}
    archive = ArchiveConfig(directory=directory / "archive", seal_seconds=0.5)
    return ClusterConfig(
        **{"archive": archive, "data_dir": directory, "tables": tables, "timing": timing, **ports, **changes}
    )
