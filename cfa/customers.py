"""What customers' own programs saw lately: attempts beside calls, never added up (pure).

Attempts that fail while the calls they belong to succeed are masked by the SDK's retries: nobody is hurt yet, and every
call pays for it in time. Calls that fail hurt.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collector.observation import BAD, Level, Outcome
from collector.series import FeedEntry

REMEMBERED_SECONDS = 900.0
ROWS_MAX = 20_000
MASKED_PART = 0.1
"""Retries mask failures when calls fail at most this part as often as their attempts do."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one entry brought of one table, side and level."""

    at: float
    table: str
    side: str
    level: str
    good: int
    bad: int


@dataclass(frozen=True, slots=True)
class Word:
    """What customers say of a scope: failed and valid attempts, failed and valid calls."""

    attempts_bad: int
    attempts: int
    calls_bad: int
    calls: int

    @property
    def masked(self) -> bool:
        """Whether retries mask what fails, as far as customers were heard at both levels."""
        if not self.calls or not self.attempts_bad:
            return False
        return self.calls_bad * self.attempts <= MASKED_PART * self.attempts_bad * self.calls

    @property
    def text(self) -> str:
        """For people."""
        if not self.attempts and not self.calls:
            return "no customer is heard there: retries mask it, or nobody asks there"
        heard = (
            f"customers: {self.attempts_bad} of {self.attempts} attempts failed, {self.calls_bad} of {self.calls} calls"
        )
        if self.masked:
            return f"{heard}: retries mask it"
        return f"{heard}: retries do not help them" if self.calls_bad else heard


class CustomersView:
    """The last quarter of an hour of customers' counts."""

    def __init__(self) -> None:
        self.heard: deque[Heard] = deque(maxlen=ROWS_MAX)

    def take(self, entry: FeedEntry) -> None:
        """Takes a customer's entry in."""
        while self.heard and self.heard[0].at < entry.received_at - REMEMBERED_SECONDS:
            self.heard.popleft()
        for reading in entry.readings:
            series, counts = reading.series, reading.counts
            good, bad = counts.get(Outcome.SUCCESS, 0), sum(counts.get(outcome, 0) for outcome in BAD)
            if good or bad:
                side, level = series.operation.side, series.level.value
                self.heard.append(Heard(entry.received_at, series.table, side, level, good, bad))

    def about(self, scope: Mapping[str, str], side: str, since: float) -> Word:
        """What was heard of a scope's table (all tables, when it names none) on one side after ``since``."""
        table = scope.get("table")
        mine = [h for h in self.heard if h.at > since and h.side == side and table in (None, h.table)]
        attempts = [h for h in mine if h.level == Level.ATTEMPT.value]
        calls = [h for h in mine if h.level == Level.CALL.value]
        return Word(
            attempts_bad=sum(h.bad for h in attempts),
            attempts=sum(h.bad + h.good for h in attempts),
            calls_bad=sum(h.bad for h in calls),
            calls=sum(h.bad + h.good for h in calls),
        )

    def state(self) -> list[tuple[Any, ...]]:
        """For the snapshot."""
        return [(h.at, h.table, h.side, h.level, h.good, h.bad) for h in self.heard]

    def load(self, state: list[tuple[Any, ...]]) -> None:
        """Takes a :meth:`state` back."""
        self.heard = deque((Heard(*row) for row in state), maxlen=ROWS_MAX)
