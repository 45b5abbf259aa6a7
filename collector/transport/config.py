"""Configuration of the intake from NATS JetStream."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class JetStreamIntakeConfig(BaseModel):
    """Batches come from a stream as well as over HTTP (needs the extra ``nats``): docs/collectors.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    servers: tuple[str, ...] = Field(
        min_length=1, description="nats://host:4222 or tls://host:4222, one or more of a cluster"
    )
    stream: str = Field("FIVENINES", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="made if it is not there")
    shards: int = Field(1, ge=1, le=1024, description="the same number as the canaries'")
    mine: tuple[int, ...] = Field((0,), description="the shards of this collector; each belongs to one collector only")
    token_file: Path | None = Field(None, description="file with the server's authorization token")
    replicas: int = Field(1, ge=1, le=5, description="of the stream, in a cluster of servers")
    max_bytes: int = Field(
        8 * 1024**3, gt=0, description="of the stream; when it is full, reports wait in the canaries' spools"
    )

    @model_validator(mode="after")
    def _mine_are_shards(self) -> Self:
        if not self.mine or len(set(self.mine)) != len(self.mine) or not set(self.mine) <= set(range(self.shards)):
            raise ValueError(f"mine: shards are numbered 0 to {self.shards - 1}, name at least one, each once")
        return self
