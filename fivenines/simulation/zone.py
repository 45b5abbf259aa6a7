"""One zone's process, simulated: the parts that ``cluster.process`` wires together, without listeners (shell)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from cluster.config import ClusterConfig
from cluster.control import catalogue
from cluster.control.bootstrap import keep_tables
from cluster.fault_actions import FaultActions
from cluster.fault_injection import FaultSet
from cluster.node import StorageNode
from cluster.routing.memds import MemDs
from cluster.routing.router import RouterBack
from cluster.topology import Topology, Zone
from cluster.transport import Carrier, Hub
from cluster.zone import ZoneComponents


class SimulatedZone:
    """A zone from its start to its end; another start makes another one. ``open_node``: opens a node from its disk."""

    def __init__(
        self,
        name: str,
        *,
        config: ClusterConfig,
        topology: Topology,
        carrier: Carrier,
        faults: FaultSet,
        open_node: Callable[[str, Hub], StorageNode],
        wall_clock: Callable[[], float],
        nonce: Callable[[], str],
    ) -> None:
        self.zone: Zone = next(zone for zone in topology.zones if zone.name == name)
        self._config, self._wall_clock, self._nonce = config, wall_clock, nonce
        self._zones = sorted(topology.zones, key=lambda zone: zone.name != name)
        self._zone_of = {component: zone.name for zone in topology.zones for component in zone.components}
        self._catalogue = catalogue.catalogue_table(config)
        self.hub = Hub(topology, name, paths=faults, carrier=carrier)
        self.memds = self._make_memds()
        self.routers: dict[str, RouterBack] = {}
        self.components = ZoneComponents(
            self.hub,
            faults,
            lambda node: open_node(node, self.hub),
            tuple(node.name for node in self.zone.nodes),
            {},
            StorageNode.run,
        )
        self.actions = FaultActions(self.zone, self.components, faults)
        self._tasks: list[asyncio.Task[Any]] = []
        self._calls: dict[asyncio.Task[Any], None] = {}

    def _make_memds(self) -> MemDs:
        replicas = self._catalogue.partitions[0].replicas
        sources = tuple(sorted(replicas, key=lambda node: self._zone_of[node] != self.zone.name))
        readers = (*(node.name for node in self.zone.nodes), *(router.name for router in self.zone.routers))
        return MemDs(self.zone.memds, hub=self.hub, sources=sources, readers=readers)

    # --- life -----------------------------------------------------------------------------------------------------------

    async def start(self, failed: Callable[[BaseException], None]) -> None:
        """Switch it on; ``failed`` hears of a component that ends by itself, which must never happen."""
        host = next(node for node in self._catalogue.partitions[0].replicas if self._zone_of[node] == self.zone.name)
        for work in (
            self.hub.run(),
            self.memds.run(),
            self.components.watch(),
            keep_tables(
                self._config, lambda: self.components.node(host), wall_clock=self._wall_clock, nonce=self._nonce
            ),
        ):
            task = asyncio.create_task(work)
            task.add_done_callback(lambda done: None if done.cancelled() else failed(_why(done)))
            self._tasks.append(task)
        memds = tuple(zone.memds for zone in self._zones)
        for router in self.zone.routers:
            self.routers[router.name] = RouterBack(
                router.name, config=self._config, hub=self.hub, zone_of=self._zone_of, memds=memds
            )

    async def end(self, *, crash: bool) -> None:
        """Switch it off; a ``crash`` is what a power-off does to it."""
        for task in [*self._calls, *self._tasks]:
            task.cancel()
        self.routers.clear()
        for node in self.zone.nodes:
            await self.components.stop(node.name, crash=crash)
        await asyncio.gather(*self._calls, *self._tasks, return_exceptions=True)

    async def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something on a router; raises ConnectionError when the zone falls meanwhile."""
        task = asyncio.create_task(work)
        self._calls[task] = None
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            raise ConnectionError(f"{self.zone.name} has fallen") from None
        finally:
            self._calls.pop(task, None)


def _why(task: asyncio.Task[Any]) -> BaseException:
    return task.exception() or RuntimeError("a component has ended by itself")
