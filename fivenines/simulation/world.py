"""A region of three zones in virtual time: the store's own code on a simulated network, disks and clocks (shell)."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cluster.api.evaluation import evaluate
from cluster.archive.hosting import Archive
from cluster.archive.memory import MemoryStore
from cluster.config import ArchiveConfig, ClusterConfig, TableConfig, TimingConfig
from cluster.control import catalogue
from cluster.control.healing import Patience
from cluster.fault_injection import FaultSet
from cluster.node import NodeSettings, StorageNode
from cluster.replication.timing import Timing
from cluster.routing.router import RouterBack
from cluster.scrub.schedule import ScrubSettings
from cluster.topology import build
from cluster.transport import Hub
from cluster.zone import DISK_REFUSES
from fivenines.simulation.checkers.watching import Watching
from fivenines.simulation.clocks import RATE_BOUND, DriftingClock
from fivenines.simulation.disk import SimulatedDisk, SimulatedWorker
from fivenines.simulation.network import Network
from fivenines.simulation.stage import Stage
from fivenines.simulation.zone import SimulatedZone

T = TypeVar("T")
WALL_CLOCK_EPOCH = 1_800_000_000.0
TABLE = "t"
QUICK = TimingConfig(heartbeat_seconds=0.25, lease_seconds=1.5, drift_bound_seconds=0.05, request_timeout_seconds=1.0)
USUAL = TimingConfig()


@dataclass(frozen=True, slots=True)
class Size:
    """How large a region is. ``archived``: it has an archive; ``scrub_seconds``: how often each group is scrubbed."""

    partitions: int = 1
    nodes_per_zone: int = 2
    quick: bool = False
    archived: bool = False
    scrub_seconds: float = 8.0


def configuration(size: Size) -> ClusterConfig:
    """The configuration of a small region."""
    return ClusterConfig(
        routers_per_zone=1,
        nodes_per_zone=size.nodes_per_zone,
        endpoints=("standard",),
        data_dir=Path("simulated"),
        tables=(TableConfig(name=TABLE, partitions=size.partitions),),
        default_partitions=1,
        archive=ArchiveConfig(seal_seconds=4.0, seal_entries=40, snapshot_segments=3),
        timing=QUICK if size.quick else USUAL,
    )


class Inline:
    """A :class:`cluster.worker.Worker` for work that only computes: at once."""

    async def run(self, work: Callable[[], T]) -> T:
        """Do it now."""
        return work()

    async def close(self) -> None:
        """Nothing is kept."""


class World:
    """Everything there is in a run. Made inside a virtual loop."""

    def __init__(self, seed: int, size: Size, stage: Stage) -> None:
        self.size = size
        self.archive = MemoryStore() if size.archived else None
        self._seed, self._stage, self.trace, self.verdict = seed, stage, stage.trace, stage.verdict
        self._loop = asyncio.get_running_loop()
        self.config = configuration(size)
        self.topology = build(self.config, single=False)
        self.zone_of = {node.name: node.zone for node in self.topology.nodes}
        self.watch = Watching(self.verdict, self._loop.time, self.zone_of)
        everything = {component: zone.name for zone in self.topology.zones for component in zone.components}
        self.faults = FaultSet(everything, clock=self.wall_clock, chance=self.draw("chance").random)
        self.network = Network(self.config.zones, self.draw("network"), self.trace)
        clocks = self.draw("clocks")
        self.clocks = {name: self._new_clock(clocks) for name in self.zone_of}
        self.disks = {name: SimulatedDisk(name, self.faults, self.draw(f"disk {name}")) for name in self.zone_of}
        self.zones: dict[str, SimulatedZone] = {}
        self._nonces = self.draw("nonces")
        self._down: dict[str, int] = {}
        """How many faults hold a zone or a node down."""
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._changing = {name: asyncio.Lock() for name in self.config.zones}
        """Held while something of the zone starts or stops: a disk has one user at a time."""
        self.timing = Timing(
            heartbeat_seconds=self.config.timing.heartbeat_seconds,
            missed_heartbeats=self.config.timing.missed_heartbeats,
            lease_seconds=self.config.timing.lease_seconds,
            drift_bound_seconds=self.config.timing.drift_bound_seconds,
        )

    def draw(self, purpose: str) -> random.Random:
        """A source of chance of its own for each purpose, so that one more draw here changes nothing there."""
        return random.Random(f"{self._seed} {purpose}")

    def wall_clock(self) -> float:
        """UTC as it truly is."""
        return WALL_CLOCK_EPOCH + self._loop.time()

    def _new_clock(self, draw: random.Random) -> DriftingClock:
        offset = draw.uniform(1.0, 1e6)
        return DriftingClock(self._loop.time, offset, self._loop.time(), 1.0 + RATE_BOUND * draw.uniform(-1.0, 1.0))

    def note(self, kind: str, text: str) -> None:
        """Put it into the trace."""
        self.trace.note(self._loop.time(), kind, text)

    def close(self) -> None:
        """Let go of the databases: SQLite's objects are out of the garbage collector's sight, and would stay with all they know."""
        for node in self.nodes().values():
            node.keeping.close(crash=True)

    # --- zones ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Switch everything on."""
        await asyncio.gather(*(self._start_zone(name) for name in self.config.zones))

    async def zones_off(self, *names: str) -> None:
        """The power of whole zones goes, at the same instant, and stays away until :meth:`zone_on` for each."""
        ending = []
        for name in names:
            self._down[name] = self._down.get(name, 0) + 1
            if (zone := self.zones.pop(name, None)) is not None:
                for node in zone.zone.nodes:
                    self._lose_power(node.name)
                ending.append(self._end_zone(zone))
        await asyncio.gather(*ending)

    async def _end_zone(self, zone: SimulatedZone) -> None:
        async with self._changing[zone.zone.name]:
            await zone.end(crash=True)

    async def zone_on(self, name: str) -> None:
        """Switch a zone on again, once nobody else holds it down."""
        self._down[name] -= 1
        if not self._down[name]:
            await self._start_zone(name)

    async def _start_zone(self, name: str) -> None:
        """Its nodes come from their disks unless they are held down."""
        async with self._changing[name]:
            if self._down.get(name) or name in self.zones:
                return
            zone = self.zones[name] = self._new_zone(name)
            await zone.start(self._component_failed)
            for node in zone.zone.nodes:
                await self._start_node(zone, node.name)

    def _new_zone(self, name: str) -> SimulatedZone:
        return SimulatedZone(
            name,
            config=self.config,
            topology=self.topology,
            carrier=self.network.carrier(name),
            faults=self.faults,
            open_node=self._open_node,
            wall_clock=self.wall_clock,
            nonce=lambda: f"{self._nonces.getrandbits(32):08x}",
        )

    def _component_failed(self, error: BaseException) -> None:
        self.verdict.breaks("components_live", self._loop.time(), f"a component has ended: {error!r}")

    def router(self, zone: str) -> RouterBack | None:
        """A router of the zone, unless the zone is down."""
        running = self.zones.get(zone)
        return next(iter(running.routers.values()), None) if running else None

    async def through(self, zone: str, work: Coroutine[Any, Any, Any]) -> Any:
        """What ``work`` on the zone's router returns; raises ConnectionError when the zone falls meanwhile."""
        return await self.zones[zone].call(work)

    # --- nodes ----------------------------------------------------------------------------------------------------------

    def node(self, name: str) -> StorageNode | None:
        """The node, unless it is down."""
        zone = self.zones.get(self.zone_of[name])
        return zone.components.node(name) if zone else None

    def nodes(self) -> dict[str, StorageNode]:
        """All nodes that are up."""
        return {name: node for name in self.zone_of if (node := self.node(name)) is not None}

    async def take_down(self, name: str, *, crash: bool) -> None:
        """Stop a node, or switch its power off, and hold it down until :meth:`let_up`."""
        self._down[name] = self._down.get(name, 0) + 1
        zone = self.zones.get(self.zone_of[name])
        if zone is not None and not zone.components.up(name):
            await zone.components.stop(
                name, crash=True
            )  # its disk may have refused to open: that is not tried again now
        elif zone is not None:
            if crash:
                self._lose_power(name)
            async with self._changing[zone.zone.name]:
                await self._stop(zone, name, crash=crash)
            self.watch.closed(name)

    async def _stop(self, zone: SimulatedZone, name: str, *, crash: bool) -> None:
        """A planned stop takes a while; when the power goes meanwhile, it is a crash after all."""
        node = zone.components.node(name)
        if crash or node is None:
            await zone.components.stop(name, crash=crash)
            return
        stopping = self._stopping[name] = self._loop.create_task(zone.components.stop(name, crash=False))
        await asyncio.wait([stopping])
        del self._stopping[name]
        if stopping.cancelled():
            await zone.components.stop(name, crash=True)
            if self.disks[name].in_use:
                await node.close(crash=True)
        else:
            stopping.result()

    async def let_up(self, name: str) -> None:
        """Start it again, once nobody else holds it down and its zone is on."""
        self._down[name] -= 1
        async with self._changing[self.zone_of[name]]:
            if (zone := self.zones.get(self.zone_of[name])) is not None:
                await self._start_node(zone, name)

    async def _start_node(self, zone: SimulatedZone, name: str) -> None:
        if not self._down.get(name) and self.zones.get(zone.zone.name) is zone:
            await zone.components.start(name)

    def _lose_power(self, name: str) -> None:
        self.watch.closed(name)
        disk = self.disks[name]
        in_use = disk.in_use
        disk.power_off()
        if (stopping := self._stopping.get(name)) is not None:
            stopping.cancel()
        if not in_use:
            disk.close()

    def damaging(self, name: str) -> None:
        """The node's disk is about to lose, on purpose, what was durable."""
        self.watch.durability.excuse(name, forget=self.node(name) is None)
        self._stage.expects_errors = True

    def _open_node(self, name: str, hub: Hub) -> StorageNode:
        settings = NodeSettings(
            name=name,
            zone=self.zone_of[name],
            memds=next(zone.memds for zone in self.topology.zones if zone.name == self.zone_of[name]),
            timing=self.timing,
            catalogue=catalogue.catalogue_table(self.config),
            nodes=tuple(node.name for zone in self.topology.zones for node in zone.nodes),
            patience=Patience(),
            scrub=ScrubSettings(
                every_seconds=self.size.scrub_seconds,
                reference_every=2,
                pages_every_seconds=2 * self.size.scrub_seconds,
            ),
        )
        disk = self.disks[name]
        try:
            return StorageNode(
                settings,
                hub=hub,
                faults=self.faults,
                evaluate=evaluate,
                disk=disk,
                worker=SimulatedWorker(disk),
                clock=self.clocks[name],
                watch=self.watch,
                archive=self._archive_of(name),
            )
        except DISK_REFUSES as error:
            disk.close()
            self.note("refused", f"{name} does not start: {error}")
            raise

    def _archive_of(self, name: str) -> Archive | None:
        if self.archive is None:
            return None
        wall = partial(self.faults.wall_clock, name)
        return Archive(store=self.archive, worker=Inline(), config=self.config.archive, wall=wall)
