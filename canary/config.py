"""The canaries' section of ``fivenines.yaml``."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from canary.probes.config import AnyCheck
from canary.transport.config import CollectorTlsConfig, JetStreamConfig, SpoolConfig

OperationName = Literal["write", "strong_read", "eventual_read", "query", "transaction", "batch", "control"]
Seconds = Annotated[float, Field(gt=0)]


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


class SdkConfig(Frozen):
    """One stream of calls a zone that does what an SDK does by default: several attempts a call, backing off between them."""

    cadence_seconds: float = Field(
        5.0, ge=0, description="a call this often, endpoints and operations in turn; 0: none"
    )
    retry_mode: Literal["standard", "legacy"] = "standard"
    max_attempts: int | None = Field(None, ge=1, le=20, description="none: the mode's default, 4 or 10 for DynamoDB")


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
    operations: tuple[OperationName, ...] = ("write", "strong_read", "eventual_read", "query", "batch", "control")
    connections: tuple[Literal["fresh", "pooled"], ...] = ("fresh", "pooled")
    cadence_seconds: float = Field(
        2.0, gt=0, description="each cell (endpoint × operation × connection) of a host is asked this often"
    )
    operation_cadence_seconds: dict[OperationName, Seconds] = Field(
        {"query": 20.0, "transaction": 20.0, "batch": 20.0, "control": 30.0},
        description="operations with a cadence of their own",
    )
    deadline_seconds: float = Field(2.0, gt=0, description="an attempt without an answer by then is a timeout")
    eventual_age_seconds: float = Field(
        60.0, gt=0, description="an eventually consistent read that is further behind is a stale_read"
    )
    extra_probes_per_second: float = Field(
        1.0, ge=0, description="budget of a host for asking again what has just failed; 0: none"
    )
    confirm_probes_per_minute: int = Field(
        60, ge=0, description="budget of a host for looking at once at what has just failed for another zone; 0: none"
    )
    sdk: SdkConfig = SdkConfig()
    checks: tuple[AnyCheck, ...] = Field((), description="probes of anything else: docs/canary.md")
    access_key_id: str = "fivenines"
    secret_access_key_file: Path | None = None
    signing_region: str = "local"
    collectors: tuple[str, ...] = ("http://127.0.0.1:8081",)
    collector_token_file: Path | None = None
    collector_tls: CollectorTlsConfig = CollectorTlsConfig()
    jetstream: JetStreamConfig | None = Field(
        None, description="a NATS stream in place of collectors: docs/collectors.md"
    )
    spool: SpoolConfig = SpoolConfig()
    admin_host: str = "127.0.0.1"
    admin_ports: dict[str, int] = Field(
        {"az1": 8091, "az2": 8092, "az3": 8093}, description="zone → port of /ready, /metrics, /echo and /faults"
    )
    admin_token_file: Path | None = None

    def cadence_of(self, operation: str) -> float:
        """How often a cell of this operation is asked."""
        return self.operation_cadence_seconds.get(operation, self.cadence_seconds)  # type: ignore[call-overload, no-any-return]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [endpoint.name for endpoint in self.endpoints] + [check.name for check in self.checks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names of endpoints and checks must be unique; twice: {', '.join(twice)}")
        return self
