"""The dashboards' section of ``fivenines.yaml``."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Configuration is read once and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConsoleConfig(Frozen):
    """The built-in console: it reads the judgement's API over HTTP and shows it."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65535)
    cfa: str = "http://127.0.0.1:8082"


class GrafanaConfig(Frozen):
    """Where ``fivenines dashboards push`` sends the dashboards."""

    url: str = "http://127.0.0.1:3000"
    token_file: Path | None = None
    folder: str = "fivenines"
