"""What installing and removing a fault does to the components of a zone, beyond changing the answers to questions (shell)."""

import logging

from cluster.fault_injection import FaultSet
from cluster.faults import NOT_BUILT_YET, Fault, FaultKind, places_of
from cluster.topology import Zone
from cluster.zone import ZoneComponents

logger = logging.getLogger("cluster")

_DOWN = frozenset({FaultKind.CRASH, FaultKind.POWER_OFF})
_ELSEWHERE = {
    FaultKind.DNS: "the DNS server",
    FaultKind.LOAD: "the supervisor",
    FaultKind.CANARY_SICK: "the canary",
    FaultKind.COLLECTOR_DOWN: "the supervisor",
}


class NotHere(Exception):
    """A zone process cannot do this; ``status`` for HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FaultActions:
    """Installs and removes faults in one zone; both return when that is really so."""

    def __init__(self, zone: Zone, components: ZoneComponents, faults: FaultSet) -> None:
        self._zone, self._components, self._faults = zone, components, faults
        self._nodes = {node.name for node in zone.nodes}
        self._routers = {router.name for router in zone.routers}

    async def add(self, fault_id: str, fault: Fault) -> None:
        """Put ``fault`` in force; one that is for another zone is kept and does nothing. Raises :class:`NotHere`."""
        self._check(fault)
        if fault_id in self._faults.installed():
            raise NotHere(409, f"there is a fault {fault_id} already; remove it first")
        if fault.kind != FaultKind.RESTART:
            self._faults.add(fault_id, fault)
        for name in self._meant(fault):
            await self._strike(fault.kind, name)
        logger.info("fault %s is in force: %s", fault_id, fault.kind)

    def _check(self, fault: Fault) -> None:
        if fault.kind in NOT_BUILT_YET:
            raise NotHere(501, f"{fault.kind} is not built yet: its part of the store does not exist")
        if fault.kind in _ELSEWHERE:
            raise NotHere(422, f"{fault.kind} is applied by {_ELSEWHERE[fault.kind]}, not by a zone process")
        whole_zone = fault.zone is not None and fault.kind in {*_DOWN, FaultKind.PAUSE, FaultKind.RESTART}
        if whole_zone:
            raise NotHere(422, f"{fault.kind} of a zone is applied to its process by the supervisor; name a node here")
        place = fault.node or fault.router
        if place and place.startswith(f"{self._zone.name}-") and place not in self._nodes | self._routers:
            names = ", ".join(sorted(self._nodes | self._routers))
            raise NotHere(422, f"{self._zone.name} has no {place}; it has {names} ({', '.join(places_of(fault.kind))})")

    def _meant(self, fault: Fault) -> list[str]:
        return [name for name in (*self._nodes, *self._routers) if name in (fault.node, fault.router)]

    async def _strike(self, kind: FaultKind, name: str) -> None:
        if kind in _DOWN:
            await self._components.stop(name, crash=True)
        elif kind == FaultKind.RESTART:
            await self._components.stop(name, crash=False)
            await self._components.start(name)
        elif kind == FaultKind.PAUSE:
            self._components.pause(name)
        elif kind == FaultKind.CORRUPT and (node := self._components.node(name)) is not None:
            logger.info("%s: %d items damaged", name, node.items.damage())

    async def remove(self, fault_id: str) -> Fault | None:
        """Take it out and let its victims recover; None when there is none of that id."""
        fault = self._faults.remove(fault_id)
        if fault is None:
            return None
        others = {f.kind for f in self._faults.installed().values() if self._meant(f) == self._meant(fault)}
        for name in self._meant(fault):
            await self._relieve(fault.kind, name, others)
        logger.info("fault %s is removed: %s", fault_id, fault.kind)
        return fault

    async def _relieve(self, kind: FaultKind, name: str, others: set[FaultKind]) -> None:
        if kind in _DOWN and not others & _DOWN:
            await self._components.start(name)
            if FaultKind.PAUSE in others:
                self._components.pause(name)
        elif kind == FaultKind.PAUSE and kind not in others:
            self._components.resume(name)
        elif kind == FaultKind.CORRUPT and kind not in others and (node := self._components.node(name)) is not None:
            logger.info("%s: %d items mended", name, node.items.mend())
