"""Who carries out a fault: which processes are killed, stopped or told (pure)."""

from dataclasses import dataclass

from cluster.faults import NOT_BUILT_YET, Fault, FaultKind
from cluster.topology import Topology
from fivenines.config import Config


class FaultRefused(ValueError):
    """A fault that cannot be put in force: its part is not built, or its place does not exist. The text says which."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the supervisor does with a fault: kill (and keep down), freeze, restart parts, and tell admin URLs."""

    kill: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    tell: tuple[str, ...] = ()
    """Names of parts whose admin API takes the fault."""


_TOLD_TO_ALL_ZONES = {FaultKind.TLS, FaultKind.ERROR}
_NETWORK = {FaultKind.PARTITION, FaultKind.DELAY, FaultKind.DROP}


def plan(fault: Fault, config: Config, topology: Topology) -> Plan:
    """Who carries out ``fault``; raises :class:`FaultRefused`."""
    if fault.kind in NOT_BUILT_YET:
        raise FaultRefused(f"{fault.kind} is not built yet: the bundled store has no such part to break")
    _check_places(fault, config, topology)
    zones = tuple(f"zone-{zone.name}" for zone in topology.zones)
    canaries = tuple(f"canary-{zone}" for zone in config.canary.zones)
    if fault.kind is FaultKind.COLLECTOR_DOWN:
        return Plan(kill=("collector",))
    if fault.kind is FaultKind.LOAD:
        return Plan(tell=("traffic",))
    if fault.kind is FaultKind.DNS:
        return Plan(tell=("dns",))
    if fault.kind in _NETWORK:
        return Plan(tell=(*zones, *canaries))
    if fault.canary:
        return Plan(tell=(f"canary-{fault.canary.rsplit('-', 2)[0]}",))
    if fault.zone:
        return _zone_plan(fault, fault.zone)
    if fault.endpoint and fault.kind in _TOLD_TO_ALL_ZONES:
        return Plan(tell=zones)
    return Plan(tell=(f"zone-{topology.zone_of(fault.node or fault.router or '')}",))


def _zone_plan(fault: Fault, zone: str) -> Plan:
    store = f"zone-{zone}"
    match fault.kind:
        case FaultKind.POWER_OFF:
            return Plan(kill=(store, f"canary-{zone}"))
        case FaultKind.CRASH:
            return Plan(kill=(store,))
        case FaultKind.PAUSE:
            return Plan(freeze=(store,))
        case FaultKind.RESTART:
            return Plan(restart=(store,))
        case _:
            return Plan(tell=(store,))


def _check_places(fault: Fault, config: Config, topology: Topology) -> None:
    hosts = {f"{z}-canary-{n}" for z in config.canary.zones for n in range(1, config.canary.hosts_per_zone + 1)}
    routers, nodes = {r.name for r in topology.routers}, {n.name for n in topology.nodes}
    known = {
        "zone": {zone.name for zone in topology.zones},
        "node": nodes,
        "router": routers,
        "canary": hosts,
        "endpoint": {*topology.endpoint_hosts, "any"},
    }
    for place, names in known.items():
        given = getattr(fault, place)
        if given is not None and given not in names:
            raise FaultRefused(f"there is no {place} '{given}'; there is: {', '.join(sorted(names))}")
    components = hosts | routers | nodes | {zone.memds for zone in topology.zones}
    for given in (fault.source, fault.target):
        if isinstance(given, str) and given not in components:
            raise FaultRefused(f"there is no component '{given}'; there is: {', '.join(sorted(components))}")
