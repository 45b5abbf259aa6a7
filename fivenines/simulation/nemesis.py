"""Which faults strike a run, when, and for how long: drawn from the seed before the run begins (shell: it draws).

A *swarm* (Groce et al., "Swarm testing", 2012): each run has only some kinds of faults, so that rare combinations are not
drowned by the common ones.

The budget. Faults that lose nothing durable (power-off, crash, pause, partition, slow or full disk, clocks) may hit anybody,
at any time, all at once. Faults that damage what was durable (``wipe``, ``rot``) hit one node only, the *unlucky* one of the
run: no group has two members on one node, so of the two copies of an acknowledged write one is always sound and in the hands
of a member that votes. A broken promise is therefore a bug, and never bad luck (TigerBeetle's fault atlas does the same for
blocks). When the faults end, everything is switched on; what is left to do is the store's.
"""

import random
from dataclasses import dataclass
from enum import StrEnum


class Trouble(StrEnum):
    """Kinds of faults."""

    CRASH = "crash"
    """Power-off of one node: what was not durable is lost or torn."""
    CRASH_IN_FSYNC = "crash_in_fsync"
    """Power-off of one node whose disk had become slow: something is always half written."""
    STOP = "stop"
    """A planned stop of one node."""
    ZONE_OFF = "zone_off"
    REGION_OFF = "region_off"
    """Power-off of everything at the same instant."""
    PAUSE = "pause"
    CUT = "cut"
    """A partition between two zones, nodes or a zone and a node; messages vanish."""
    CUT_ONE_WAY = "cut_one_way"
    BREAK_LINK = "break_link"
    """The connection of two zones goes silent and is noticed after seconds."""
    DROP = "drop"
    DELAY = "delay"
    SLOW_DISK = "slow_disk"
    FULL_DISK = "full_disk"
    CLOCK = "clock"
    """A node's monotonic clock runs at another rate."""
    SKEW = "skew"
    """A node's wall clock is wrong."""
    TABLE = "table"
    """A table is created, and deleted when the trouble ends."""
    WIPE = "wipe"
    """The unlucky node comes back with an empty disk."""
    ROT = "rot"
    """Bytes of the unlucky node's files have changed when its power is back."""
    ROT_ROWS = "rot_rows"
    """A byte of every item in the unlucky node's table changes while it runs; nobody mends it but the store."""
    STALL_ARCHIVE = "stall_archive"
    """The archive takes nothing from a node."""


DAMAGE = frozenset({Trouble.WIPE, Trouble.ROT, Trouble.ROT_ROWS})
"""Kinds that damage what was durable; see the budget."""
LONGEST_SECONDS = {
    Trouble.CRASH_IN_FSYNC: 5.0,
    Trouble.ZONE_OFF: 12.0,
    Trouble.REGION_OFF: 3.0,
    Trouble.PAUSE: 6.0,
    Trouble.FULL_DISK: 6.0,
}
_USUAL_LONGEST_SECONDS = 9.0


@dataclass(frozen=True, slots=True, order=True)
class Strike:
    """One fault: from virtual second ``at`` (of the run) for ``seconds``. ``places``: zones or nodes; ``amount``: how much of it."""

    at: float
    trouble: Trouble
    places: tuple[str, ...]
    seconds: float
    amount: float = 0.0

    def __str__(self) -> str:
        """One line of a readable plan."""
        amount = f" ({self.amount:.3g})" if self.amount else ""
        return f"{self.trouble} {' to '.join(self.places)}{amount} for {self.seconds:.2f} s"


@dataclass(frozen=True, slots=True)
class Ground:
    """Whom faults may hit: nodes by zone, those that host partitions first."""

    nodes: dict[str, tuple[str, ...]]

    @property
    def zones(self) -> tuple[str, ...]:
        """All zones."""
        return tuple(self.nodes)


def plan(draw: random.Random, ground: Ground, *, begins_at: float, ends_at: float) -> tuple[Strike, ...]:
    """The strikes of a run, in order of time, all over by ``ends_at``."""
    kinds = list(Trouble)
    chosen = draw.sample(kinds, draw.randint(1, 6))
    unlucky = _node(draw, ground, draw.choice(ground.zones))
    gap = draw.choice([1.0, 2.5, 5.0])
    found: list[Strike] = []
    at = begins_at
    while (at := at + draw.expovariate(1.0 / gap)) < ends_at - 1.0:
        trouble = draw.choice(chosen)
        longest = min(LONGEST_SECONDS.get(trouble, _USUAL_LONGEST_SECONDS), (ends_at - at) / 2)
        seconds = draw.choice([0.05, 0.3, 1.0]) * longest * draw.random()
        places = (unlucky,) if trouble in DAMAGE else _places(draw, trouble, ground)
        found.append(Strike(at, trouble, places, seconds, _amount(draw, trouble)))
    return tuple(found)


def _places(draw: random.Random, trouble: Trouble, ground: Ground) -> tuple[str, ...]:
    if trouble in (Trouble.REGION_OFF, Trouble.TABLE):
        return ("region",)
    if trouble is Trouble.ZONE_OFF:
        return (draw.choice(ground.zones),)
    if trouble is Trouble.BREAK_LINK:
        return tuple(draw.sample(ground.zones, 2))
    if trouble in (Trouble.CUT, Trouble.CUT_ONE_WAY, Trouble.DROP, Trouble.DELAY):
        return _path(draw, ground)
    return (_node(draw, ground, draw.choice(ground.zones)),)


def _path(draw: random.Random, ground: Ground) -> tuple[str, ...]:
    ends = draw.sample(ground.zones, 2)
    return tuple(zone if draw.random() < 0.5 else _node(draw, ground, zone) for zone in ends)


def _node(draw: random.Random, ground: Ground, zone: str) -> str:
    nodes = ground.nodes[zone]
    return nodes[0] if draw.random() < 0.8 else draw.choice(nodes)


def _amount(draw: random.Random, trouble: Trouble) -> float:
    if trouble is Trouble.DROP:
        return draw.choice([0.05, 0.3, 0.7])
    if trouble is Trouble.DELAY:
        return draw.choice([0.02, 0.3, 2.0])
    if trouble in (Trouble.SLOW_DISK, Trouble.CRASH_IN_FSYNC):
        return draw.choice([10.0, 100.0, 1000.0])
    if trouble is Trouble.CLOCK:
        return draw.uniform(-1.0, 1.0)
    if trouble is Trouble.ROT:
        return draw.choice([1.0, 3.0])
    return draw.uniform(-86400.0, 86400.0) if trouble is Trouble.SKEW else 0.0
