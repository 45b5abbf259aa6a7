"""One zone of the store as one OS process: routers, storage nodes, MemDS, transport, admin API (shell)."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from cluster.archive.hosting import Archive
from cluster.archive.opening import open_configured
from cluster.config import ClusterConfig
from cluster.control import catalogue
from cluster.control.admin import ZoneAdmin
from cluster.control.bootstrap import keep_tables
from cluster.control.healing import Patience
from cluster.disk import RealDisk
from cluster.fault_actions import FaultActions
from cluster.fault_injection import FaultSet
from cluster.format import check as check_format
from cluster.loopback import load_topology
from cluster.node import NodeSettings, StorageNode
from cluster.pages import listening, metrics_app
from cluster.ports import Evaluate
from cluster.replication.timing import Timing
from cluster.routing.memds import MemDs
from cluster.routing.router import RouterBack
from cluster.scrub.schedule import GroupScrub, ScrubSettings
from cluster.topology import Node, Router, Topology, Zone
from cluster.transport import Hub
from cluster.worker import ThreadWorker
from cluster.zone import DISK_REFUSES, ZoneComponents

logger = logging.getLogger("cluster")

READY_LOOK_SECONDS = 0.1
Front = Callable[[Router, RouterBack, FaultSet], Coroutine[Any, Any, None]]
"""Serves a router's front until cancelled."""


class ZoneProcess:
    """Everything of one zone, wired together. ``front`` None: routers without listeners (for tests of the back)."""

    def __init__(
        self, config: ClusterConfig, zone: str, *, topology: Topology, evaluate: Evaluate, front: Front | None
    ) -> None:
        self._config, self._evaluate, self._front = config, evaluate, front
        self.zone: Zone = next(z for z in topology.zones if z.name == zone)
        self._zones = sorted(topology.zones, key=lambda z: z.name != zone)
        self._zone_of = {name: z.name for z in topology.zones for name in z.components}
        self._timing = Timing(
            heartbeat_seconds=config.timing.heartbeat_seconds,
            missed_heartbeats=config.timing.missed_heartbeats,
            lease_seconds=config.timing.lease_seconds,
            drift_bound_seconds=config.timing.drift_bound_seconds,
        )
        self._catalogue = catalogue.catalogue_table(config)
        self.faults = FaultSet(self._zone_of)
        self.hub = Hub(topology, zone, secret=_secret(config.transport_token_file).encode(), paths=self.faults)
        self.memds = self._make_memds()
        self.stores: dict[str, RouterBack] = {}
        self.components = ZoneComponents(
            self.hub,
            self.faults,
            self._open_node,
            tuple(node.name for node in self.zone.nodes),
            {router.name: lambda router=router: self._serve_router(router) for router in self.zone.routers},  # type: ignore[misc]
            self._serve_node,
        )
        self._object_store = open_configured(config)
        self.actions = FaultActions(self.zone, self.components, self.faults)

    def _make_memds(self) -> MemDs:
        replicas = self._catalogue.partitions[0].replicas
        sources = tuple(sorted(replicas, key=lambda node: self._zone_of[node] != self.zone.name))
        readers = (*(n.name for n in self.zone.nodes), *(r.name for r in self.zone.routers))
        return MemDs(self.zone.memds, hub=self.hub, sources=sources, readers=readers)

    # --- components -----------------------------------------------------------------------------------------------------

    def _open_node(self, name: str) -> StorageNode:
        settings = NodeSettings(
            name=name,
            zone=self.zone.name,
            memds=self.zone.memds,
            timing=self._timing,
            catalogue=self._catalogue,
            nodes=tuple(node for node in self._zone_of if "-node-" in node),
            patience=Patience(
                dead_after_seconds=self._config.healing.dead_after_seconds,
                rebuild_after_seconds=self._config.healing.rebuild_after_seconds,
                zone_after_seconds=self._config.healing.zone_after_seconds,
            ),
            scrub=ScrubSettings(**self._config.scrub.model_dump()),
        )
        disk = RealDisk(self._config.data_dir / name, name, self.faults)
        try:
            return StorageNode(
                settings,
                hub=self.hub,
                faults=self.faults,
                evaluate=self._evaluate,
                disk=disk,
                worker=ThreadWorker(name),
                archive=self._archive(name),
            )
        except DISK_REFUSES:
            disk.close()
            raise

    def _archive(self, name: str) -> Archive | None:
        if self._object_store is None:
            return None
        return Archive(
            store=self._object_store,
            worker=ThreadWorker(f"{name}-archive"),
            config=self._config.archive,
            wall=lambda: self.faults.wall_clock(name),
        )

    async def _serve_node(self, node: StorageNode) -> None:
        place: Node = next(n for n in self.zone.nodes if n.name == node.name)
        async with listening(metrics_app(node, self.faults), place.metrics):
            await node.run()

    async def _serve_router(self, router: Router) -> None:
        store = RouterBack(
            router.name,
            config=self._config,
            hub=self.hub,
            zone_of=self._zone_of,
            memds=tuple(zone.memds for zone in self._zones),
        )
        self.stores[router.name] = store
        try:
            if self._front is None:
                await asyncio.Event().wait()
            else:
                await self._front(router, store, self.faults)
        finally:
            self.hub.detach(router.name)
            self.stores.pop(router.name, None)

    # --- what it says of itself -----------------------------------------------------------------------------------------

    def unready(self) -> str | None:
        """Why this zone cannot serve everything yet; None when it can."""
        wanted = {table.name for table in self._config.tables}
        if not wanted <= self.memds.names():
            return f"tables are being created: {', '.join(sorted(wanted - self.memds.names()))}"
        for name in (*(n.name for n in self.zone.nodes), *(r.name for r in self.zone.routers)):
            if not self.components.up(name):
                return f"{name} is down"
        wanted_groups = self.memds.groups_on(self._zone_of, self.zone.name)
        missing = wanted_groups - {group for node in self.components.nodes().values() for group in node.groups}
        if missing:
            return f"replicas are being made: {', '.join(sorted(missing))}"
        for node in self.components.nodes().values():
            for view in node.views():
                # A replica that was removed while it was away hears no leader until it is told, and is nobody's matter.
                belongs = view.group in wanted_groups or node.name in self._catalogue.partitions[0].replicas
                if belongs and view.leader is None:
                    return f"{view.group} has no leader yet"
        return None

    def state(self) -> dict[str, Any]:
        """For ``GET /state``."""
        nodes = self.components.nodes()
        return {
            "zone": self.zone.name,
            "at": time.time(),
            "connected": sorted(self.hub.connected()),
            "transport_refusals": dict(self.hub.refusals),
            "memds": {"name": self.memds.name, "version": self.memds.version},
            "routers": {router.name: {"up": self.components.up(router.name)} for router in self.zone.routers},
            "nodes": {
                node.name: {
                    "up": node.name in nodes,
                    "paused": node.name in nodes and nodes[node.name].paused,
                    "groups": [dataclasses.asdict(v) for v in nodes[node.name].views()] if node.name in nodes else [],
                }
                for node in self.zone.nodes
            },
        }

    def scrubs(self) -> dict[str, Any]:
        """For ``GET /scrub``: the last scrub of each group that is led in this zone."""
        found: dict[str, GroupScrub] = {}
        for node in self.components.nodes().values():
            found |= node.scrub.views()
        return _shown(found)

    async def scrub(self) -> dict[str, Any]:
        """For ``POST /scrub``: all of them once more, now."""
        found: dict[str, GroupScrub] = {}
        for node in self.components.nodes().values():
            found |= await node.scrub.now()
        return _shown(found)

    # --- running --------------------------------------------------------------------------------------------------------

    async def run(self, ready: asyncio.Event | None = None) -> None:
        """Until cancelled; ``ready`` is set when the zone can serve everything for the first time."""
        admin = ZoneAdmin(self.faults, self.actions, self.unready, self.state, self.scrubs, self.scrub)
        token = _secret(self._config.admin_token_file) or None
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(listening(admin.app(token), self.zone.admin))
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            listens = asyncio.Event()
            background = [
                tasks.create_task(self.hub.run(listens)),
                tasks.create_task(self.memds.run()),
            ]
            try:
                await self._run_components(listens, ready)
            finally:
                await self.components.close()
                for task in background:
                    task.cancel()

    async def _run_components(self, listens: asyncio.Event, ready: asyncio.Event | None) -> None:
        await listens.wait()
        for name in (*(n.name for n in self.zone.nodes), *(r.name for r in self.zone.routers)):
            await self.components.start(name)
        host = next((n.name for n in self.zone.nodes if n.name in self._catalogue.partitions[0].replicas), None)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.components.watch())
            if host is not None:
                tasks.create_task(keep_tables(self._config, lambda: self.components.node(host)))
            if ready is not None:
                tasks.create_task(self._tell_ready(ready))

    async def _tell_ready(self, ready: asyncio.Event) -> None:
        while (reason := self.unready()) is not None:
            logger.debug("%s is not ready: %s", self.zone.name, reason)
            await asyncio.sleep(READY_LOOK_SECONDS)
        logger.info("%s is ready", self.zone.name)
        ready.set()


def _shown(scrubs: dict[str, GroupScrub]) -> dict[str, Any]:
    groups = {name: {**dataclasses.asdict(scrub), "clean": scrub.clean} for name, scrub in sorted(scrubs.items())}
    return {"groups": groups}


def _secret(path: Path | None) -> str:
    return path.read_text().strip() if path else ""


def http_front(config: ClusterConfig, topology: Topology) -> Front:
    """The front that customers meet: DynamoDB's API over HTTP and HTTPS."""
    from cluster.api.http import serve_router  # noqa: PLC0415
    from cluster.certificates import ensure, server_context  # noqa: PLC0415

    paths = ensure(config, topology)

    async def serve(router: Router, store: RouterBack, faults: FaultSet) -> None:
        tls = server_context(paths, topology, faults)
        await serve_router(router, store, config, topology, faults=faults, tls=tls)

    return serve


async def run_zone(config: ClusterConfig, zone: str, ready: asyncio.Event | None = None) -> None:
    """Run the zone until cancelled; ``ready`` is set once it can serve everything. Raises OSError when an address is taken."""
    from cluster.api.evaluation import evaluate  # noqa: PLC0415

    check_format(config.data_dir)
    topology = load_topology(config)
    front = http_front(config, topology)
    process = ZoneProcess(config, zone, topology=topology, evaluate=evaluate, front=front)
    try:
        await process.run(ready)
    except BaseExceptionGroup as group:
        # Many parts may fail at once when one address is taken; one plain reason is what the caller can act upon.
        raise _first_reason(group) from group


def _first_reason(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
