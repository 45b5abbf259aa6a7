"""How the rooms are joined in the embedded stack: one resolved configuration from the user's (pure)."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from canary.config import EndpointConfig, PathHop
from canary.plan import quick_cells
from cfa.config import Destination
from cluster.config import ClusterConfig, Credential
from cluster.topology import Topology
from collector.config import ScrapeTarget
from collector.customers.config import CustomersConfig
from fivenines.config import Config

Section = TypeVar("Section", bound=BaseModel)

ACCESS_KEY_ID = "fivenines"
"""The access key of the embedded store; its secret is in ``<state_dir>/secrets/store_key``."""


CSM_PORT = 31000
"""Where AWS SDKs send their events by themselves."""


def secrets_dir(state_dir: Path) -> Path:
    """Where the embedded stack keeps its generated secrets (0700)."""
    return state_dir / "secrets"


def store_config(config: Config, state_dir: Path) -> ClusterConfig:
    """The store's section, with places for data, certificates and secrets filled in."""
    secrets = secrets_dir(state_dir)
    filled: dict[str, Any] = {
        "data_dir": state_dir / "cluster",
        "certificates_dir": state_dir / "certificates",
        "admin_token_file": secrets / "admin_token",
        "transport_token_file": secrets / "transport_token",
        "credentials": (Credential(access_key_id=ACCESS_KEY_ID, secret_access_key_file=secrets / "store_key"),),
    }
    return _fill(config.cluster, filled)


def resolve(config: Config, topology: Topology, state_dir: Path) -> Config:
    """Everything filled in that follows from the topology; what the user has set stays."""
    secrets = secrets_dir(state_dir)
    cluster = store_config(config, state_dir)
    canary = _fill(config.canary, _canary_values(config, topology, state_dir))
    collector = _fill(
        config.collector,
        {"data_dir": state_dir / "collector", "token_file": secrets / "collector_token", "scrape": _scrape(topology)},
    )
    collector = collector.model_copy(update={"customers": _customers(config, topology)})
    cells = len(canary.zones) * quick_cells(canary)
    cfa = _fill(
        config.cfa,
        {
            "region": cluster.region,
            "zones": cluster.zones,
            "endpoints": cluster.endpoints,
            "collector": f"http://{collector.host}:{collector.port}",
            "collector_token_file": secrets / "collector_token",
            "operator_token_file": secrets / "operator_token",
            "data_dir": state_dir / "cfa",
            "matrix_cells": cells,
            "seldom_asked_seconds": dict(canary.operation_cadence_seconds),
            "console_url": f"http://{config.console.host}:{config.console.port}",
            "destinations": (Destination(kind="log"),),
        },
    )
    console = _fill(config.console, {"cfa": f"http://{cfa.host}:{cfa.port}"})
    traffic = _fill(
        config.traffic,
        {
            "routers": tuple(f"http://{router.http[cluster.endpoints[0]]}" for router in topology.routers),
            "secret_access_key_file": secrets / "store_key",
            "admin_token_file": secrets / "admin_token",
            "csm_host": collector.customers.csm_host,
            "csm_port": collector.customers.csm_port,
            "collector": f"http://{collector.host}:{collector.port}",
            "collector_token_file": secrets / "collector_token",
        },
    )
    rooms = {
        "cluster": cluster,
        "canary": canary,
        "collector": collector,
        "cfa": cfa,
        "console": console,
        "traffic": traffic,
    }
    return config.model_copy(update={"state_dir": state_dir, **rooms})


def _canary_values(config: Config, topology: Topology, state_dir: Path) -> dict[str, Any]:
    cluster, secrets = config.cluster, secrets_dir(state_dir)
    port = 0 if topology.single else cluster.https_port
    hops = tuple(
        PathHop(address=str(router.https), router=router.name, zone=router.zone) for router in topology.routers
    )
    canary_table = next((table for table in cluster.tables if table.name == config.canary.table), None)
    return {
        "region": cluster.region,
        "zones": cluster.zones,
        "endpoints": tuple(
            EndpointConfig(name=name, host=host, port=port) for name, host in topology.endpoint_hosts.items()
        ),
        "resolver": str(topology.dns),
        "ca_file": state_dir / "certificates" / "ca.pem",
        "partitions": canary_table.partitions if canary_table else cluster.default_partitions,
        "path_hops": hops,
        "secret_access_key_file": secrets / "store_key",
        "collectors": (f"http://{config.collector.host}:{config.collector.port}",),
        "collector_token_file": secrets / "collector_token",
        "spool": _fill(config.canary.spool, {"dir": state_dir / "canary"}),
        "admin_ports": {zone: 8091 + index for index, zone in enumerate(cluster.zones)},
        "admin_token_file": secrets / "admin_token",
    }


def _customers(config: Config, topology: Topology) -> CustomersConfig:
    """SDK events are heard where SDKs send them; the addresses of the store have their endpoints' names."""
    endpoints = {str(address): name for router in topology.routers for name, address in router.http.items()}
    endpoints |= {host: name for name, host in topology.endpoint_hosts.items()}
    return _fill(config.collector.customers, {"csm_port": CSM_PORT, "endpoints": endpoints})


def _scrape(topology: Topology) -> tuple[ScrapeTarget, ...]:
    routers = (ScrapeTarget(name=r.name, zone=r.zone, role="router", url=r.metrics_url) for r in topology.routers)
    nodes = (ScrapeTarget(name=n.name, zone=n.zone, role="node", url=n.metrics_url) for n in topology.nodes)
    return (*routers, *nodes)


def _fill(section: Section, values: dict[str, Any]) -> Section:
    """``section`` with ``values`` where it still says the default; checked again as a whole."""
    fields = type(section).model_fields
    default = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    current = {name: getattr(section, name) for name in fields}
    unset = {name: value for name, value in values.items() if current[name] == default[name]}
    return type(section).model_validate({**current, **unset})
