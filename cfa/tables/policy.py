"""How tables are judged, as data, each figure with its source (pure).

Sources: [alarms] = mixture detector, gates and hysteresis, measured by simulation; [sre] = SRE workbook, chapter 5.
"""

from dataclasses import dataclass
from types import MappingProxyType

TICK_SECONDS = 10
"""Counts are gathered for so long, then judged together."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The part of the past between the window before and this one, in slots of ``width`` seconds.

    A window reaches back to the beginning of the slot that its length falls into: it is never shorter than its name and
    longer by less than ``width``.
    """

    name: str
    seconds: int
    width: int


SEGMENTS: tuple[Segment, ...] = (
    Segment("5m", 300, 10),
    Segment("30m", 1_800, 60),
    Segment("1h", 3_600, 60),
    Segment("6h", 21_600, 360),
    Segment("1d", 86_400, 1_800),
    Segment("7d", 604_800, 14_400),
    Segment("30d", 2_592_000, 43_200),
)
"""The windows of :data:`cfa.policy.WINDOWS`, each with its edge: 10 s, 1 min, 1 min, 6 min, 30 min, 4 h, 12 h."""

FRESH_SECONDS = 60
"""Counts of a second longer ago than this are for the windows only: nobody is paged for the past."""

COUNTED_RISES: tuple[float, ...] = (1.15, 1.5, 2.0, 2.6)
"""u of the alternatives that need no order: each failure multiplies the evidence by u, wherever it stood. Below 1/c."""

HOT_LOG_E = -16.0
"""Rows whose e-value is above this are weighed at every tick: so little counts when many fail together (ln of 2 million is 14.5)."""

RATE_AT_LEAST = 1.0
"""Updates a second that a row's threshold assumes at least: a quiet start must not lower it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What an incident of tables must be to wake someone; evidence without it is a ticket.

    ``sustained_seconds``: failing for so long (a leader's fail-over takes 3 to 5 s and heals itself). ``share``: at least
    this part of the requests fails, or ``burned``: this part of the 30-day budget is gone since the change [sre].
    """

    pages: bool
    sustained_seconds: float
    share: float
    burned: float


GATES: MappingProxyType[str, Gate] = MappingProxyType(
    {
        "table": Gate(pages=True, sustained_seconds=10.0, share=0.5, burned=0.02),
        "group": Gate(pages=True, sustained_seconds=10.0, share=0.5, burned=0.02),
        "tables": Gate(pages=True, sustained_seconds=10.0, share=0.5, burned=0.02),
        # Everybody's requests: a tenth of them failing is an outage, whatever the budget says.
        "service": Gate(pages=True, sustained_seconds=10.0, share=0.1, burned=0.02),
    }
)
"""By the kind of scope."""

SERVICE_SHARE = 0.1
"""When so many of the tables that have traffic fail together, the service fails."""
SERVICE_TABLES_AT_LEAST = 20
"""… and at least so many do."""
TABLES_APART = 3
"""So many tables at once may have incidents of their own; more are one incident."""
GROUP_SHARE = 0.9
"""A group is named when so many of the failing tables belong to it."""

CLEAR_CONFIDENCE = 0.01
"""d: an incident is over when what came since would be so improbable if it went on at p_clear. [alarms]"""
CLEAR_SHARE = 0.1
"""p_clear is this part of the share that failed …"""
CLEAR_FLOOR = 0.01
"""… but at least this, or the share itself if that is less. [alarms]"""
QUIET_SECONDS: tuple[float, ...] = (20.0, 30.0, 60.0, 120.0)
"""Calm before a close: longer with each return soon after a close."""
VANISHED_SECONDS = 300.0
"""No requests at all for so long: nothing more can be said of them."""
RETURN_SECONDS = 300.0
"""The same scope failing again within this time after its close is a return."""
TOLD_SECONDS = 60.0
"""How often an open incident's figures are written down anew."""
TABLES_NAMED = 50
"""An incident names at most so many of its tables; how many there are it always says."""
CLOSED_KEPT = 20
