"""The store's section of ``fivenines.yaml``."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Configuration is read once and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TableConfig(Frozen):
    """A table that exists from the start. Partition key ``pk`` (S) and, if wanted, sort key ``sk`` (S)."""

    name: str
    partitions: int = Field(3, ge=1, le=64)
    sort_key: bool = True
    write_units_per_partition: float = Field(
        1000.0, gt=0, description="a partition's ceiling of write units per second (DynamoDB: 1,000)"
    )
    read_units_per_partition: float = Field(
        3000.0, gt=0, description="a partition's ceiling of read units per second (DynamoDB: 3,000)"
    )


class Credential(Frozen):
    """An access key that may sign requests."""

    access_key_id: str
    secret_access_key_file: Path


class TimingConfig(Frozen):
    """Replication timing; all of it on monotonic clocks."""

    heartbeat_seconds: float = Field(0.5, gt=0)
    missed_heartbeats: int = Field(3, ge=1, description="silence that makes a follower ask its peers")
    lease_seconds: float = Field(3.0, gt=0, description="granted from the send time of the renewal")
    drift_bound_seconds: float = Field(
        0.1, ge=0, description="the leader stops this much early, a successor waits this much longer"
    )
    request_timeout_seconds: float = Field(1.5, gt=0, description="a router's patience with the storage nodes, in all")


class ArchiveConfig(Frozen):
    """Where committed log entries are kept for ever, how soon they get there, and what a node does meanwhile."""

    store: Literal["directory", "s3", "off"] = Field(
        "directory", description="off: nothing is archived, no point-in-time restore"
    )
    directory: Path | None = Field(None, description="directory: the folder; none: 'archive' beside data_dir")
    bucket: str | None = Field(None, description="s3")
    prefix: str = Field("", description="s3: names begin with it")
    endpoint_url: str | None = Field(None, description="s3: another store than Amazon's that speaks its protocol")
    region: str | None = Field(None, description="s3")
    credentials_file: Path | None = Field(
        None, description="s3: in the format of ~/.aws/credentials; none: the usual environment"
    )
    seal_seconds: float = Field(10.0, gt=0, description="an entry waits at most so long for others to be archived with")
    seal_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="a segment is sealed when it is so large")
    seal_entries: int = Field(5000, ge=1, le=10_000, description="a segment is sealed when it has so many entries")
    snapshot_segments: int = Field(100, ge=1, description="a snapshot of the rows after so many segments")
    retention_days: float | None = Field(35.0, gt=0, description="how far back a restore is possible; none: for ever")
    wal_budget_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1024 * 1024,
        description="write-ahead log of a node while the archive does not take it; at 95 % writes are refused",
    )


class HealingConfig(Frozen):
    """How soon a replication group replaces what it has lost."""

    dead_after_seconds: float = Field(
        3.0, gt=0, description="a member that is silent so long is replaced by a log replica, within seconds"
    )
    rebuild_after_seconds: float = Field(
        5.0, ge=0, description="a storage replica that is missing so long is built anew on another node (or its own)"
    )
    zone_after_seconds: float = Field(
        600.0,
        gt=0,
        description="a zone without any node is waited for so long, before another zone gets its log replicas",
    )


class ScrubConfig(Frozen):
    """How often the replicas of a group, and its archive, are compared row by row, and a node's pages are looked at."""

    every_seconds: float = Field(60.0, gt=0, description="each group is scrubbed so often")
    reference_every: int = Field(
        10,
        ge=1,
        description="every so many scrubs of a group compare with the archive as well, which reads it from its last snapshot on",
    )
    pages_every_seconds: float = Field(
        300.0, gt=0, description="every page of a node's item table is looked at so often"
    )


class ClusterConfig(Frozen):
    """One region: zones, routers, storage nodes, names, tables."""

    region: str = "local"
    zones: tuple[str, ...] = ("az1", "az2", "az3")
    routers_per_zone: int = Field(2, ge=1, le=8)
    nodes_per_zone: int = Field(3, ge=1, le=8)
    loopback: Literal["auto", "many", "single"] = Field(
        "auto", description="many: 127.0.<zone>.<n> as on Linux; single: 127.0.0.1 and ports, as on macOS; auto: look"
    )
    endpoints: tuple[str, ...] = ("standard", "fips", "dualstack", "account")
    account: str = "000000000001"
    domain: str = "fivenines.test"
    http_port: int = Field(8000, description="plain HTTP of the first endpoint; the others take the ports after it")
    https_port: int = Field(8443, description="HTTPS of every endpoint, told apart by SNI")
    transport_port: int = Field(7000, description="zone to zone")
    admin_port: int = Field(7001, description="each zone process: /ready, /state, /faults")
    metrics_port: int = Field(9100, description="/metrics of every storage node")
    dns_port: int = Field(10053, description="UDP and TCP, on 127.0.0.1")
    dns_admin_port: int = Field(10054)
    data_dir: Path = Field(Path(".fivenines/cluster"))
    certificates_dir: Path = Field(Path(".fivenines/certificates"))
    admin_token_file: Path | None = None
    transport_token_file: Path | None = Field(None, description="shared secret of the zones' transport")
    tables: tuple[TableConfig, ...] = (
        TableConfig(name="canary", partitions=9),
        TableConfig(name="orders", partitions=3, write_units_per_partition=100, read_units_per_partition=300),
        TableConfig(name="sessions", partitions=3, write_units_per_partition=100, read_units_per_partition=300),
    )
    default_partitions: int = Field(3, ge=1, le=64, description="partitions of a table made by CreateTable")
    credentials: tuple[Credential, ...] = ()
    signatures: Literal["verify", "parse", "off"] = "verify"
    timing: TimingConfig = TimingConfig()
    healing: HealingConfig = HealingConfig()
    archive: ArchiveConfig = ArchiveConfig()
    scrub: ScrubConfig = ScrubConfig()
