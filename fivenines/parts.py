"""The processes of the embedded stack: their names, what each needs to be ready, where it listens (pure)."""

from dataclasses import dataclass

from cluster.topology import Address, Topology
from fivenines.config import Config


@dataclass(frozen=True, slots=True)
class Part:
    """One process. ``kind`` and ``zone`` say what to run; ``ready_url`` answers 200 when it is ready; ``wave`` orders the start."""

    name: str
    kind: str
    zone: str | None
    ready_url: str
    wave: int
    listens: tuple[Address, ...] = ()


def parts_of(config: Config, topology: Topology) -> tuple[Part, ...]:
    """Every process of the stack: first the store and the judges, then those who ask."""
    dns = Part("dns", "dns", None, f"http://{topology.dns_admin}/ready", 0, (topology.dns, topology.dns_admin))
    collector = Address(config.collector.host, config.collector.port)
    cfa = Address(config.cfa.host, config.cfa.port)
    console = Address(config.console.host, config.console.port)
    traffic = Address(config.traffic.admin_host, config.traffic.admin_port)
    canaries = (
        (zone, Address(config.canary.admin_host, config.canary.admin_ports[zone])) for zone in config.canary.zones
    )
    return (
        dns,
        *(_zone_part(topology, index) for index in range(len(topology.zones))),
        Part("collector", "collector", None, f"http://{collector}/ready", 0, (collector,)),
        Part("cfa", "cfa", None, f"http://{cfa}/ready", 0, (cfa,)),
        Part("console", "console", None, f"http://{console}/api/health", 0, (console,)),
        *(Part(f"canary-{zone}", "canary", zone, f"http://{a}/ready", 1, (a,)) for zone, a in canaries),
        Part("traffic", "traffic", None, f"http://{traffic}/ready", 1, (traffic,)),
    )


def _zone_part(topology: Topology, index: int) -> Part:
    zone = topology.zones[index]
    listens = [zone.transport, zone.admin, *(node.metrics for node in zone.nodes)]
    for router in zone.routers:
        listens += [router.https, *router.http.values()]
    return Part(f"zone-{zone.name}", "zone", zone.name, f"http://{zone.admin}/ready", 0, tuple(listens))
