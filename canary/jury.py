"""Whether this host is fit to be a witness (pure).

Each second the host looks at itself (:class:`SelfCheck`). It recuses itself when the same check fails twice in a row, at
once when its event loop stood still for over half a second, and comes back after five good seconds.

An echo in another zone that *refuses* says that the network works and a process is gone: no reason to doubt oneself. Only
silence counts, and only from two zones at once; one silent zone may well be that zone's fault.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

LAG_LIMIT_MS = 500.0
LAG_SUSPECT_MS = 250.0
CLOCK_LIMIT_MS = 2000.0
FD_LIMIT_SHARE = 0.9
FAILURES_IN_A_ROW = 2
RECOVERY_SECONDS = 5.0
SILENT_ZONES = 2


class Echo(StrEnum):
    """How a self-probe went."""

    ANSWERED = "answered"
    REFUSED = "refused"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """One look at oneself. ``clock_offset_ms`` is ours minus the others' (None: nobody answered)."""

    loopback: Echo
    own_zone: Echo
    other_zones: dict[str, Echo] = field(default_factory=dict)
    lag_ms: float = 0.0
    clock_offset_ms: float | None = None
    fd_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdict: believed or not, why, and whether that is new."""

    recused: bool
    reasons: tuple[str, ...]
    changed: bool


def complaints(check: SelfCheck) -> tuple[str, ...]:
    """What is wrong in one look."""
    silent = sum(echo is Echo.SILENT for echo in check.other_zones.values())
    offset = check.clock_offset_ms
    found = {
        "loopback_failed": check.loopback is not Echo.ANSWERED,
        "control_echo_failed": check.own_zone is not Echo.ANSWERED,
        "zones_unreachable": silent >= SILENT_ZONES,
        "loop_lag": check.lag_ms > LAG_LIMIT_MS,
        "clock_offset": offset is not None and abs(offset) > CLOCK_LIMIT_MS,
        "fd_exhausted": check.fd_share > FD_LIMIT_SHARE,
    }
    return tuple(name for name, wrong in found.items() if wrong)


class Jury:
    """The standing of one host."""

    def __init__(self) -> None:
        self._in_a_row: dict[str, int] = {}
        self._recused: tuple[str, ...] = ()
        self._last_bad = 0.0

    @property
    def recused(self) -> bool:
        """Whether the host's word is not to be believed now."""
        return bool(self._recused)

    def step(self, check: SelfCheck, at: float) -> Standing:
        """Take one look into account; ``at`` in monotonic seconds."""
        wrong = complaints(check)
        self._in_a_row = {name: self._in_a_row.get(name, 0) + 1 for name in wrong}
        confirmed = tuple(n for n, times in self._in_a_row.items() if times >= FAILURES_IN_A_ROW or n == "loop_lag")
        before = self._recused
        if wrong:
            self._last_bad = at
        if confirmed:
            self._recused = confirmed
        elif at - self._last_bad >= RECOVERY_SECONDS:
            self._recused = ()
        return Standing(bool(self._recused), self._recused, self._recused != before)

    @property
    def suspicious(self) -> bool:
        """Something failed once: look again soon."""
        return bool(self._in_a_row) and not self._recused


class LagLog:
    """When the event loop stood still long enough to spoil the attempts that were under way."""

    def __init__(self, keep_seconds: float = 60.0) -> None:
        self._keep = keep_seconds
        self._stalls: deque[tuple[float, float]] = deque()

    def note(self, expected: float, woke: float) -> None:
        """The loop was to wake at ``expected`` and did at ``woke``."""
        if (woke - expected) * 1000 > LAG_SUSPECT_MS:
            self._stalls.append((expected, woke))
        while self._stalls and self._stalls[0][1] < woke - self._keep:
            self._stalls.popleft()

    def overlaps(self, start: float, end: float) -> bool:
        """Whether the loop stood still at any time within ``[start, end]``."""
        return any(begin < end and start < stop for begin, stop in self._stalls)
