"""The canaries' section of ``fivenines.yaml``."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Configuration is read once and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EndpointConfig(Frozen):
    """A public name that customers use."""

    name: str = Field(description="short name: standard, fips, dualstack, account")
    host: str = Field(description="DNS name, also sent as SNI and Host")
    port: int = Field(443, ge=0, le=65535, description="TCP port; 0: ask DNS for the SRV record _https._tcp.HOST")
    tls: bool = True


class PathHop(Frozen):
    """What is known beforehand about an address behind an endpoint."""

    address: str = Field(description="IP:port")
    router: str
    zone: str


class CanaryConfig(Frozen):
    """Where canaries run, whom they ask, how often, and to whom they report."""

    region: str = "local"
    zones: tuple[str, ...] = ("az1", "az2", "az3")
    hosts_per_zone: int = Field(2, ge=1)
    endpoints: tuple[EndpointConfig, ...] = ()
    resolver: str | None = Field(None, description="IP:port of the DNS server to ask; none: the machine's own")
    ca_file: Path | None = Field(None, description="certificate authority of the endpoints; none: the machine's own")
    table: str = "canary"
    partitions: int = Field(9, ge=1, description="how many partitions to look for when choosing keys")
    path_hops: tuple[PathHop, ...] = ()
    operations: tuple[Literal["write", "strong_read", "eventual_read"], ...] = ("write", "strong_read", "eventual_read")
    connections: tuple[Literal["fresh", "pooled"], ...] = ("fresh", "pooled")
    cadence_seconds: float = Field(
        2.0, gt=0, description="each cell (endpoint × operation × connection) of a host is asked this often"
    )
    deadline_seconds: float = Field(2.0, gt=0, description="an attempt without an answer by then is a timeout")
    access_key_id: str = "fivenines"
    secret_access_key_file: Path | None = None
    signing_region: str = "local"
    collectors: tuple[str, ...] = ("http://127.0.0.1:8081",)
    collector_token_file: Path | None = None
    admin_host: str = "127.0.0.1"
    admin_ports: dict[str, int] = Field(
        {"az1": 8091, "az2": 8092, "az3": 8093}, description="zone → port of /ready, /metrics, /echo and /faults"
    )
    admin_token_file: Path | None = None
