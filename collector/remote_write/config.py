"""The collector's ``remote_write`` section of ``fivenines.yaml``."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, field_validator, model_validator

_URL = TypeAdapter(HttpUrl)


class RemoteWriteConfig(BaseModel):
    """One receiver of Prometheus remote write 1.0: Prometheus, VictoriaMetrics, Mimir, Thanos and others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="names its cursor on disk and its metrics")
    url: str = Field(description="for Prometheus http://HOST:9090/api/v1/write")
    labels: dict[str, str] = Field(default_factory=dict, description="added to every series, such as region and job")
    bearer_token_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = Field(
        None, description="certificates that its certificate must come from; none: the system's"
    )
    client_certificate_file: Path | None = Field(None, description="our certificate, with its chain")
    client_key_file: Path | None = None
    step_seconds: float = Field(5.0, ge=0.1, le=60, description="a sample of a series at most this often")
    samples_per_request: int = Field(5000, ge=1, le=100_000)
    shards: int = Field(4, ge=1, le=64, description="requests side by side")
    timeout_seconds: float = Field(30.0, gt=0)
    first_wait_seconds: float = Field(0.1, gt=0, description="back-off: doubles with every failure, with jitter, …")
    longest_wait_seconds: float = Field(10.0, gt=0, description="… up to this")
    backfill: bool = Field(
        False,
        description="begin with the oldest feed entry that is kept, not with the newest; receivers may refuse what is old",
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parsed = _URL.validate_python(url)
        if parsed.username or parsed.password:
            raise ValueError("no password in the URL: use username and password_file")
        return url

    @field_validator("labels")
    @classmethod
    def _are_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for name in labels:
            if not (name.isascii() and name.isidentifier()) or name.startswith("__"):
                raise ValueError(f"{name!r} is not the name of a label")
        return labels

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file belong together")
        if self.username is not None and self.bearer_token_file is not None:
            raise ValueError("either bearer_token_file or username and password_file")
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            raise ValueError("client_certificate_file and client_key_file belong together")
        return self
