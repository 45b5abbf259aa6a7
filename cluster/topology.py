"""Names and addresses of everything in a region, computed from the configuration (pure).

``many`` loopback: zone *i*, router *j* → 127.0.i.j; storage node *j* → 127.0.i.(10+j); the zone itself → 127.0.i.100.
``single`` loopback: everything on 127.0.0.1 with a port of its own: port + 100·i + 10·j; clients learn router ports from SRV records.
"""

import hashlib
from dataclasses import dataclass

from cluster.config import ClusterConfig


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """``IP:port``."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Router:
    """A request router: where it listens for each endpoint (plain HTTP), and for all of them (HTTPS)."""

    name: str
    zone: str
    http: dict[str, Address]
    https: Address

    @property
    def metrics_url(self) -> str:
        """Its ``/metrics`` page."""
        return f"http://{next(iter(self.http.values()))}/metrics"


@dataclass(frozen=True, slots=True)
class Node:
    """A storage node."""

    name: str
    zone: str
    metrics: Address

    @property
    def metrics_url(self) -> str:
        """Its ``/metrics`` page."""
        return f"http://{self.metrics}/metrics"


@dataclass(frozen=True, slots=True)
class Zone:
    """What one zone process runs and where it listens."""

    name: str
    routers: tuple[Router, ...]
    nodes: tuple[Node, ...]
    memds: str
    transport: Address
    admin: Address

    @property
    def components(self) -> tuple[str, ...]:
        """The names of all that runs here."""
        return (self.memds, *(router.name for router in self.routers), *(node.name for node in self.nodes))


@dataclass(frozen=True, slots=True)
class Topology:
    """The region: zones, endpoints' DNS names, and the DNS server."""

    zones: tuple[Zone, ...]
    endpoint_hosts: dict[str, str]
    dns: Address
    dns_admin: Address
    single: bool

    @property
    def routers(self) -> tuple[Router, ...]:
        """All routers."""
        return tuple(router for zone in self.zones for router in zone.routers)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All storage nodes."""
        return tuple(node for zone in self.zones for node in zone.nodes)

    def zone_of(self, component: str) -> str:
        """The zone of a component by its name; raises KeyError."""
        for zone in self.zones:
            names = {zone.memds, *(r.name for r in zone.routers), *(n.name for n in zone.nodes)}
            if component in names:
                return zone.name
        raise KeyError(component)


def endpoint_host(endpoint: str, *, region: str, account: str, domain: str) -> str:
    """The DNS name of an endpoint, after the pattern of DynamoDB's own names."""
    patterns = {
        "standard": f"dynamodb.{region}.{domain}",
        "fips": f"dynamodb-fips.{region}.{domain}",
        "dualstack": f"dynamodb.{region}.api.{domain}",
        "account": f"{account}.ddb.{region}.{domain}",
    }
    return patterns.get(endpoint, f"{endpoint}.{region}.{domain}")


def build(config: ClusterConfig, *, single: bool) -> Topology:
    """The topology of ``config``; ``single`` says that only 127.0.0.1 can be had."""

    def at(zone: int, member: int, port: int) -> Address:
        if single:
            return Address("127.0.0.1", port + 100 * zone + 10 * (member % 10 if member < 100 else 0))
        return Address(f"127.0.{zone}.{member}", port)

    def router(zone_name: str, i: int, j: int) -> Router:
        http = {name: at(i, j, config.http_port + k) for k, name in enumerate(config.endpoints)}
        return Router(f"{zone_name}-router-{j}", zone_name, http, at(i, j, config.https_port))

    zones = tuple(
        Zone(
            name,
            tuple(router(name, i, j) for j in range(1, config.routers_per_zone + 1)),
            tuple(
                Node(f"{name}-node-{j}", name, at(i, 10 + j, config.metrics_port))
                for j in range(1, config.nodes_per_zone + 1)
            ),
            f"{name}-memds-1",
            at(i, 100, config.transport_port),
            at(i, 100, config.admin_port),
        )
        for i, name in enumerate(config.zones, start=1)
    )
    hosts = {
        e: endpoint_host(e, region=config.region, account=config.account, domain=config.domain)
        for e in config.endpoints
    }
    dns, dns_admin = Address("127.0.0.1", config.dns_port), Address("127.0.0.1", config.dns_admin_port)
    return Topology(zones, hosts, dns, dns_admin, single)


def replica_names(config: ClusterConfig, partition: int) -> tuple[str, ...]:
    """The three storage nodes of a table's ``partition``, the preferred leader first.

    Leaders go round the zones, then round the nodes of a zone, so that nine partitions have nine leaders.
    """
    count = len(config.zones)
    names = []
    for offset in range(count):
        zone = config.zones[(partition + offset) % count]
        node = (partition // count) % config.nodes_per_zone + 1
        names.append(f"{zone}-node-{node}")
    return tuple(names)


RING_END = 2**64 - 1
"""The last position of the ring (and the ``end`` of the last partition, which holds it: 2^64 has no place in 64 bits)."""


def zone_of(component: str) -> str:
    """The zone in a component's name (``az1-node-2``)."""
    return component.rsplit("-", 2)[0]


def key_hash(partition_key: bytes) -> int:
    """The 64-bit position of a partition key on the ring; the ring is cut into a table's partitions evenly at first."""
    return int.from_bytes(hashlib.blake2b(partition_key, digest_size=8).digest(), "big")
