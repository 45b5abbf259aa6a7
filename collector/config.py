"""The collector's section of ``fivenines.yaml``."""

import zlib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collector.customers.config import CustomersConfig
from collector.remote_write.config import RemoteWriteConfig
from collector.transport.config import JetStreamIntakeConfig


class ScrapeTarget(BaseModel):
    """One server's ``/metrics`` page; ``name`` and ``zone`` are what its series carry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    zone: str
    role: str = Field(description="router or node")
    url: str


class ScrapeShare(BaseModel):
    """Which part of the servers this collector reads, when several have the same list: each server belongs to exactly one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: int = Field(ge=1, le=1000, description="how many collectors share the list")
    mine: int = Field(ge=0, description="this one's number, from 0")

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.mine >= self.of:
            raise ValueError(f"mine is {self.mine}, but the {self.of} collectors are numbered 0 to {self.of - 1}")
        return self

    def has(self, name: str) -> bool:
        """Whether the server of this name is ours: by its CRC32, the same on every machine."""
        return zlib.crc32(name.encode()) % self.of == self.mine


class HistoryConfig(BaseModel):
    """Where sealed hours go as Parquet files (docs/ledger.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="false: everything stays in the ledger's own file")
    url: str | None = Field(
        None, description="s3://BUCKET/PREFIX, file:///PATH or a path; none: the folder history in data_dir"
    )
    endpoint_url: str | None = Field(None, description="s3: another store than Amazon's that speaks its protocol")
    region: str | None = Field(None, description="s3: the bucket's region")
    local_seconds: float = Field(
        8 * 86400.0,
        gt=0,
        description="how long a sealed hour stays in the ledger's own file as well; never shorter than late_seconds",
    )


class CollectorConfig(BaseModel):
    """Where observations arrive, what servers are scraped, where the ledger lives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8081, ge=1, le=65535, description="TCP port to listen on")
    data_dir: Path = Field(Path(".fivenines/collector"), description="folder of the ledger")
    token_file: Path | None = Field(
        None, description="file with the bearer token that writers and readers must show; none: open on loopback"
    )
    read_token_file: Path | None = Field(
        None, description="file with a second token that may only read; needs token_file"
    )
    tls_certificate_file: Path | None = Field(None, description="certificate with its chain; none: plain HTTP")
    tls_key_file: Path | None = Field(None, description="the certificate's key")
    client_ca_file: Path | None = Field(
        None, description="whoever connects must show a certificate from this authority (mTLS); needs a certificate"
    )
    scrape: tuple[ScrapeTarget, ...] = Field(
        (), description="servers' /metrics pages; the embedded stack fills this in"
    )
    scrape_share: ScrapeShare | None = Field(
        None, description="several collectors have the same scrape list: which part is this one's; none: all of it"
    )
    scrape_interval_seconds: float = Field(2.0, gt=0)
    scrape_timeout_seconds: float = Field(1.0, gt=0)
    feed_retention_seconds: float = Field(
        3600.0 * 6,
        gt=0,
        description="how long the judgement may be away and still catch up entry by entry, and how far a backtest is exact",
    )
    seal_after_seconds: float = Field(
        600.0,
        ge=0,
        description="a five-minute interval stays open this long after its end; later data makes a new version",
    )
    late_seconds: float = Field(
        7 * 86400.0, gt=0, description="readings older than this are refused (a canary's spool is shorter)"
    )
    failure_retention_seconds: float = Field(
        30 * 86400.0, gt=0, description="how long failed attempts are kept whole; counts stay"
    )
    interval_retention_seconds: float = Field(
        400 * 86400.0, gt=0, description="how long counts, unobserved probes and health statements are kept"
    )
    jetstream: JetStreamIntakeConfig | None = Field(None, description="batches from a NATS stream as well as over HTTP")
    history: HistoryConfig = HistoryConfig()
    counters_series_max: int = Field(
        4_000_000, ge=1, description="series of the columnar lane (POST /v1/counters); more are refused"
    )
    counters_feed_bytes: int = Field(
        1024**3, ge=0, description="how much of the columnar lane's log is kept for readers of its feed"
    )
    customers: CustomersConfig = CustomersConfig()
    connections_max: int = Field(256, ge=1, description="connections at a time; one more gets 503")
    request_seconds: float = Field(10.0, gt=0, description="patience with a request's headers and with its body")
    confirm_asks_per_minute: int = Field(
        12,
        ge=0,
        le=600,
        description="how often canaries of other zones are asked to look at an endpoint that has failed for one; 0: never",
    )
    expose_merged: bool = Field(True, description="show the merged observations on /metrics, to those who may read")
    remote_write: tuple[RemoteWriteConfig, ...] = Field(
        (), description="receivers of Prometheus remote write 1.0 that the merged observations are pushed to"
    )

    @property
    def scraped(self) -> tuple[ScrapeTarget, ...]:
        """The servers that this collector reads."""
        share = self.scrape_share
        return self.scrape if share is None else tuple(one for one in self.scrape if share.has(one.name))

    @model_validator(mode="after")
    def _servers_have_names_of_their_own(self) -> Self:
        names = [target.name for target in self.scrape]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"scrape: {', '.join(twice)} is listed twice, and would be counted twice: leave one out")
        return self

    @model_validator(mode="after")
    def _doors_are_whole(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file belong together")
        if self.client_ca_file is not None and self.tls_certificate_file is None:
            raise ValueError("client_ca_file needs tls_certificate_file and tls_key_file")
        if self.read_token_file is not None and self.token_file is None:
            raise ValueError("read_token_file needs token_file: without it everybody may write")
        names = [receiver.name for receiver in self.remote_write]
        if len(set(names)) != len(names):
            raise ValueError("remote_write: two receivers have the same name")
        return self
