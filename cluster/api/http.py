"""A router's listening sockets: plain HTTP on one address per endpoint, HTTPS for all of them on one (shell)."""

import asyncio
import functools
import ssl
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry

from cluster.api.connection import Connections, Limits
from cluster.api.front import Front
from cluster.api.injection import FrontFaults, NoFaults
from cluster.api.metrics import RouterMetrics
from cluster.config import ClusterConfig
from cluster.ports import Store
from cluster.topology import Address, Router, Topology

_HANDSHAKE_SECONDS = 5.0
_GOODBYE_SECONDS = 2.0
_BACKLOG = 1024


def read_secrets(config: ClusterConfig) -> dict[str, str]:
    """Access key id → secret; raises OSError when a file cannot be read."""
    return {c.access_key_id: c.secret_access_key_file.read_text().strip() for c in config.credentials}


async def serve_router(
    router: Router,
    store: Store,
    config: ClusterConfig,
    topology: Topology,
    *,
    faults: FrontFaults | None = None,
    tls: ssl.SSLContext | None = None,
    registry: CollectorRegistry | None = None,
    ready: asyncio.Event | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve ``router`` until cancelled; without ``tls`` there is no HTTPS. ``ready`` is set when all addresses listen.

    Raises OSError when an address cannot be had or a secret cannot be read.
    """
    front = Front(
        router=router.name,
        store=store,
        config=config,
        hosts=topology.endpoint_hosts,
        secrets=read_secrets(config),
        faults=faults or NoFaults(),
        metrics=RouterMetrics(registry or CollectorRegistry(), version=installed_version()),
    )
    connections = Connections(front, limits or Limits())
    front.metrics.connections.set_function(lambda: len(connections.open))
    servers: list[asyncio.Server] = []
    try:
        for endpoint, address in router.http.items():
            servers.append(await _listen(connections, endpoint, address, None))
        if tls is not None:
            servers.append(await _listen(connections, next(iter(router.http)), router.https, tls))
        if ready is not None:
            ready.set()
        await connections.sweep()
    finally:
        for server in servers:
            server.close()
        await connections.close(_GOODBYE_SECONDS)


async def _listen(
    connections: Connections, endpoint: str, address: Address, tls: ssl.SSLContext | None
) -> asyncio.Server:
    return await connections.loop.create_server(
        functools.partial(connections.accept, endpoint),
        address.host,
        address.port,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
        backlog=_BACKLOG,
    )


def installed_version() -> str:
    """The version for ``store_build_info``."""
    try:
        return version("fivenines")
    except PackageNotFoundError:
        return "unknown"
