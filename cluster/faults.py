"""Faults as values: what may be broken, where, and how (pure).

The same value is applied live (by the supervisor, the zone processes, the DNS server, the canaries) and simulated.
Whoever installs a fault can remove it. A fault names its place by exactly one of ``zone``, ``node``, ``router``,
``canary``, ``endpoint``, or by ``from`` and ``to`` for the network.
"""

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FaultKind(StrEnum):
    """Every kind of fault there is a word for."""

    POWER_OFF = "power_off"
    CRASH = "crash"
    PAUSE = "pause"
    PARTITION = "partition"
    DELAY = "delay"
    DROP = "drop"
    SLOW_DISK = "slow_disk"
    DISK_FULL = "disk_full"
    CORRUPT = "corrupt"
    SKEW = "skew"
    ERROR = "error"
    MUTE_METRICS = "mute_metrics"
    DNS = "dns"
    TLS = "tls"
    LOAD = "load"
    RESTART = "restart"
    ARCHIVE_STALL = "archive_stall"
    VERSION = "version"
    CANARY_SICK = "canary_sick"
    COLLECTOR_DOWN = "collector_down"
    REPLICA_DOWN = "replica_down"


class RolePlace(BaseModel):
    """All components of a role in a zone, or of the whole region when ``zone`` is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str | None = None
    role: Literal["router", "node", "memds", "canary"] | None = None

    def covers(self, component: str) -> bool:
        """Whether ``component`` (``az1-router-1``) is meant."""
        zone, role, _ = component.rsplit("-", 2)
        return self.zone in (None, zone) and self.role in (None, role)


class Fault(BaseModel):
    """One fault. Only the fields of its kind may be set; ``fivenines fault list --kinds`` lists them."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    kind: FaultKind
    zone: str | None = None
    node: str | None = None
    router: str | None = None
    canary: str | None = None
    endpoint: str | None = None
    source: str | RolePlace | None = Field(None, alias="from")
    target: str | RolePlace | None = Field(None, alias="to")
    one_way: bool = False
    ms: float | None = Field(None, ge=0, description="delay")
    probability: float | None = Field(None, ge=0, le=1, description="drop, error, version")
    seed: int | None = Field(
        None, description="drop, error, version: draw the same sequence on each path again; none: at random"
    )
    factor: float | None = Field(None, ge=1, description="slow_disk: an fsync takes this many times as long")
    seconds: float | None = Field(None, description="skew of the wall clock")
    status: int | None = Field(None, ge=400, le=599, description="error, version")
    operation: Literal["read", "write"] | None = Field(None, description="error, version")
    table: str | None = Field(None, description="error, version, load, replica_down")
    partition: str | None = Field(None, description="replica_down: of the table")
    key: str | None = Field(None, description="load")
    rate: float | None = Field(None, gt=0, description="load: requests a second")
    answer: Literal["empty", "servfail", "wrong"] | None = Field(None, description="dns")
    problem: Literal["expired", "unknown_ca"] | None = Field(None, description="tls")
    version: str | None = Field(
        None, min_length=1, max_length=64, description="version: what the routers then say that they run"
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        check(self)
        return self


_PLACES = ("zone", "node", "router", "canary", "endpoint")
_ZONE_OR_NODE = ("zone", "node")
_CRASHES = ("zone", "node", "router")
_PLACES_OF: dict[FaultKind, tuple[str, ...]] = {
    FaultKind.POWER_OFF: _ZONE_OR_NODE,
    FaultKind.CRASH: _CRASHES,
    FaultKind.PAUSE: _ZONE_OR_NODE,
    FaultKind.PARTITION: ("from",),
    FaultKind.DELAY: ("from",),
    FaultKind.DROP: ("from",),
    FaultKind.SLOW_DISK: _ZONE_OR_NODE,
    FaultKind.DISK_FULL: _ZONE_OR_NODE,
    FaultKind.CORRUPT: ("node",),
    FaultKind.SKEW: ("zone", "node", "router", "canary"),
    FaultKind.ERROR: ("router", "node", "endpoint", "zone"),
    FaultKind.MUTE_METRICS: ("zone", "router", "node"),
    FaultKind.DNS: ("endpoint",),
    FaultKind.TLS: ("endpoint",),
    FaultKind.LOAD: (),
    FaultKind.RESTART: ("zone", "node", "router"),
    FaultKind.ARCHIVE_STALL: ("zone", "node"),
    FaultKind.VERSION: ("zone", "router"),
    FaultKind.CANARY_SICK: ("canary",),
    FaultKind.COLLECTOR_DOWN: (),
    FaultKind.REPLICA_DOWN: ("zone", "node"),
}
_FIELDS_OF: dict[FaultKind, tuple[str, ...]] = {
    FaultKind.PARTITION: ("one_way",),
    FaultKind.DELAY: ("ms", "one_way"),
    FaultKind.DROP: ("probability", "seed", "one_way"),
    FaultKind.SLOW_DISK: ("factor",),
    FaultKind.SKEW: ("seconds",),
    FaultKind.ERROR: ("status", "probability", "seed", "operation", "table"),
    FaultKind.DNS: ("answer",),
    FaultKind.TLS: ("problem",),
    FaultKind.LOAD: ("table", "key", "rate"),
    FaultKind.VERSION: ("version", "status", "probability", "seed", "operation", "table"),
    FaultKind.REPLICA_DOWN: ("table", "partition"),
}
_REQUIRED: dict[FaultKind, tuple[str, ...]] = {
    FaultKind.DELAY: ("ms",),
    FaultKind.DROP: ("probability",),
    FaultKind.SLOW_DISK: ("factor",),
    FaultKind.SKEW: ("seconds",),
    FaultKind.DNS: ("answer",),
    FaultKind.TLS: ("problem",),
    FaultKind.LOAD: ("table", "key", "rate"),
    FaultKind.VERSION: ("version",),
    FaultKind.REPLICA_DOWN: ("table", "partition"),
}
NOT_BUILT_YET: frozenset[FaultKind] = frozenset()
"""Kinds whose part of the store does not exist yet; applying one says so."""


def places_of(kind: FaultKind) -> tuple[str, ...]:
    """Ways in which a fault of this kind may name its place."""
    return _PLACES_OF[kind]


def fields_of(kind: FaultKind) -> tuple[str, ...]:
    """The other fields that a fault of this kind may have."""
    return _FIELDS_OF.get(kind, ())


def check(fault: Fault) -> None:
    """Raise ValueError, saying what would be right, when ``fault`` has fields that its kind does not know or lacks some."""
    given = {name for name in type(fault).model_fields if name != "kind" and getattr(fault, name) not in (None, False)}
    places = {name for name in given if name in _PLACES} | ({"from"} if "source" in given else set())
    allowed = _PLACES_OF[fault.kind]
    if allowed and (len(places) != 1 or not places <= set(allowed)):
        raise ValueError(f"a {fault.kind} names its place by exactly one of: {', '.join(allowed)} (from goes with to)")
    if ("source" in given) != ("target" in given):
        raise ValueError("'from' and 'to' go together")
    spare = given - set(_PLACES if allowed else ()) - {"source", "target"} - set(fields_of(fault.kind))
    if spare:
        raise ValueError(
            f"a {fault.kind} has no {', '.join(sorted(spare))}; it has: {', '.join(fields_of(fault.kind)) or 'no other fields'}"
        )
    missing = [name for name in _REQUIRED.get(fault.kind, ()) if getattr(fault, name) is None]
    if missing:
        raise ValueError(f"a {fault.kind} needs {', '.join(missing)}")


def matches(place: str | RolePlace | None, component: str) -> bool:
    """Whether a network fault's ``from`` or ``to`` means ``component``."""
    if isinstance(place, RolePlace):
        return place.covers(component)
    return place == component


def concerns_path(fault: Fault, sender: str, receiver: str) -> bool:
    """Whether a network fault touches a message from ``sender`` to ``receiver`` (both directions unless ``one_way``)."""
    if matches(fault.source, sender) and matches(fault.target, receiver):
        return True
    return not fault.one_way and matches(fault.source, receiver) and matches(fault.target, sender)
