"""The collector's section of ``fivenines.yaml``."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class ScrapeTarget(BaseModel):
    """One server's ``/metrics`` page; ``name`` and ``zone`` are what its series carry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    zone: str
    role: str = Field(description="router or node")
    url: str


class CollectorConfig(BaseModel):
    """Where observations arrive, what servers are scraped, where the ledger lives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8081, ge=1, le=65535, description="TCP port to listen on")
    data_dir: Path = Field(Path(".fivenines/collector"), description="folder of the ledger")
    token_file: Path | None = Field(
        None, description="file with the bearer token that writers and readers must show; none: open on loopback"
    )
    scrape: tuple[ScrapeTarget, ...] = Field(
        (), description="servers' /metrics pages; the embedded stack fills this in"
    )
    scrape_interval_seconds: float = Field(2.0, gt=0)
    scrape_timeout_seconds: float = Field(1.0, gt=0)
    feed_retention_seconds: float = Field(
        3600.0 * 6, gt=0, description="how long the judgement may be away and still catch up entry by entry"
    )
