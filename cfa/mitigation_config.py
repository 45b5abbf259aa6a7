"""What may be done about an incident by itself: the ``mitigation`` section of the judgement's configuration (pure)."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ScopeKind = Literal["zone", "router", "version", "endpoint", "zone_endpoint", "node", "table", "partition"]


class Hook(BaseModel):
    """One action: a command or a URL, for incidents of one kind of scope.

    A command is a list of arguments and never a line for a shell. Both get one JSON object (standard input, or the body):
    ``verb`` (``do``, ``check``, ``undo``), ``key`` (the same at every repetition), ``scope`` and the ``incident``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    on: ScopeKind
    command: tuple[str, ...] = ()
    url: str = ""
    socket: Path | None = Field(None, description="url: asked over this Unix socket")
    token_file: Path | None = Field(None, description="url: bearer token")
    timeout_seconds: float = Field(10.0, gt=0, le=120)
    undo: bool = Field(True, description="taken back when the incident is over and 'check' says that it is well")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("a hook has either a command or a url")
        if (self.socket or self.token_file) and not self.url:
            raise ValueError("socket and token_file belong to a url")
        return self


class MitigationConfig(BaseModel):
    """When hooks are called. ``dry_run`` decides everything, says what it would do, and does nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["off", "dry_run", "act"] = "dry_run"
    hooks: tuple[Hook, ...] = Field((), max_length=32)
    after_seconds: float = Field(
        3.0, ge=0, description="an incident is so old at least: what heals itself is left alone"
    )
    most_per_hour: int = Field(3, ge=1, le=100, description="actions, all hooks together")
    zones_out_at_most: int = Field(1, ge=1, description="zones that may be without traffic at one time by our doing")
    undo_after_seconds: float = Field(30.0, ge=0, description="so long after the incident is over it may be taken back")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({hook.name for hook in self.hooks}) != len(self.hooks):
            raise ValueError("two hooks have the same name")
        return self
