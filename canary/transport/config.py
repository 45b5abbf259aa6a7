"""Configuration of the spool, and of JetStream as the way to the collectors."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SpoolConfig(BaseModel):
    """Where reports wait that no collector has taken yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dir: Path | None = Field(
        Path(".fivenines/canary"), description="one folder a host is made in it; null: in memory only"
    )
    max_bytes: int = Field(
        64 * 1024 * 1024, ge=65536, description="of each host, on disk; the oldest is dropped first, and counted"
    )
    fsync: bool = Field(False, description="survive a power cut, too, not only a kill; costs an fsync a batch")
    doubt_seconds: float = Field(
        900.0,
        gt=0,
        description="after this a batch whose collector does not come back is told as unobserved by another",
    )


class CollectorTlsConfig(BaseModel):
    """How collectors at https addresses are known, and how the canary shows who it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_file: Path | None = Field(None, description="certificate authority of the collectors; none: the machine's own")
    certificate_file: Path | None = Field(
        None, description="the canary's own certificate, where collectors ask for one"
    )
    key_file: Path | None = Field(None, description="the certificate's key")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        return self


class JetStreamConfig(BaseModel):
    """NATS JetStream between canaries and collectors (needs the extra ``nats``); ``canary.collectors`` is then not used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    servers: tuple[str, ...] = Field(
        min_length=1, description="nats://host:4222 or tls://host:4222, one or more of a cluster"
    )
    stream: str = Field("FIVENINES", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    shards: int = Field(1, ge=1, le=1024, description="subjects fivenines.batches.0 …; the same number everywhere")
    token_file: Path | None = Field(None, description="file with the server's authorization token")
