"""Random power-offs: which zone or nodes lose power when, and for how long; a function of the seed and the topology alone (pure).

After the power-off test of DynamoDB (USENIX ATC '22, section 5.4): a scheduler powers nodes off at random under realistic
traffic, and at the end the data are checked. Here one zone, or nodes of one zone, are off at a time: that much the store
says it survives. What it must survive as well is the next power-off coming before it has got over the last one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from cluster.faults import Fault, FaultKind
from fivenines.durations import span_of

Span = Annotated[tuple[float, float], BeforeValidator(span_of)]
What = Literal["zone", "node"]
MISSES = 20
"""So many storms that are too long for the time that is left are drawn before it is left calm."""


class RandomPowerOffs(BaseModel):
    """What may be drawn. Times are spans: ``5s..25s``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    of: tuple[What, ...] = Field(("zone", "node"), min_length=1)
    lasts: Span = Field((5.0, 25.0), alias="for", description="how long the power is off")
    pause: Span = Field(
        (0.2, 20.0), description="from the power's return to the next power-off; short ones are drawn more often"
    )
    nodes_at_most: int = Field(3, ge=1, description="so many nodes of one zone at once")


@dataclass(frozen=True, slots=True)
class PowerOff:
    """One place without power: ``after`` so many seconds from the start of its storm, for ``lasts`` seconds."""

    what: What
    place: str
    after: float
    lasts: float

    @property
    def fault(self) -> Fault:
        """As a value to put in force."""
        return Fault.model_validate({"kind": FaultKind.POWER_OFF, self.what: self.place})

    @property
    def over(self) -> float:
        """When the power is back, in seconds from the start of the storm."""
        return self.after + self.lasts


@dataclass(frozen=True, slots=True)
class Storm:
    """Power-offs within one zone. It begins ``pause`` seconds after the power of the last storm has returned."""

    pause: float
    power_offs: tuple[PowerOff, ...]

    @property
    def lasts(self) -> float:
        """Seconds from its first power-off until everything has power again."""
        return max(each.over for each in self.power_offs)


class Draws:
    """Numbers in [0, 1) that depend on nothing but the seed: the same on every machine and in every version of Python."""

    def __init__(self, seed: int) -> None:
        self._seed, self._count = seed, 0

    def next(self) -> float:
        """The next number."""
        self._count += 1
        digest = hashlib.blake2b(f"power-off/{self._seed}/{self._count}".encode(), digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> 11) / 2**53

    def within(self, span: tuple[float, float], *, crowded: bool = False) -> float:
        """A length within ``span``, to the millisecond; ``crowded``: short ones more often."""
        share = self.next()
        return round(span[0] + (span[1] - span[0]) * (share * share if crowded else share), 3)

    def below(self, count: int) -> int:
        """A number of ``0 … count - 1``."""
        return int(self.next() * count)


def plan(what: RandomPowerOffs, zones: Mapping[str, tuple[str, ...]], *, seed: int, lasts: float) -> tuple[Storm, ...]:
    """Storms for ``lasts`` seconds on ``zones`` (their storage nodes by zone); the last one's power returns within that time."""
    draws = Draws(seed)
    names = tuple(zones)
    storms: list[Storm] = []
    at, misses = 0.0, 0
    while misses < MISSES:
        storm = _storm(what, names, zones, draws)
        if at + storm.pause + storm.lasts > lasts:
            misses += 1
            continue
        at += storm.pause + storm.lasts
        storms.append(storm)
    return tuple(storms)


def _storm(what: RandomPowerOffs, names: tuple[str, ...], zones: Mapping[str, tuple[str, ...]], draws: Draws) -> Storm:
    pause = draws.within(what.pause, crowded=True)
    kind = what.of[draws.below(len(what.of))]
    zone = names[draws.below(len(names))]
    if kind == "zone":
        return Storm(pause, (PowerOff("zone", zone, 0.0, draws.within(what.lasts)),))
    nodes = list(zones[zone])
    count = 1 + draws.below(min(what.nodes_at_most, len(nodes)))
    first = PowerOff("node", nodes.pop(draws.below(len(nodes))), 0.0, draws.within(what.lasts))
    others = [_another(nodes.pop(draws.below(len(nodes))), first, what, draws) for _ in range(count - 1)]
    return Storm(pause, (first, *others))


def _another(node: str, first: PowerOff, what: RandomPowerOffs, draws: Draws) -> PowerOff:
    """A further node of the zone, some time while the first is off."""
    return PowerOff("node", node, draws.within((0.0, first.lasts)), draws.within(what.lasts))
