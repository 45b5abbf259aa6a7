"""Faults that a canary process can bring about in itself, as values (pure).

The same JSON as the store's faults. The network ones touch what goes between a host of ours and a router: a lost packet
and a partition look like silence, in either direction.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["canary_sick", "skew", "partition", "delay", "drop"]
_FIELDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "canary_sick": (frozenset({"canary"}), frozenset()),
    "skew": (frozenset({"canary", "seconds"}), frozenset()),
    "partition": (frozenset({"source", "target"}), frozenset({"one_way"})),
    "delay": (frozenset({"source", "target", "ms"}), frozenset({"one_way"})),
    "drop": (frozenset({"source", "target", "probability"}), frozenset({"one_way", "seed"})),
}


class RolePlace(BaseModel):
    """All components of a role in a zone, or of the whole region when ``zone`` is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str | None = None
    role: Literal["router", "node", "memds", "canary"] | None = None


class Fault(BaseModel):
    """One fault of a canary process. Fields that are null are as good as left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    kind: Kind
    canary: str | None = None
    source: str | RolePlace | None = Field(None, alias="from")
    target: str | RolePlace | None = Field(None, alias="to")
    one_way: bool = False
    ms: float | None = Field(None, ge=0)
    probability: float | None = Field(None, ge=0, le=1)
    seed: int | None = None
    seconds: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: field for name, field in value.items() if field is not None}

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        given = {
            name for name in type(self).model_fields if name != "kind" and getattr(self, name) not in (None, False)
        }
        needed, allowed = _FIELDS[self.kind]
        if given - needed - allowed or needed - given:
            raise ValueError(
                f"a {self.kind} has exactly: {', '.join(sorted(needed))}; may have: {', '.join(allowed) or '-'}"
            )
        return self


class Installation(BaseModel):
    """The body of ``POST /faults``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=200)
    fault: Fault


@dataclass(frozen=True, slots=True)
class Component:
    """A name with its zone and role, known from the configuration and never guessed from the name."""

    name: str
    zone: str | None
    role: Literal["router", "canary"]


@dataclass(frozen=True, slots=True)
class Toll:
    """What the network does to one message."""

    delay_seconds: float = 0.0
    lost: bool = False


FREE = Toll()


def is_sick(faults: Iterable[Fault], host: str) -> bool:
    """Whether this host's network is broken."""
    return any(fault.kind == "canary_sick" and fault.canary == host for fault in faults)


def skew_seconds(faults: Iterable[Fault], host: str) -> float:
    """How far this host's wall clock is off."""
    return sum(fault.seconds or 0.0 for fault in faults if fault.kind == "skew" and fault.canary == host)


def toll(faults: Iterable[Fault], sender: Component, receiver: Component, draw: Callable[[], float]) -> Toll:
    """What happens to a message; ``draw`` gives numbers in [0, 1), one for each drop on the way."""
    delay, lost = 0.0, False
    for fault in faults:
        if not _concerns(fault, sender, receiver):
            continue
        if fault.kind == "delay":
            delay += (fault.ms or 0.0) / 1000
        elif fault.kind == "partition" or (fault.kind == "drop" and draw() < (fault.probability or 0.0)):
            lost = True
    return Toll(delay, lost) if delay or lost else FREE


def _concerns(fault: Fault, sender: Component, receiver: Component) -> bool:
    if fault.source is None or fault.target is None:
        return False
    forth = _matches(fault.source, sender) and _matches(fault.target, receiver)
    back = not fault.one_way and _matches(fault.source, receiver) and _matches(fault.target, sender)
    return forth or back


def _matches(place: str | RolePlace, component: Component) -> bool:
    if isinstance(place, RolePlace):
        return place.zone in (None, component.zone) and place.role in (None, component.role)
    return place == component.name
